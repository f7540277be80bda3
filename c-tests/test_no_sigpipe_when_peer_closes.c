/*
 * Writing to a peer that has gone is an event, not a signal: a program that keeps SIGPIPE at its
 * default, which is to die, must not die of a QEMU that does.
 */
#include "harness.h"

#include <dirent.h>
#include <signal.h>

/* A SIGPIPE that is only blocked would wait in the set of the thread that wrote. */
static void assert_no_sigpipe_waits_in_any_thread(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;

    assert_non_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[256];
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (file == NULL) {
            continue;
        }
        while (fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0) {
                uint64_t pending = strtoull(line + 7, NULL, 16);

                assert_int_equal(pending >> (SIGPIPE - 1) & 1, 0);
            }
        }
        fclose(file);
    }
    closedir(tasks);
}

static void peer_that_does_not_read(void **state)
{
    struct world *world = *state;
    struct sigaction action;

    signal(SIGPIPE, SIG_DFL); /* whoever runs the tests may have it ignored */
    then_accept(world->qemu);
    then_stop_reading(world->qemu); /* the write of qmp_capabilities gets EPIPE */
    then_greet(world->qemu);
    then_wait_read(world->qemu);
    then_hang_up(world->qemu);
    assert_true(blockjob_monitor_connect(world->monitor, PATIENCE_SECONDS * 1000) < 0);
    assert_non_null(strstr(blockjob_last_error(), scripted_monitor_address(world->qemu)));
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_no_sigpipe_waits_in_any_thread();

    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

/* The same by chance rather than by design: greets and is gone. */
static void peer_that_closes_behind_its_greeting(void **state)
{
    struct world *world = *state;

    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < 20; i++) {
        then_accept(world->qemu);
        then_greet(world->qemu);
        then_hang_up(world->qemu);
        assert_true(blockjob_monitor_connect(world->monitor, PATIENCE_SECONDS * 1000) < 0);
    }
    assert_no_sigpipe_waits_in_any_thread();
    connect_to(world->monitor, world->qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(peer_that_does_not_read),
        test_in_world(peer_that_closes_behind_its_greeting),
    };

    return run_all(tests);
}
