/*
 * pull: starts a block-stream job in QEMU, and takes its events one by one, without a callback.
 *
 *     cc pull.c -o pull $(pkg-config --cflags --libs blockjob)
 *     ./pull unix:/run/vm.qmp '{"device": "drive0"}'
 *
 * Exit status: 0 if the job succeeded; 1 if it failed, was cancelled or was not started; 2 if
 * nobody can know.
 */
#include <blockjob.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int64_t result)
{
    if (result >= 0)
        return;
    fprintf(stderr, "pull: %s\n", blockjob_last_error());
    exit(1);
}

int main(int argc, char **argv)
{
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
    blockjob_event *event;
    int kind;

    if (argc != 3) {
        fputs("usage: pull unix:PATH ARGUMENTS-OF-BLOCK-STREAM\n", stderr);
        return 1;
    }
    check(blockjob_listener_new(&listener));
    check(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_PULL));
    check(blockjob_monitor_new(listener, argv[1], &monitor));
    check(blockjob_monitor_connect(monitor, 10000));

    /* The handle makes up the job's id. Without a function it is a subscription. */
    check(blockjob_job_new(monitor, NULL, 0, &job));
    check(blockjob_callback_add(listener, monitor, blockjob_job_get_id(job), BLOCKJOB_EVENT_ALL,
                                NULL, NULL, NULL));
    int started = blockjob_job_start(job, "block-stream", argv[2], 10000);
    /* With these two it may have been started. Its end tells. */
    if (started != -ETIMEDOUT && started != -ECONNRESET)
        check(started);

    /* The end comes by itself, so no timeout is needed. */
    int outcome = BLOCKJOB_OUTCOME_UNKNOWN;
    do {
        check(blockjob_listener_next_event(listener, -1, &event));
        puts(blockjob_event_get_line(event));
        kind = blockjob_event_get_kind(event);
        if (kind & BLOCKJOB_EVENT_FINAL) {
            outcome = blockjob_event_get_outcome(event);
            /* Only now does QEMU forget the job. */
            blockjob_event_acknowledge(event, 10000);
        }
        blockjob_event_unref(event);
    } while (!(kind & BLOCKJOB_EVENT_FINAL));

    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    return outcome == BLOCKJOB_OUTCOME_SUCCEEDED ? 0 : outcome == BLOCKJOB_OUTCOME_UNKNOWN ? 2 : 1;
}
