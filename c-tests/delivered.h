/*
 * For promises about delivery that is the program's own matter: a world whose listener's events the
 * test dispatches or pulls itself. Nothing is registered in it, and its jobs are OWNER's.
 */
#ifndef DELIVERED_H
#define DELIVERED_H

#include <stdbool.h>
#include <stdint.h>

#include <blockjob.h>

struct world;

/* Setups and teardown for cmocka; the monitor is connected, and nothing waits. */
int loop_begin(void **state);
int pull_begin(void **state);
int delivered_end(void **state);

#define test_loop(f) cmocka_unit_test_setup_teardown(f, loop_begin, delivered_end)
#define test_pull(f) cmocka_unit_test_setup_teardown(f, pull_begin, delivered_end)

/* Frees the world's listener, where what was registered must not outlive the test. */
void end_listener(struct world *world);

/* A listener of this delivery, without a monitor. */
blockjob_listener *listener_of(int how);

/* When this returns, all that QEMU was to say has been read, and waits to be delivered. */
void wait_until_read(struct world *world);

bool is_readable(int fd);
void wait_until_readable(int fd);

/* Dispatches what there is, at least `count` events. */
void dispatch(struct world *world, int count);

/* A subscription to events of the world's monitor (and of a job, if job_id is not NULL). */
int64_t subscribe(struct world *world, const char *job_id, uint32_t kinds);

/* The next event, for which it waits: the caller releases it. */
blockjob_event *pulled(struct world *world);

/* The same, released at once: asserts its kind and, if job_id is not NULL, its job. */
void expect_pulled(struct world *world, int kind, const char *job_id);

/* Asserts that there is no event. */
void expect_nothing(struct world *world);

#endif
