/*
 * A monitor serves one client. If a forked child kept the descriptor of a connection, QEMU would
 * not see its parent's death, and would go on serving nobody for as long as the child lives.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Pipes between the test, the parent that is to die, and its child that is to stay. */
struct family {
    struct scripted_monitor *qemu;
    int report[2]; /* the child's pid, once parent and child are as they are to be */
    int leave[2];  /* end of file here tells the child to leave */
};

static void live_on(struct family *family)
{
    pid_t self = getpid();
    char byte;

    close(family->leave[1]);
    child_check(write(family->report[1], &self, sizeof self) == sizeof self);
    child_check(read(family->leave[0], &byte, 1) == 0);
    child_end();
}

static void die_young(void *argument)
{
    struct family *family = argument;
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    pid_t child;

    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_monitor_new(listener, scripted_monitor_address(family->qemu), &monitor)
                == 0);
    child_check(blockjob_monitor_connect(monitor, PATIENCE_SECONDS * 1000) == 0);
    child = fork();
    child_check(child >= 0);
    if (child == 0) {
        child_begin();
        live_on(family);
    }
    kill(getpid(), SIGKILL);
}

static void end_of_file_is_seen(void **state)
{
    struct family family = { .qemu = scripted_monitor_new() };
    pid_t parent, child = 0;
    int status;

    (void)state;
    assert_int_equal(pipe2(family.report, O_CLOEXEC), 0);
    assert_int_equal(pipe2(family.leave, O_CLOEXEC), 0);
    then_negotiate(family.qemu);
    then_expect_hang_up(family.qemu);
    parent = child_start(die_young, &family);
    assert_int_equal(read(family.report[0], &child, sizeof child), sizeof child);
    status = child_wait(parent);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);

    script_done(family.qemu); /* the end of the connection has been seen ... */
    assert_int_equal(kill(child, 0), 0); /* ... and the child lives */
    for (int i = 0; i < 2; i++) {
        close(family.leave[i]);
        close(family.report[i]);
    }
    scripted_monitor_destroy(family.qemu);
}

/* Whether this process has a connection to the path: of the two ends only the client's names it. */
static bool is_connected_to(const char *path)
{
    for (int descriptor = 0; descriptor < 256; descriptor++) {
        struct sockaddr_un name = { 0 };
        socklen_t size = sizeof name;

        if (getpeername(descriptor, (struct sockaddr *)&name, &size) == 0
            && name.sun_family == AF_UNIX && strcmp(name.sun_path, path) == 0) {
            return true;
        }
    }
    return false;
}

static void expect_no_connection(void *argument)
{
    const struct scripted_monitor *qemu = argument;

    child_check(!is_connected_to(scripted_monitor_path(qemu)));
}

/* The fork may fall into any moment of the reader's: just connected, or about to close. */
static void no_connection_is_inherited_at_any_moment(void **state)
{
    enum { ROUNDS = 200, SECONDS = 5 }; /* whichever is over first; valgrind forks slowly */
    struct world *world = *state;
    time_t end = time(NULL) + SECONDS;

    connect_to(world->monitor, world->qemu);
    assert_true(is_connected_to(scripted_monitor_path(world->qemu)));
    child_run(expect_no_connection, world->qemu);
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    for (int i = 0; i < ROUNDS && time(NULL) < end; i++) {
        pid_t children[3];

        then_accept(world->qemu);
        then_hang_up(world->qemu);
        assert_result(blockjob_monitor_start(world->monitor), 0);
        for (size_t j = 0; j < 3; j++) {
            children[j] = child_start(expect_no_connection, world->qemu);
        }
        recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(child_wait(children[j]), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_of_file_is_seen),
        test_in_world(no_connection_is_inherited_at_any_moment),
    };

    return run_all(tests);
}
