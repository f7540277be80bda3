/*
 * journal: prints how the jobs whose ids begin with "example-" ended, also those that ended while
 * it was not running. QEMU writes its events into a file for that, by a second monitor:
 *
 *     qemu-system-x86_64 ... -qmp unix:/run/vm.qmp,server=on,wait=off \
 *         -chardev null,id=journal,logfile=/var/lib/vm.journal,logappend=on \
 *         -mon chardev=journal,mode=control
 *
 *     qemu-storage-daemon ... --chardev socket,id=qmp,path=/run/vm.qmp,server=on,wait=off \
 *         --monitor chardev=qmp \
 *         --chardev null,id=journal,logfile=/var/lib/vm.journal,logappend=on \
 *         --monitor chardev=journal
 *
 *     cc journal.c -o journal $(pkg-config --cflags --libs blockjob)
 *     ./journal unix:/run/vm.qmp /var/lib/vm.journal /var/lib/vm.position
 *
 * The last file is this program's: how far it knows the journal. SIGINT or SIGTERM ends it.
 */
#define _POSIX_C_SOURCE 200809L

#include <blockjob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int64_t result)
{
    if (result < 0) {
        fprintf(stderr, "journal: %s\n", blockjob_last_error());
        exit(1);
    }
}

/* Ends that were missed come before CONNECTED; the position is past all, so it waits for that. */
static void on_event(blockjob_event *event, void *opaque)
{
    const char *file = opaque, *position = blockjob_event_get_position(event);
    char new_file[4096];

    puts(blockjob_event_get_line(event));
    fflush(stdout);
    if (position == NULL || blockjob_event_get_origin(event) != BLOCKJOB_ORIGIN_LIVE)
        return;
    snprintf(new_file, sizeof new_file, "%s.new", file);
    FILE *out = fopen(new_file, "w");
    if (out == NULL || fprintf(out, "%s\n", position) < 0 || fclose(out) != 0 ||
        rename(new_file, file) != 0)
        perror(file);
}

int main(int argc, char **argv)
{
    char position[128];
    sigset_t interrupts;
    int interrupt;
    blockjob_listener *listener;
    blockjob_monitor *monitor;

    if (argc != 4)
        return fputs("usage: journal unix:PATH JOURNAL POSITION-FILE\n", stderr), 1;
    FILE *in = fopen(argv[3], "r");
    int is_known = in != NULL && fscanf(in, "%127s", position) == 1;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &interrupts, NULL);

    check(blockjob_listener_new(&listener));
    check(blockjob_listener_set_owner(listener, "example"));
    check(blockjob_callback_add(listener, NULL, NULL,
                                BLOCKJOB_EVENT_FINAL | BLOCKJOB_EVENT_CONNECTED, on_event,
                                argv[3], NULL));
    check(blockjob_monitor_new(listener, argv[1], &monitor));
    check(blockjob_monitor_set_journal(monitor, argv[2], is_known ? position : NULL));
    check(blockjob_monitor_start(monitor));
    blockjob_monitor_unref(monitor); /* the listener keeps what is started */
    sigwait(&interrupts, &interrupt);
    return blockjob_listener_free(listener) != 0;
}
