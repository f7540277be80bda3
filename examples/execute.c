/*
 * execute: sends one command to QEMU, and prints what it returns.
 *
 *     cc execute.c -o execute $(pkg-config --cflags --libs blockjob)
 *     ./execute unix:/run/vm.qmp query-block
 *     ./execute unix:/run/vm.qmp blockdev-del '{"node-name": "old"}'
 *     ./execute unix:/run/vm.qmp add-fd '{"fdset-id": 1}' 3 3<>disk.raw
 *
 * The last argument is a descriptor to be passed along, which the shell has opened here. Exit status:
 * 0 if QEMU carried the command out; 1 if it refused, or was not asked; 2 if nobody can know.
 */
#include <blockjob.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    blockjob_reply *reply = NULL;
    int result;

    if (argc < 3 || argc > 5) {
        fputs("usage: execute unix:PATH COMMAND [ARGUMENTS [DESCRIPTOR]]\n", stderr);
        return 1;
    }
    const char *command = argv[2], *arguments = argv[3];

    result = blockjob_listener_new(&listener);
    if (result == 0)
        result = blockjob_monitor_new(listener, argv[1], &monitor);
    if (result == 0)
        result = blockjob_monitor_connect(monitor, 10000);
    if (result < 0) {
        fprintf(stderr, "execute: %s\n", blockjob_last_error());
        return 1;
    }
    if (argc == 5)
        result = blockjob_monitor_execute_with_fd(monitor, command, arguments, atoi(argv[4]), 0,
                                                  10000, &reply);
    else
        result = blockjob_monitor_execute(monitor, command, arguments, 0, 10000, &reply);

    /* Programs go by the class of a refusal; the sentence is for people. */
    const char *class = blockjob_last_error_class();
    if (result == 0)
        puts(blockjob_reply_get_json(reply));
    else if (class != NULL && strcmp(class, "CommandNotFound") == 0)
        fprintf(stderr, "execute: this QEMU has no command %s\n", command);
    else
        fprintf(stderr, "execute: %s\n", blockjob_last_error());

    blockjob_reply_unref(reply);
    blockjob_monitor_unref(monitor);
    blockjob_listener_free(listener);
    return result == 0 ? 0 : result == -ETIMEDOUT || result == -ECONNRESET ? 2 : 1;
}
