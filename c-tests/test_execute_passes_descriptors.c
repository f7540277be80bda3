/*
 * A descriptor goes with the first byte of its own command, whatever is sent before and after it.
 * It is a duplicate: the program's stays its own, and none is left open by the library.
 */
#include "harness.h"
#include "places.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

static int execute_with(struct world *world, const char *command, int fd)
{
    return blockjob_monitor_execute_with_fd(world->monitor, command, "{\"fdname\": \"x\"}", fd, 0,
                                            -1, NULL);
}

static size_t open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* What QEMU writes to what it was given is read from what the program kept. */
static void to_whom_writes_it(void **state)
{
    struct world *world = *state;
    size_t before = open_descriptors();
    char text[8] = { 0 };
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    then_expect(world->qemu, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\": \"x\"}");
    then_write_passed(world->qemu, "hello");
    then_return(world->qemu);
    assert_int_equal(execute_with(world, "getfd", ends[1]), 0);
    assert_int_equal(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], text, sizeof text), 5);
    assert_string_equal(text, "hello");
    /* Nobody has the other end open any more. */
    assert_int_equal(read(ends[0], text, sizeof text), 0);
    assert_int_equal(close(ends[0]), 0);
    script_done(world->qemu);
    assert_int_equal(open_descriptors(), before);
}

struct passing {
    struct world *world;
    int fd;
    struct call call;
};

static int pass(void *argument)
{
    struct passing *passing = argument;

    return execute_with(passing->world, "add-fd", passing->fd);
}

/* Commands with and without, at once: QEMU keeps only what came last. */
static void among_many_commands(void **state)
{
    enum { COUNT = 8, LONG = 1000000 };
    struct world *world = *state;
    size_t before = open_descriptors();
    struct answers *answers = answers_new();
    struct passing all[COUNT];
    int ends[2];
    char text[2 * COUNT];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < COUNT; i++) {
        char *json = calloc(1, LONG + 1);

        /* A long one before it, more than the socket takes while nobody reads. */
        assert_non_null(json);
        memset(json, ' ', LONG);
        json[0] = '{';
        json[LONG - 1] = '}';
        assert_true(blockjob_monitor_execute_async(world->monitor, "stop", i == 0 ? json : NULL, 0,
                                                   -1, answers_callback, answers,
                                                   answers_release) > 0);
        free(json);
        all[i] = (struct passing){ .world = world, .fd = ends[1] };
        call_start(&all[i].call, pass, &all[i]);
        call_settle(&all[i].call);
    }
    then_skip_line(world->qemu);
    for (int i = 0; i < COUNT; i++) {
        then_expect(world->qemu, "add-fd");
        then_write_passed(world->qemu, "x");
        then_return(world->qemu);
        if (i < COUNT - 1) {
            then_expect(world->qemu, "stop");
            then_return(world->qemu);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(call_join(&all[i].call), 0);
        if (i < COUNT - 1) {
            assert_int_equal(answers_next(answers).result, 0);
        }
    }
    assert_int_equal(read(ends[0], text, sizeof text), COUNT);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], text, sizeof text), 0);
    assert_int_equal(close(ends[0]), 0);
    script_done(world->qemu);
    assert_int_equal(open_descriptors(), before);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    answers_wait_freed(answers, COUNT);
    answers_destroy(answers);
}

static void that_are_none(void **state)
{
    struct world *world = *state;
    size_t before = open_descriptors();

    assert_int_equal(execute_with(world, "getfd", -1), -EBADF);
    assert_int_equal(execute_with(world, "getfd", 1 << 20), -EBADF);
    assert_non_null(strstr(blockjob_last_error(), "1048576"));
    assert_int_equal(execute_with(world, "get fd", 0), -EINVAL);
    assert_int_equal(open_descriptors(), before);
}

static void that_cannot_be_duplicated(void **state)
{
    struct world *world = *state;
    struct rlimit limit, before;
    int next = dup(0);

    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(execute_with(world, "getfd", 0), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    then_expect(world->qemu, "getfd");
    then_forget_passed(world->qemu);
    then_refuse(world->qemu);
    assert_int_equal(execute_with(world, "getfd", 0), -EREMOTEIO);
}

/* Given up: by its time, by the connection's end, by the listener's. */
static void are_closed_when_they_are_given_up(void **state)
{
    struct world *world = *state;
    struct passing first = { .world = world }, second = { .world = world };
    char byte;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    first.fd = second.fd = ends[1];
    then_expect(world->qemu, "add-fd");
    call_start(&first.call, pass, &first);
    script_done(world->qemu);
    call_start(&second.call, pass, &second);
    call_settle(&second.call);
    assert_result(blockjob_monitor_execute_with_fd(world->monitor, "getfd", NULL, ends[1], 0, 20,
                                                   NULL), -ETIMEDOUT);
    then_hang_up(world->qemu);
    assert_int_equal(call_join(&first.call), -ECONNRESET);
    assert_int_equal(call_join(&second.call), -ENOTCONN);
    then_forget_passed(world->qemu);
    script_done(world->qemu);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    assert_int_equal(close(ends[0]), 0);
}

/* TCP carries none; the monitor goes on. */
static void but_not_by_tcp(void **state)
{
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor;

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    monitor = connected_monitor(listener, qemu);
    assert_result(blockjob_monitor_execute_with_fd(monitor, "getfd", NULL, 0, 0, -1, NULL),
                  -EOPNOTSUPP);
    then_expect(qemu, "query-status");
    then_return(qemu);
    assert_result(blockjob_monitor_execute(monitor, "query-status", NULL, 0, -1, NULL), 0);
    blockjob_monitor_unref(monitor);
    assert_result(blockjob_listener_free(listener), 0);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(to_whom_writes_it),
        test_connected(among_many_commands),
        test_connected(that_are_none),
        test_connected(that_cannot_be_duplicated),
        test_connected(are_closed_when_they_are_given_up),
        cmocka_unit_test(but_not_by_tcp),
    };

    return run_all(tests);
}
