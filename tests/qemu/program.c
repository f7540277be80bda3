/*
 * A program that is killed and started again, for tests/qemu/restarts.rs. It does as its last
 * argument says, and writes a line for each end that it is told of:
 *
 *     end ID OUTCOME ORIGIN
 *
 *     die    starts a job, and hangs within the callback of its end
 *     late   the same, without a job of its own
 *     take   takes what there is: returns from each callback
 *     chain  starts a job, and within the callback of its end the next one on the same node
 *     hold   as die, but it has no callback: it pulls, and hangs with the end in hand
 *     pull   as take, the same way
 *
 * It ends when its standard input does.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blockjob.h"

#define TIMEOUT_MS 30000

static const char arguments[] = "{\"device\": \"disk\"}";

struct program {
    blockjob_monitor *monitor;
    int hangs;
    /* How many jobs the callback still starts. */
    int to_start;
};

/* One write each, so that a line is there as a whole before the program is killed. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (length < 0 || length >= (int)sizeof line || write(1, line, (size_t)length) != length)
        abort();
}

static void check(int result, const char *function)
{
    if (result < 0) {
        say("failed %s: %d, %s\n", function, result, blockjob_last_error());
        exit(1);
    }
}

/* A handle that is freed claims nothing; what remains is the callback's. */
static void start(blockjob_monitor *monitor)
{
    blockjob_job *job;
    check(blockjob_job_new(monitor, NULL, 0, &job), "blockjob_job_new");
    say("start %s\n", blockjob_job_get_id(job));
    check(blockjob_job_start(job, "block-stream", arguments, TIMEOUT_MS), "blockjob_job_start");
    blockjob_job_free(job);
}

static void on_end(blockjob_event *event, void *opaque)
{
    struct program *program = opaque;
    say("end %s %d %d\n", blockjob_event_get_job_id(event), blockjob_event_get_outcome(event),
        blockjob_event_get_origin(event));
    while (program->hangs)
        pause();
    if (program->to_start == 0)
        return;
    program->to_start--;
    /* The node is busy until QEMU has forgotten the job that ended. */
    check(blockjob_event_acknowledge(event, TIMEOUT_MS), "blockjob_event_acknowledge");
    start(program->monitor);
}

static void on_free(void *opaque)
{
    (void)opaque;
}

/* Until the input ends; the input and the events are waited for in one place. */
static void pull(blockjob_listener *listener, struct program *program)
{
    struct pollfd fds[] = {{.fd = 0, .events = POLLIN},
                           {.fd = blockjob_listener_get_fd(listener), .events = POLLIN}};
    blockjob_event *event;
    check(fds[1].fd, "blockjob_listener_get_fd");
    while (poll(fds, 2, -1) > 0 && fds[0].revents == 0) {
        int result = blockjob_listener_next_event(listener, 0, &event);
        if (result == -ETIMEDOUT)
            continue;
        check(result, "blockjob_listener_next_event");
        on_end(event, program);
        blockjob_event_unref(event);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const char *address = argv[1], *owner = argv[2], *deed = argv[3];
    struct program program = {0};
    int holds = strcmp(deed, "hold") == 0, pulls = holds || strcmp(deed, "pull") == 0;
    program.hangs = holds || strcmp(deed, "die") == 0 || strcmp(deed, "late") == 0;
    program.to_start = strcmp(deed, "chain") == 0;

    blockjob_listener *listener;
    check(blockjob_listener_new(&listener), "blockjob_listener_new");
    check(blockjob_listener_set_owner(listener, owner), "blockjob_listener_set_owner");
    if (pulls)
        check(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_PULL),
              "blockjob_listener_set_delivery");
    check(blockjob_monitor_new(listener, address, &program.monitor), "blockjob_monitor_new");
    int64_t id = blockjob_callback_add(listener, program.monitor, NULL, BLOCKJOB_EVENT_FINAL,
                                       pulls ? NULL : on_end, &program, on_free);
    check(id < 0 ? (int)id : 0, "blockjob_callback_add");
    check(blockjob_monitor_connect(program.monitor, TIMEOUT_MS), "blockjob_monitor_connect");
    say("connected\n");

    if (holds || strcmp(deed, "die") == 0 || strcmp(deed, "chain") == 0)
        start(program.monitor);
    if (pulls)
        pull(listener, &program);

    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    blockjob_listener_free(listener);
    blockjob_monitor_unref(program.monitor);
    say("done\n");
    return 0;
}
