/* progress: fills a device's image from its backing files, shows how far it is on stderr and how it
 * ended on stdout, exits with 0 if it succeeded.   ./progress unix:/run/vm.qmp '{"device": "d0"}' */
#include <blockjob.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int64_t result)
{
    if (result < 0)
        exit((fprintf(stderr, "progress: %s\n", blockjob_last_error()), 1));
}

static void show(blockjob_event *event, void *file)
{
    fprintf(file, "%lld of %lld\n", (long long)blockjob_event_get_offset(event),
            (long long)blockjob_event_get_len(event));
}

int main(int argc, char **argv)
{
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
    blockjob_event *end;

    if (argc != 3)
        return fputs("usage: progress unix:PATH ARGUMENTS-OF-BLOCK-STREAM\n", stderr), 1;
    check(blockjob_listener_new(&listener));
    check(blockjob_monitor_new(listener, argv[1], &monitor));
    check(blockjob_monitor_set_progress(monitor, 200));
    check(blockjob_job_new(monitor, NULL, 0, &job));
    check(blockjob_callback_add(listener, NULL, blockjob_job_get_id(job), BLOCKJOB_EVENT_PROGRESS,
                                show, stderr, NULL));
    check(blockjob_monitor_connect(monitor, 10000));
    check(blockjob_job_start(job, "block-stream", argv[2], -1));
    check(blockjob_job_wait(job, -1, &end));
    puts(blockjob_event_get_line(end));
    blockjob_event_acknowledge(end, 10000);
    return blockjob_event_get_outcome(end) == BLOCKJOB_OUTCOME_SUCCEEDED ? 0 : 1;
}
