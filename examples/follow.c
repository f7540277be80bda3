/*
 * follow: prints one line for each block job event of the QEMU monitors that you name.
 *
 *     cc follow.c -o follow $(pkg-config --cflags --libs blockjob)
 *     ./follow unix:/run/vm1.qmp unix:/run/vm2.qmp
 *
 * This is the program to read first. It goes the way of every program that uses libblockjob:
 *
 *   1. A listener is made. It brings the threads: one reads all monitors, one runs callbacks.
 *   2. A callback is added, for the kinds of events that it wants, before there is any event.
 *   3. Monitors are made and started. They connect by themselves; an event tells how that went.
 *   4. The program does its own work. Ours is to wait for a signal.
 *   5. The listener is freed. When that has returned, no callback runs any more.
 */
#define _POSIX_C_SOURCE 200809L

#include <blockjob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: follow unix:PATH...\n"
    "\n"
    "Prints one line for each block job event of the QEMU monitors at PATH..., with the time in\n"
    "UTC, until it is interrupted (SIGINT, SIGTERM) or the last monitor is gone.\n"
    "\n"
    "Exit status: 0 if every monitor was connected at some time; 1 if one never was, which a\n"
    "line DISCONNECTED explains, or if something else failed.\n";

/* What the callback counts. It belongs to the callback until the listener is freed. */
struct tally {
    int monitors, connected, gone;
};

/* The callback. It runs on a thread of the listener, for one event at a time. */
static void on_event(blockjob_event *event, void *opaque)
{
    struct tally *tally = opaque;
    int kind = blockjob_event_get_kind(event);

    /*
     * A QEMU that its guest has taken over says what it likes. The line is safe to print: the
     * library has escaped what could steer a terminal or pass for another line or field.
     */
    if (puts(blockjob_event_get_line(event)) == EOF || fflush(stdout) == EOF) {
        perror("follow: cannot write");
        _exit(EXIT_FAILURE);
    }

    tally->connected += kind == BLOCKJOB_EVENT_CONNECTED;
    tally->gone += kind == BLOCKJOB_EVENT_DISCONNECTED;

    /* With nobody left to hear, the program ends as if its user had ended it. */
    if (tally->gone == tally->monitors)
        kill(getpid(), SIGTERM);
}

static _Noreturn void give_up(const char *step)
{
    fprintf(stderr, "follow: %s: %s\n", step, blockjob_last_error());
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc < 2 || argv[1][0] == '-') {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }

    /* Blocked before there are threads, the signals wait until sigwait below takes one. */
    sigset_t interrupts;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &interrupts, NULL);

    /* With a whole line in the buffer, one line is one write, whoever else writes there. */
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);

    struct tally tally = {.monitors = argc - 1};
    blockjob_listener *listener;
    if (blockjob_listener_new(&listener) < 0)
        give_up("make a listener");
    /* It looks on: how a job ended is taken by whoever started the job. */
    if (blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL | BLOCKJOB_OBSERVE,
                              on_event, &tally, NULL) < 0)
        give_up("add a callback");

    for (int i = 1; i < argc; i++) {
        blockjob_monitor *monitor;
        if (blockjob_monitor_new(listener, argv[i], &monitor) < 0 ||
            blockjob_monitor_set_reconnect(monitor, -1, -1) < 0 || /* gone is gone */
            blockjob_monitor_start(monitor) < 0)
            give_up(argv[i]);
        blockjob_monitor_unref(monitor); /* the listener keeps what is started */
    }

    int interrupt;
    sigwait(&interrupts, &interrupt);

    blockjob_listener_free(listener);
    return tally.connected == tally.monitors ? EXIT_SUCCESS : EXIT_FAILURE;
}
