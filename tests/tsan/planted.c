/*
 * A race that the thread sanitizer must report: the callback writes on the library's thread what
 * main reads with nothing between the two. It shows that the C side is instrumented.
 */
#include <blockjob.h>

#include <stdio.h>
#include <time.h>

static volatile int seen;

static void on_event(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
    seen++;
}

int main(void)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;

    if (blockjob_listener_new(&listener) < 0 ||
        blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, on_event, NULL, NULL) < 0 ||
        blockjob_monitor_new(listener, "unix:/nowhere", &monitor) < 0 ||
        blockjob_monitor_start(monitor) < 0) {
        fprintf(stderr, "%s\n", blockjob_last_error());
        return 1;
    }
    for (int i = 0; i < 10000 && seen == 0; i++) {
        nanosleep(&pause, NULL);
    }
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    return seen == 0;
}
