/*
 * A call that is expected to wait, made on a thread of its own, and a way to see that it does wait:
 * its thread is asleep in the kernel and the call has not returned.
 */
#ifndef CALL_H
#define CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct call {
    pthread_t thread;
    int (*function)(void *);
    void *argument;
    int result;
    atomic_int task; /* the kernel's id of the thread; 0 before it runs */
    atomic_bool returned;
    int returned_at; /* a tick; read it after call_join */
    char last_error[512]; /* of that thread, when the call had returned */
};

void call_start(struct call *call, int (*function)(void *), void *argument);

/*
 * Until the call has slept for a while or has returned. An implementation that wrongly does not
 * wait gets the time to return here, so that the test can see it.
 */
void call_settle(struct call *call);

/* The call's result, which must come. */
int call_join(struct call *call);

#endif
