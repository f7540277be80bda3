/*
 * For promises about how jobs end: a taker gets ends and keeps none, so that nothing but its
 * callback takes them; and what a QEMU says of a job that is started, ends and is dismissed.
 */
#ifndef ENDS_H
#define ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blockjob.h>

#include "recorder.h"
#include "scripted_monitor.h"

struct world;
struct taker;

/* What a taker remembers of an end. */
struct end {
    int kind, outcome, origin, pivoted, loss;
    char job_id[128];
    char line[1024];
    int at; /* a tick */
};

struct taker *taker_new(void);
void taker_destroy(struct taker *taker);

/* Registers it for the ends of a job of `monitor`, NULL for any, with flags such as OBSERVE. */
int64_t taker_add(struct taker *taker, blockjob_listener *listener, blockjob_monitor *monitor,
                  const char *job_id, uint32_t flags);

/* Each callback stands at this gate before it returns; NULL: none. */
void taker_stand_at(struct taker *taker, struct gate *gate);

/* Each callback keeps a reference, which the test releases: the last one that was kept. */
void taker_keep(struct taker *taker);
blockjob_event *taker_kept(struct taker *taker);

size_t taker_count(struct taker *taker);

/* The next end in turn, for which it waits. */
struct end taker_next(struct taker *taker);

/* What QEMU says: of a job that begins and runs; that ends well, and stays; the same for both. */
void say_begun(struct scripted_monitor *qemu, const char *job_id);
void say_ended(struct scripted_monitor *qemu, const char *job_id);
void say_job(struct scripted_monitor *qemu, const char *job_id);

/* The job is dismissed: QEMU is asked to, forgets it and says so. */
void then_dismiss(struct scripted_monitor *qemu, const char *job_id);

/*
 * Until now QEMU was sent nothing that the script does not expect: the next command that comes is
 * one that is sent here. All the program did before it has been seen by the reader then.
 */
void expect_nothing_sent(struct world *world);

/* A handle of the world's monitor. */
blockjob_job *handle_of(struct world *world, const char *job_id, uint32_t flags);

/* Starts a stream, which QEMU begins. */
void start_job(struct world *world, blockjob_job *job);

#endif
