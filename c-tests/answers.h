/*
 * What is told of commands that nobody waits for, kept for the test's thread: each reply that the
 * callback was given, and how often the free function ran.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include <stddef.h>
#include <stdint.h>

#include <blockjob.h>

#include "recorder.h"

struct answers;

struct answer {
    int result;
    int64_t number;
    char json[512], error_class[64], text[512]; /* empty for NULL */
    int at;                                     /* a tick */
};

struct answers *answers_new(void);
void answers_destroy(struct answers *answers);

/* For blockjob_monitor_execute_async: the callback, its opaque (the answers), and its free. */
void answers_callback(blockjob_reply *reply, void *opaque);
void answers_release(void *opaque);

/* Each callback stands at this gate before it returns. */
void answers_stand_at(struct answers *answers, struct gate *gate);

/* How often the callback and the free have run. */
size_t answers_count(struct answers *answers);
size_t answers_freed(struct answers *answers);

/* The next answer in turn, for which it waits. */
struct answer answers_next(struct answers *answers);
void answers_wait_freed(struct answers *answers, size_t times);

#endif
