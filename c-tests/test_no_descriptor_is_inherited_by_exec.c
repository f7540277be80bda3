/*
 * Whatever descriptors the library has open at a moment, a program that is run then inherits none:
 * of listeners, their descriptors for loops, connections and sockets of each kind, a QEMU whose end
 * is awaited, a journal that is read, a descriptor on its way to QEMU. Also at the moment at which
 * they are made. And the child of a fork has closed all of them before its first instruction.
 */
#include "harness.h"
#include "places.h"
#include "watched.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { DESCRIPTORS = 1024 };

static bool known[DESCRIPTORS]; /* open before there is anything of the library's */

static void note_known(void)
{
    for (int i = 0; i < DESCRIPTORS; i++) {
        known[i] = fcntl(i, F_GETFD) >= 0;
    }
}

/* What a descriptor is, as /proc has it; "" when it is not open. */
static void name_of(int descriptor, char name[128])
{
    char path[64];
    ssize_t size;

    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    size = readlink(path, name, 127);
    name[size < 0 ? 0 : size] = '\0';
}

/* How many descriptors have come since, by the beginning of what they are; each is checked. */
static int count_new(const char *kind)
{
    int count = 0;

    for (int i = 0; i < DESCRIPTORS; i++) {
        int flags = known[i] ? -1 : fcntl(i, F_GETFD);
        char name[128];

        if (flags < 0) {
            continue;
        }
        name_of(i, name);
        if ((flags & FD_CLOEXEC) == 0) {
            fail_msg("descriptor %d, %s, would be inherited", i, name);
        }
        count += strncmp(name, kind, strlen(kind)) == 0;
    }
    return count;
}

/*
 * Runs a program that lists its descriptors, by a way on which no fork handlers run, and gives how
 * many it has beyond standard input, output and error and the directory that it reads.
 */
static int inherited(void)
{
    static const char *const arguments[] = {
        "sh", "-c", "set -- /proc/self/fd/*; exit $(($# - 3))", NULL
    };
    static char *const environment[] = { NULL };
    pid_t child;
    int status = -1;

    assert_int_equal(posix_spawn(&child, "/bin/sh", NULL, NULL, (char *const *)arguments,
                                 environment), 0);
    wait_until(waitpid(child, &status, WNOHANG) == child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* How it is where nothing of the library is open. */
static int alone;

/* A large file, of which reading takes a moment. */
static void make_journal(char *path)
{
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)512 << 20), 0);
    close(file);
}

/*
 * Listens in a process of its own, which the library watches when its connection has ended. That it
 * does at once, and nobody takes another one; the process ends when it is told to.
 */
static void be_qemu(int socket_fd, int until_closed)
{
    int connection;
    char byte;

    child_check(listen(socket_fd, 1) == 0);
    connection = accept(socket_fd, NULL, NULL);
    child_check(connection >= 0);
    close(socket_fd);
    close(connection);
    child_check(read(until_closed, &byte, 1) == 0);
}

/* A socket with a name, on which nobody listens yet. */
static int socket_at(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_in_range(strlen(path), 1, sizeof name.sun_path - 1);
    strcpy(name.sun_path, path);
    assert_int_equal(bind(made, (struct sockaddr *)&name, sizeof name), 0);
    return made;
}

/* All that has come since is the test's own, and there are so many of these. */
static void closes_all_but(void *argument)
{
    const int *own = argument;
    int left = 0;

    for (int i = 0; i < DESCRIPTORS; i++) {
        left += !known[i] && fcntl(i, F_GETFD) >= 0;
    }
    child_check(left == *own);
}

static blockjob_monitor *monitor_at(blockjob_listener *listener, const char *address)
{
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_monitor_new(listener, address, &monitor), 0);
    stay_down(monitor);
    return monitor;
}

static bool has_ended(blockjob_job *job)
{
    blockjob_event *event = NULL;

    if (blockjob_job_wait(job, 0, &event) != 0) {
        return false;
    }
    blockjob_event_unref(event);
    return true;
}

static int pass_descriptor(void *monitor)
{
    return blockjob_monitor_execute_with_fd(monitor, "getfd", "{\"fdname\": \"x\"}", 0, 0, -1, NULL);
}

