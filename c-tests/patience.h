/*
 * Waiting, with an end: for a condition that another thread signals, or for one that can only be
 * polled. No test sleeps to let something happen.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* Far longer than anything here takes under valgrind on a busy machine: only failures get there. */
#define PATIENCE_SECONDS 20

/* A lock and the condition that what it guards has changed. */
struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void meeting_init(struct meeting *meeting);
void meeting_destroy(struct meeting *meeting);

/* The moment at which a wait that begins now has lasted too long. */
struct timespec patience_end(void);

/* With the lock held: waits for a change. False once `end` has passed. */
bool meeting_wait(struct meeting *meeting, const struct timespec *end);

/* Between two looks of a poll: false once `end` has passed, else true after a millisecond. */
bool patience_pause(const struct timespec *end);

#endif
