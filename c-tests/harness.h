/*
 * What every program of c-tests/ includes: cmocka in the order that it wants, the library, the
 * helpers beside it, and a small world (a listener connected to one scripted monitor) that most
 * promises can be shown in.
 *
 * The library calls back on a thread of its own, where a failing cmocka assertion would jump into
 * another thread's stack. So callbacks record, and the test's own thread asserts.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <blockjob.h>

#include "answers.h"
#include "call.h"
#include "child.h"
#include "delivered.h"
#include "ends.h"
#include "patience.h"
#include "recorder.h"
#include "scripted_monitor.h"

/* Runs the array `tests`. A program that hangs in spite of all deadlines is killed: it fails. */
#define run_all(tests) (alarm(60), cmocka_run_group_tests(tests, NULL, NULL))

/* For what can only be asked again and again, like /proc: asks until it is true, or fails. */
#define wait_until(condition)                                          \
    do {                                                               \
        struct timespec wait_until_end = patience_end();               \
        while (!(condition)) {                                         \
            if (!patience_pause(&wait_until_end)) {                    \
                fail_msg("this never became true: %s", #condition);    \
            }                                                          \
        }                                                              \
    } while (0)

/* The errno that a call must give; on another one the library's own words are worth printing. */
#define assert_result(call, expected)                                          \
    do {                                                                       \
        int64_t assert_result_got = (call);                                    \
        if (assert_result_got != (expected)) {                                 \
            fail_msg("%s gave %" PRId64 ", not %s; last error: \"%s\"", #call, \
                     assert_result_got, #expected, blockjob_last_error());     \
        }                                                                      \
    } while (0)

/* Strings of the library may be NULL, which assert_string_equal would not survive. */
#define assert_text(call, expected) check_text(#call, call, expected, __FILE__, __LINE__)
void check_text(const char *call, const char *got, const char *expected, const char *file,
                int line);

struct world {
    blockjob_listener *listener;
    struct scripted_monitor *qemu;
    blockjob_monitor *monitor;
    struct recorder *recorder; /* of every event of every monitor of the listener */
    struct gate *gate;         /* for a callback that must stand still; opened at the end */
    int64_t recording;         /* the id of the recorder's registration */
};

/* How a test may begin, and how it ends: setups and teardown for cmocka. */
int world_begin(void **state);           /* the monitor exists, nothing is started */
int world_begin_connected(void **state); /* connected, and the CONNECTED event taken */
int world_end(void **state);

/*
 * The same of a listener whose jobs begin with OWNER "-". Its recorder keeps no end of a job, for
 * that would be a claim and a reference: who takes them is the test's matter.
 */
#define OWNER "tester"
int world_begin_owned(void **state);
int world_begin_owned_connected(void **state);

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)
#define test_owned(f) cmocka_unit_test_setup_teardown(f, world_begin_owned, world_end)
#define test_owned_connected(f) \
    cmocka_unit_test_setup_teardown(f, world_begin_owned_connected, world_end)
#define test_connected(f) cmocka_unit_test_setup_teardown(f, world_begin_connected, world_end)

/* Connects `monitor` to `qemu`, which plays its part of the greeting meanwhile. */
void connect_to(blockjob_monitor *monitor, struct scripted_monitor *qemu);

/* The monitor makes no attempt to connect but those that the test makes: as the world's does. */
void stay_down(blockjob_monitor *monitor);

/* A listener's monitor that is already connected to `qemu`; the caller unrefs it. */
blockjob_monitor *connected_monitor(blockjob_listener *listener, struct scripted_monitor *qemu);

/* The recorder sees every event of `monitor` (NULL: of all); gives the registration's id. */
int64_t record(blockjob_listener *listener, blockjob_monitor *monitor, struct recorder *recorder);

/*
 * When this returns, every callback for what `qemu` had said before has run: a registration for a
 * job of its own is the last in the order, and what it waits for is the last to be said.
 */
void pass_fence(struct world *world, struct scripted_monitor *qemu);

/* The two messages that most scripts need: a job that ended well, and a step on its way there. */
void say_completed(struct scripted_monitor *qemu, const char *job_id);
void say_status(struct scripted_monitor *qemu, const char *job_id, const char *status);

#endif
