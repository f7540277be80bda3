#include "recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#include "patience.h"

struct recorder {
    struct meeting meeting;
    blockjob_event **events;
    size_t count;
    size_t capacity;
    size_t taken; /* by recorder_next; at most `count` */
    atomic_size_t freed;
    size_t misuses;
    bool running;
};

struct gate {
    struct meeting meeting;
    bool entered;
    bool open;
};

struct recorder *recorder_new(void)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);

    assert_non_null(recorder);
    meeting_init(&recorder->meeting);
    return recorder;
}

void recorder_destroy(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        blockjob_event_unref(recorder->events[i]);
    }
    free(recorder->events);
    meeting_destroy(&recorder->meeting);
    free(recorder);
}

void recorder_callback(blockjob_event *event, void *opaque)
{
    struct recorder *recorder = opaque;

    pthread_mutex_lock(&recorder->meeting.lock);
    if (recorder->running || atomic_load(&recorder->freed) > 0) {
        recorder->misuses++;
    }
    recorder->running = true;
    if (recorder->count == recorder->capacity) {
        recorder->capacity = recorder->capacity * 2 + 16;
        recorder->events = realloc(recorder->events,
                                   recorder->capacity * sizeof *recorder->events);
        if (recorder->events == NULL) {
            abort();
        }
    }
    pthread_mutex_unlock(&recorder->meeting.lock);

    blockjob_event_ref(event); /* outside the lock: a second callback would be noticed here */

    pthread_mutex_lock(&recorder->meeting.lock);
    recorder->events[recorder->count++] = event;
    recorder->running = false;
    pthread_cond_broadcast(&recorder->meeting.changed);
    pthread_mutex_unlock(&recorder->meeting.lock);
}

void recorder_release(void *opaque)
{
    struct recorder *recorder = opaque;

    pthread_mutex_lock(&recorder->meeting.lock);
    if (recorder->running) {
        recorder->misuses++;
    }
    atomic_fetch_add(&recorder->freed, 1);
    pthread_cond_broadcast(&recorder->meeting.changed);
    pthread_mutex_unlock(&recorder->meeting.lock);
}

size_t recorder_count(struct recorder *recorder)
{
    size_t count;

    pthread_mutex_lock(&recorder->meeting.lock);
    count = recorder->count;
    pthread_mutex_unlock(&recorder->meeting.lock);
    return count;
}

blockjob_event *recorder_get(struct recorder *recorder, size_t index)
{
    blockjob_event *event = NULL;

    pthread_mutex_lock(&recorder->meeting.lock);
    if (index < recorder->count) {
        event = recorder->events[index];
    }
    pthread_mutex_unlock(&recorder->meeting.lock);
    if (event == NULL) {
        fail_msg("event %zu was wanted, but only %zu came", index, recorder_count(recorder));
    }
    return event;
}

size_t recorder_freed(struct recorder *recorder)
{
    return atomic_load(&recorder->freed);
}

size_t recorder_misuses(struct recorder *recorder)
{
    size_t misuses;

    pthread_mutex_lock(&recorder->meeting.lock);
    misuses = recorder->misuses;
    pthread_mutex_unlock(&recorder->meeting.lock);
    return misuses;
}

blockjob_event *recorder_next(struct recorder *recorder)
{
    struct timespec end = patience_end();
    bool came;

    pthread_mutex_lock(&recorder->meeting.lock);
    while (recorder->count <= recorder->taken && meeting_wait(&recorder->meeting, &end)) {
    }
    came = recorder->count > recorder->taken;
    pthread_mutex_unlock(&recorder->meeting.lock);
    if (!came) {
        fail_msg("no event came after the first %zu", recorder->taken);
    }
    return recorder_get(recorder, recorder->taken++);
}

blockjob_event *recorder_next_of(struct recorder *recorder, int kind)
{
    for (;;) {
        blockjob_event *event = recorder_next(recorder);

        if (blockjob_event_get_kind(event) == kind) {
            return event;
        }
    }
}

void recorder_wait_freed(struct recorder *recorder, size_t times)
{
    struct timespec end = patience_end();

    pthread_mutex_lock(&recorder->meeting.lock);
    while (recorder_freed(recorder) < times && meeting_wait(&recorder->meeting, &end)) {
    }
    pthread_mutex_unlock(&recorder->meeting.lock);
    if (recorder_freed(recorder) < times) {
        fail_msg("free ran %zu times, not %zu", recorder_freed(recorder), times);
    }
}

struct gate *gate_new(void)
{
    struct gate *gate = calloc(1, sizeof *gate);

    assert_non_null(gate);
    meeting_init(&gate->meeting);
    return gate;
}

void gate_destroy(struct gate *gate)
{
    meeting_destroy(&gate->meeting);
    free(gate);
}

void gate_pass(struct gate *gate)
{
    struct timespec end = patience_end();

    pthread_mutex_lock(&gate->meeting.lock);
    gate->entered = true;
    pthread_cond_broadcast(&gate->meeting.changed);
    while (!gate->open && meeting_wait(&gate->meeting, &end)) {
    }
    pthread_mutex_unlock(&gate->meeting.lock);
}

void gate_callback(blockjob_event *event, void *opaque)
{
    (void)event;
    gate_pass(opaque);
}

void gate_wait_entered(struct gate *gate)
{
    struct timespec end = patience_end();
    bool entered;

    pthread_mutex_lock(&gate->meeting.lock);
    while (!gate->entered && meeting_wait(&gate->meeting, &end)) {
    }
    entered = gate->entered;
    pthread_mutex_unlock(&gate->meeting.lock);
    if (!entered) {
        fail_msg("nobody came to the gate");
    }
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->meeting.lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->meeting.changed);
    pthread_mutex_unlock(&gate->meeting.lock);
}

int tick(void)
{
    static atomic_int last;

    return atomic_fetch_add(&last, 1) + 1;
}
