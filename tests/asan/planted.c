/*
 * Two faults of a program's that the address sanitizer must report: an event that is used after its
 * callback has returned ("late"), and one that is kept and never released ("kept"). They show that C
 * sees the library's memory as it is, and that a leak across the boundary is seen. With any other
 * argument the program has no fault, and what is reported is the library's.
 */
#include <blockjob.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static blockjob_event *_Atomic kept;

static void on_event(blockjob_event *event, void *opaque)
{
    const int *keeps = opaque;

    atomic_store(&kept, *keeps ? blockjob_event_ref(event) : event);
}

static __attribute__((noinline)) void use_late(const blockjob_event *event)
{
    printf("%d\n", blockjob_event_get_kind(event));
}

int main(int argc, char **argv)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    const char *fault = argc > 1 ? argv[1] : "";
    int keeps = strcmp(fault, "kept") == 0;

    if (blockjob_listener_new(&listener) < 0 ||
        blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, on_event, &keeps, NULL) <
            0 ||
        blockjob_monitor_new(listener, "unix:/nowhere", &monitor) < 0 ||
        blockjob_monitor_start(monitor) < 0) {
        fprintf(stderr, "%s\n", blockjob_last_error());
        return 1;
    }
    for (int i = 0; i < 10000 && atomic_load(&kept) == NULL; i++) {
        nanosleep(&pause, NULL);
    }
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    if (strcmp(fault, "late") == 0) {
        use_late(kept);
    }
    atomic_store(&kept, NULL);
    return 0;
}
