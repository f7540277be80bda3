/*
 * What happens on the library's thread, kept for the test's thread: a recorder keeps the events of
 * a registration and counts its frees, a gate makes a callback stand still until the test lets it
 * go, a tick numbers what happens on several threads in the order in which it does.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blockjob.h>

struct recorder;

struct recorder *recorder_new(void);
void recorder_destroy(struct recorder *recorder); /* after the registration's free has run */

/* To register: the callback, its opaque (the recorder), and its free. */
void recorder_callback(blockjob_event *event, void *opaque);
void recorder_release(void *opaque);

/* What has come so far. The index counts from 0; an event not there yet fails the test. */
size_t recorder_count(struct recorder *recorder);
blockjob_event *recorder_get(struct recorder *recorder, size_t index);

/* How often the free has run. Takes no lock, so that the child of a fork may ask. */
size_t recorder_freed(struct recorder *recorder);

/* How often the callback ran, after its free had run or while it was running: 0 is the promise. */
size_t recorder_misuses(struct recorder *recorder);

/* The next event in turn, for which they wait; the second skips those of other kinds. */
blockjob_event *recorder_next(struct recorder *recorder);
blockjob_event *recorder_next_of(struct recorder *recorder, int kind);

/* Waits until the free has run `times` times. */
void recorder_wait_freed(struct recorder *recorder, size_t times);

struct gate;

struct gate *gate_new(void);
void gate_destroy(struct gate *gate);
void gate_pass(struct gate *gate);         /* in a callback: stands here until the gate opens */
void gate_wait_entered(struct gate *gate); /* in the test: until somebody stands there */
void gate_open(struct gate *gate);         /* for good; any number of times */

/* To register: a callback that does no more than stand at the gate that is its opaque. */
void gate_callback(blockjob_event *event, void *opaque);

int tick(void); /* 1, 2, 3, ...: a smaller number happened before */

#endif