static void whatever_is_open(void **state)
{
    struct scripted_monitor *unix_qemu = scripted_monitor_new(), *given = monitor_nowhere();
    struct scripted_monitor *abstract = monitor_on_abstract(), *tcp = monitor_on_tcp("127.0.0.1");
    struct scripted_monitor *queueing = scripted_monitor_new();
    char journal[] = "/tmp/blockjob-journal-XXXXXX", address[128], name[128];
    blockjob_monitor *monitors[7];
    blockjob_listener *listener, *second;
    int pair[2], life[2], of_child;
    struct call calls[2];
    blockjob_job *job = NULL;
    pid_t child;

    (void)state;
    make_journal(journal);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    snprintf(address, sizeof address, "unix:%s/dies", scripted_monitor_directory(unix_qemu));
    of_child = socket_at(address + strlen("unix:"));
    note_known();
    child = fork();
    assert_true(child >= 0);
    if (child > 0) {
        close(of_child);
        known[of_child] = false;
    } else {
        child_begin();
        close(life[1]);
        be_qemu(of_child, life[0]);
        child_end();
    }

    /* Two listeners, one of which has a descriptor for a loop. */
    assert_result(blockjob_listener_new(&listener), 0);
    second = listener_of(BLOCKJOB_DELIVERY_LOOP);
    assert_true(blockjob_listener_get_fd(second) >= 0);
    /* Connections of each kind; the one that was given was not close-on-exec before. */
    monitors[0] = connected_monitor(listener, unix_qemu);
    monitors[1] = connected_monitor(listener, abstract);
    monitors[2] = connected_monitor(listener, tcp);
    assert_int_equal(fcntl(pair[0], F_SETFD, 0), 0);
    snprintf(name, sizeof name, "fd:%d", pair[0]);
    monitors[3] = monitor_at(listener, name);
    known[pair[0]] = false;
    then_take(given, pair[1]);
    then_agree(given);
    assert_result(blockjob_monitor_connect(monitors[3], -1), 0);
    /* Where QEMU dials. */
    snprintf(name, sizeof name, "unix:%s/door,server=on", scripted_monitor_directory(unix_qemu));
    monitors[4] = monitor_at(listener, name);
    assert_result(blockjob_monitor_start(monitors[4]), 0);
    /* A process that is watched. */
    monitors[5] = monitor_at(listener, address);
    assert_result(blockjob_monitor_set_reconnect(monitors[5], 1, 10), 0);
    assert_result(blockjob_monitor_start(monitors[5]), 0);
    /* Valgrind does not let every kernel's pidfd_open() through. */
    wait_until(RUNNING_ON_VALGRIND || count_new("anon_inode:[pidfd]") == 1
               || count_new("pidfd:") == 1);
    /* On its way: QEMU has one already and does not answer. */
    for (size_t i = 0; i < 2; i++) {
        call_start(&calls[i], pass_descriptor, monitors[1]);
    }
    for (size_t i = 0; i < 2; i++) {
        call_settle(&calls[i]);
    }
    /* A journal, as long as its reading lasts. */
    monitors[6] = monitor_at(listener, scripted_monitor_address(queueing));
    assert_result(blockjob_monitor_set_journal(monitors[6], journal, NULL), 0);
    assert_result(blockjob_job_new(monitors[6], "gone", BLOCKJOB_JOB_EXISTS, &job), 0);
    then_negotiate(queueing);
    assert_result(blockjob_monitor_start(monitors[6]), 0);
    /* It may also be read too fast to be seen: no matter. */
    wait_until(count_new(journal) > 0 || has_ended(job));

    assert_true(count_new("anon_inode:[eventfd]") >= 3);
    assert_int_equal(count_new("anon_inode:[eventpoll]"), 2);
    assert_true(count_new("socket:") >= 5);
    assert_int_equal(inherited(), alone);
    /* Nor has a child that runs no other program: the scripts' ends of four connections are left. */
    child_run(closes_all_but, &(int){ 4 });

    assert_result(blockjob_listener_free(listener), 0);
    assert_result(blockjob_listener_free(second), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(call_join(&calls[i]), -ESHUTDOWN);
    }
    blockjob_job_free(job);
    for (size_t i = 0; i < 7; i++) {
        blockjob_monitor_unref(monitors[i]);
    }
    close(life[1]);
    assert_int_equal(child_wait(child), 0);
    close(life[0]);
    unlink(address + strlen("unix:"));
    unlink(journal);
    scripted_monitor_destroy(unix_qemu);
    scripted_monitor_destroy(given);
    scripted_monitor_destroy(abstract);
    scripted_monitor_destroy(tcp);
    scripted_monitor_destroy(queueing);
}

/* Programs are run while connections come and go. */
static void at_any_moment(void **state)
{
    enum { ROUNDS = 30 };
    struct world *world = *state;
    blockjob_monitor *busy = NULL;

    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(world->qemu),
                                       &busy), 0);
    assert_result(blockjob_monitor_set_reconnect(busy, 1, 1), 0);
    assert_result(blockjob_monitor_start(busy), 0);
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < 20; j++) {
            then_accept(world->qemu);
            then_hang_up(world->qemu);
        }
        assert_int_equal(inherited(), alone);
    }
    assert_result(blockjob_monitor_close(busy), 0);
    blockjob_monitor_unref(busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_open),
        test_in_world(at_any_moment),
    };

    alone = inherited();
    return run_all(tests);
}
