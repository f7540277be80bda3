/*
 * The descriptor for the program's loop is readable while something waits and nobody is at it, and
 * once the listener was stopped. The program may read it, which loses nothing.
 */
#include "harness.h"

#include <fcntl.h>
#include <sys/epoll.h>

enum { MOST = 64 };

struct seen {
    int fd;
    int calls;
    int readable; /* how often it was, inside a callback */
};

static void see(blockjob_event *event, void *opaque)
{
    struct seen *seen = opaque;

    (void)event;
    seen->calls++;
    seen->readable += is_readable(seen->fd);
}

static void begin(struct world *world, struct seen *seen)
{
    *seen = (struct seen){ .fd = blockjob_listener_get_fd(world->listener) };
    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                      see, seen, NULL) > 0);
}

static void say(struct world *world, int count)
{
    for (int i = 0; i < count; i++) {
        say_status(world->qemu, "job", "running");
    }
    wait_until_read(world);
}

static void it_is_readable_until_all_is_dispatched(void **state)
{
    struct world *world = *state;
    struct seen seen;

    begin(world, &seen);
    assert_false(is_readable(seen.fd));
    say(world, MOST + 1);
    assert_true(is_readable(seen.fd));
    assert_true(is_readable(seen.fd)); /* looking changes nothing */
    assert_result(blockjob_listener_dispatch(world->listener), MOST);
    assert_true(is_readable(seen.fd)); /* armed again: one is left */
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_false(is_readable(seen.fd));
    say(world, 1);
    assert_true(is_readable(seen.fd));
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_false(is_readable(seen.fd));
    assert_int_equal(seen.calls, MOST + 2);
}

/* A loop inside a callback would spin with it. */
static void it_is_not_readable_inside_a_callback(void **state)
{
    struct world *world = *state;
    struct seen seen;

    begin(world, &seen);
    say(world, 3 * MOST);
    dispatch(world, 3 * MOST);
    assert_int_equal(seen.calls, 3 * MOST);
    assert_int_equal(seen.readable, 0);
}

static uint64_t read_it(int fd)
{
    uint64_t value = 0;

    assert_int_equal(read(fd, &value, sizeof value), sizeof value);
    return value;
}

static void who_reads_it_loses_nothing(void **state)
{
    struct world *world = *state;
    uint64_t value;
    struct seen seen;

    begin(world, &seen);
    say(world, MOST + 1);
    assert_true(read_it(seen.fd) > 0);
    assert_false(is_readable(seen.fd));
    assert_result(blockjob_listener_dispatch(world->listener), MOST);
    assert_true(is_readable(seen.fd));
    assert_true(read_it(seen.fd) > 0);
    say(world, 1); /* and whoever reads it only hears of what is new */
    assert_true(is_readable(seen.fd));
    assert_result(blockjob_listener_dispatch(world->listener), 2);
    assert_int_equal(read(seen.fd, &value, sizeof value), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(seen.calls, MOST + 2);
}

/* Also a loop that is told of changes only is told of all that is new. */
static void an_edge_is_seen_for_each_arrival(void **state)
{
    struct world *world = *state;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct seen seen;

    begin(world, &seen);
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, seen.fd, &event), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
        say(world, 1);
        assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
    }
    assert_result(blockjob_listener_dispatch(world->listener), 3);
    close(epoll);
}

static void it_serves_pull_alike(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);

    subscribe(world, NULL, BLOCKJOB_EVENT_STATUS);
    assert_false(is_readable(fd));
    say(world, 2);
    assert_true(is_readable(fd));
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "job");
    assert_true(is_readable(fd));
    assert_true(read_it(fd) > 0);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "job");
    assert_false(is_readable(fd));
    expect_nothing(world);
    say(world, 1);
    assert_true(is_readable(fd));
    assert_int_equal(blockjob_listener_get_fd(world->listener), fd);
}

/* It may be readable for nothing: then there is nothing, and it is not any more. */
static void for_nothing_there_is_nothing(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);

    say_completed(world->qemu, "nobody's");
    wait_until_read(world);
    expect_nothing(world);
    assert_false(is_readable(fd));
}

/* A registration that has missed something finds it without a new event. */
static void it_is_readable_for_what_was_missed(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);
    struct taker *taker = taker_new();

    say_completed(world->qemu, "job");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 0);
    assert_false(is_readable(fd));
    taker_add(taker, world->listener, NULL, NULL, 0);
    assert_true(is_readable(fd));
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_false(is_readable(fd));
    assert_text(taker_next(taker).job_id, "job");
    end_listener(world);
    taker_destroy(taker);
}

static void it_is_readable_when_the_listener_was_stopped(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);

    assert_false(is_readable(fd));
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_true(is_readable(fd));
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    assert_true(is_readable(fd));
    assert_true(read_it(fd) > 0);
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    assert_true(is_readable(fd)); /* for whoever else watches it */
    assert_int_equal(blockjob_listener_get_fd(world->listener), fd);
}

static void no_exec_inherits_it(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);

    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void free_closes_it(void **state)
{
    blockjob_listener *listener = listener_of(BLOCKJOB_DELIVERY_LOOP);
    int fd = blockjob_listener_get_fd(listener);

    (void)state;
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_result(blockjob_listener_free(listener), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static int inherited;

static void touch_everything(void *argument)
{
    struct world *world = argument;
    blockjob_event *event = NULL;

    child_check(fcntl(inherited, F_GETFD) == -1);
    child_check(blockjob_listener_get_fd(world->listener) == -ECHILD);
    child_check(blockjob_listener_dispatch(world->listener) == -ECHILD);
    child_check(blockjob_listener_next_event(world->listener, -1, &event) == -ECHILD);
    child_check(blockjob_listener_set_delivery(world->listener, BLOCKJOB_DELIVERY_PULL)
                == -ECHILD);
    child_check(event == NULL);
}

static void a_forked_child_is_refused_and_has_it_closed(void **state)
{
    struct world *world = *state;
    struct seen seen;

    begin(world, &seen);
    inherited = seen.fd;
    child_run(touch_everything, world);
    say(world, 1);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_loop(it_is_readable_until_all_is_dispatched),
        test_loop(it_is_not_readable_inside_a_callback),
        test_loop(who_reads_it_loses_nothing),
        test_loop(an_edge_is_seen_for_each_arrival),
        test_pull(it_serves_pull_alike),
        test_pull(for_nothing_there_is_nothing),
        test_loop(it_is_readable_for_what_was_missed),
        test_loop(it_is_readable_when_the_listener_was_stopped),
        test_loop(no_exec_inherits_it),
        cmocka_unit_test(free_closes_it),
        test_loop(a_forked_child_is_refused_and_has_it_closed),
    };

    return run_all(tests);
}
