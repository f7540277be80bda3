/*
 *loop-libevent: starts a block-stream job in QEMU and learns its end in a loop of libevent's.
 *
 *     cc loop-libevent.c -o loop-libevent $(pkg-config --cflags --libs blockjob libevent)
 *     ./loop-libevent unix:/run/vm.qmp '{"device": "drive0"}'
 *
 * start.c is the same without a loop. Here all runs on one thread: the library's descriptor is
 * readable when there are events, and dispatching runs the callbacks for them.
 *
 * Exit status: 0 if the job succeeded; 1 if it failed, was cancelled or was not started; 2 if
 * nobody can know.
 */
#include <blockjob.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <event2/event.h>

static int outcome = BLOCKJOB_OUTCOME_UNKNOWN;

static void check(int64_t result)
{
    if (result >= 0)
        return;
    fprintf(stderr, "loop-libevent: %s\n", blockjob_last_error());
    exit(1);
}

/* Called inside blockjob_listener_dispatch(), so on this thread. */
static void on_end(blockjob_event *end, void *opaque)
{
    struct event_base *loop = opaque;

    puts(blockjob_event_get_line(end));
    outcome = blockjob_event_get_outcome(end);
    /* Only now does QEMU forget the job. */
    blockjob_event_acknowledge(end, 10000);
    event_base_loopbreak(loop);
}

static void on_readable(evutil_socket_t fd, short events, void *listener)
{
    (void)fd;
    (void)events;
    blockjob_listener_dispatch(listener);
}

int main(int argc, char **argv)
{
    struct event_base *loop = event_base_new();
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;

    if (argc != 3) {
        fputs("usage: loop-libevent unix:PATH ARGUMENTS-OF-BLOCK-STREAM\n", stderr);
        return 1;
    }
    check(blockjob_listener_new(&listener));
    check(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP));
    check(blockjob_monitor_new(listener, argv[1], &monitor));
    check(blockjob_monitor_connect(monitor, 10000));

    /* The handle makes up the job's id, and the callback is for that job alone. */
    check(blockjob_job_new(monitor, NULL, 0, &job));
    check(blockjob_callback_add(listener, monitor, blockjob_job_get_id(job), BLOCKJOB_EVENT_FINAL,
                                on_end, loop, NULL));
    int started = blockjob_job_start(job, "block-stream", argv[2], 10000);
    /* With these two it may have been started. Its end tells. */
    if (started != -ETIMEDOUT && started != -ECONNRESET)
        check(started);

    struct event *readable = event_new(loop, blockjob_listener_get_fd(listener),
                                       EV_READ | EV_PERSIST, on_readable, listener);
    event_add(readable, NULL);
    event_base_dispatch(loop);

    /* The descriptor is the library's: it is let go before that closes it. */
    event_free(readable);
    event_base_free(loop);

    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    return outcome == BLOCKJOB_OUTCOME_SUCCEEDED ? 0 : outcome == BLOCKJOB_OUTCOME_UNKNOWN ? 2 : 1;
}
