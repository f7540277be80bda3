/*
 * start: starts a block-stream job in QEMU, and waits for its end.
 *
 *     cc start.c -o start $(pkg-config --cflags --libs blockjob)
 *     ./start unix:/run/vm.qmp '{"device": "drive0"}'
 *
 * Exit status: 0 if the job succeeded; 1 if it failed, was cancelled or was not started; 2 if
 * nobody can know.
 */
#include <blockjob.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The results are negative errno; the sentence is this thread's. */
static void check(int result)
{
    if (result == 0)
        return;
    fprintf(stderr, "start: %s\n", blockjob_last_error());
    exit(1);
}

int main(int argc, char **argv)
{
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
    blockjob_event *end;

    if (argc != 3) {
        fputs("usage: start unix:PATH ARGUMENTS-OF-BLOCK-STREAM\n", stderr);
        return 1;
    }
    check(blockjob_listener_new(&listener));
    check(blockjob_monitor_new(listener, argv[1], &monitor));
    check(blockjob_monitor_connect(monitor, 10000));

    /* The handle comes first, so that the job cannot end unseen. It makes up the job's id. */
    check(blockjob_job_new(monitor, NULL, 0, &job));
    int started = blockjob_job_start(job, "block-stream", argv[2], 10000);
    /* With these two it may have been started. The wait tells. */
    if (started != -ETIMEDOUT && started != -ECONNRESET)
        check(started);

    /* It ends by itself or is LOST: never in silence, so no timeout is needed. */
    check(blockjob_job_wait(job, -1, &end));
    puts(blockjob_event_get_line(end));
    int outcome = blockjob_event_get_outcome(end);

    /* Only now does QEMU forget the job. Had this program died, QEMU would have it still. */
    blockjob_event_acknowledge(end, 10000);
    blockjob_event_unref(end);
    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    return outcome == BLOCKJOB_OUTCOME_SUCCEEDED ? 0 : outcome == BLOCKJOB_OUTCOME_UNKNOWN ? 2 : 1;
}
