/*
 * When many monitors are to be connected at once, the reader connects some, hears what the others
 * have to say, and goes on: nobody waits until all of them are there.
 *
 * This program has a connect() and an epoll_wait() of its own, which the reader calls: what it
 * connects between two looks at its sockets is counted.
 */
#include "harness.h"
#include "places.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { MONITORS = 1000, A_TURN = 64 };

static atomic_bool stands; /* the reader is to stand, and stands */
static atomic_bool is_there;
static atomic_int dialled;
static atomic_int most; /* in one turn */
static _Thread_local int in_turn;

int connect(int socket_fd, __CONST_SOCKADDR_ARG name, socklen_t size)
{
    atomic_fetch_add(&dialled, 1);
    if (++in_turn > atomic_load(&most)) {
        atomic_store(&most, in_turn);
    }
    return (int)syscall(SYS_connect, socket_fd, name.__sockaddr__, size);
}

int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout)
{
    in_turn = 0;
    while (atomic_load(&stands)) {
        const struct timespec millisecond = { .tv_nsec = 1000000 };

        atomic_store(&is_there, true);
        nanosleep(&millisecond, NULL);
    }
    return (int)syscall(SYS_epoll_pwait, epoll, events, size, timeout, NULL, (size_t)0);
}

static void nobody_waits_until_all_are_there(void **state)
{
    static blockjob_monitor *monitors[MONITORS];
    struct world *world = *state;
    char address[128];

    snprintf(address, sizeof address, "unix:%s/nobody", scripted_monitor_directory(world->qemu));
    atomic_store(&dialled, 0);
    atomic_store(&most, 0);
    /* The reader stands before it looks, so that it finds all of them at once. */
    atomic_store(&stands, true);
    for (int i = 0; i < MONITORS; i++) {
        assert_result(blockjob_monitor_new(world->listener, address, &monitors[i]), 0);
        stay_down(monitors[i]);
        assert_result(blockjob_monitor_start(monitors[i]), 0);
    }
    wait_until(atomic_load(&is_there));
    assert_in_range(atomic_load(&dialled), 0, MONITORS - A_TURN - 1);
    say_completed(world->qemu, "somebody");
    atomic_store(&stands, false);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
    wait_until(atomic_load(&dialled) == MONITORS);
    /* Else it would have connected them before it stood. */
    assert_int_equal(atomic_load(&most), A_TURN);
    for (int i = 0; i < MONITORS; i++) {
        assert_result(blockjob_monitor_close(monitors[i]), 0);
        blockjob_monitor_unref(monitors[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { test_connected(nobody_waits_until_all_are_there) };

    return run_all(tests);
}
