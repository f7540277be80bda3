/*
 * A descriptor that is handed over is the library's from the success of blockjob_monitor_new() on,
 * and the caller's when that has failed. Its connection is the only one.
 */
#include "harness.h"
#include "places.h"

#include <fcntl.h>
#include <sys/socket.h>

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

static void assert_not_taken(struct world *world, int descriptor, const char *options, int error,
                             const char *word)
{
    blockjob_monitor *monitor = NULL;
    char address[64];

    snprintf(address, sizeof address, "fd:%d%s", descriptor, options);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), error);
    assert_null(monitor);
    if (strstr(blockjob_last_error(), word) == NULL) {
        fail_msg("\"%s\" should say \"%s\"", blockjob_last_error(), word);
    }
}

static void what_is_not_fit_stays_the_callers(void **state)
{
    struct world *world = *state;
    int pair[2], pipes[2], port = 0, listening = listen_on_tcp("127.0.0.1", 1, &port), other;

    assert_not_taken(world, 999999, "", -EBADF, "999999");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_not_taken(world, pipes[0], "", -ENOTSOCK, "not a socket");
    assert_not_taken(world, listening, "", -EINVAL, "server=on");
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_not_taken(world, pair[0], "", -EPROTOTYPE, "stream");
    close(pair[1]);
    other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_not_taken(world, other, "", -ENOTCONN, "not connected");
    assert_not_taken(world, other, ",server=on", -EINVAL, "not listened on");
    /* None of them was closed. */
    assert_int_equal(close(pipes[0]) + close(pipes[1]) + close(pair[0]), 0);
    assert_int_equal(close(listening) + close(other), 0);
}

static blockjob_monitor *hand_over(struct world *world, struct scripted_monitor *qemu, int *ours)
{
    blockjob_monitor *monitor = NULL;
    char address[32];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    then_take(qemu, pair[0]);
    snprintf(address, sizeof address, "fd:%d", pair[1]);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    /* It goes to no program that this one executes. */
    assert_true(fcntl(pair[1], F_GETFD) & FD_CLOEXEC);
    *ours = pair[1];
    return monitor;
}

static void it_is_closed_with_a_monitor_that_never_started(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    int descriptor;
    blockjob_monitor *monitor = hand_over(world, qemu, &descriptor);

    assert_not_taken(world, descriptor, "", -EBUSY, "the library's already");
    blockjob_monitor_unref(monitor);
    assert_false(is_open(descriptor));
    then_expect_hang_up(qemu);
    scripted_monitor_destroy(qemu);
}

static void after_its_end_there_is_no_other_and_jobs_are_lost(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    int descriptor;
    blockjob_monitor *monitor = hand_over(world, qemu, &descriptor);
    blockjob_event *event = NULL;
    blockjob_job *job = NULL;

    /* Neither is waited for: no attempt to connect, and no time without a connection. */
    assert_result(blockjob_monitor_set_reconnect(monitor, 1, 1), 0);
    assert_result(blockjob_monitor_set_lost_after(monitor, -1), 0);
    assert_result(blockjob_monitor_start(monitor), 0);
    then_agree(qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    say_status(qemu, "job", "created");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_result(blockjob_job_new(monitor, "job", BLOCKJOB_JOB_EXISTS, &job), 0);
    then_hang_up(qemu);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_text(blockjob_event_get_reason(event), "QEMU closed the connection");
    assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &event), 0);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_NO_CONNECTION);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    assert_false(is_open(descriptor));
    assert_int_equal(blockjob_monitor_get_state(monitor), BLOCKJOB_STATE_DISCONNECTED);
    assert_result(blockjob_monitor_connect(monitor, -1), -ENOTCONN);
    assert_non_null(strstr(blockjob_last_error(), "handed over has ended"));
    assert_result(blockjob_monitor_close(monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

/* Of a pair of sockets the kernel knows who made it, and that was not QEMU. */
static void nobody_knows_the_process_behind_a_pair(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    int descriptor;
    blockjob_monitor *monitor = hand_over(world, qemu, &descriptor);

    assert_result(blockjob_monitor_set_peer(monitor, (int64_t)geteuid(), (int64_t)getpid()), 0);
    then_agree(qemu);
    assert_result(blockjob_monitor_connect(monitor, -1), 0);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    then_expect_hang_up(qemu);
    script_done(qemu);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

/* In the child of a fork it is closed, or QEMU would not see its parent's end. */
static void look_closed(void *argument)
{
    child_check(!is_open(*(int *)argument));
}

static void a_forked_child_does_not_keep_it(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    int descriptor;
    blockjob_monitor *monitor = hand_over(world, qemu, &descriptor);

    child_run(look_closed, &descriptor);
    assert_true(is_open(descriptor));
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(what_is_not_fit_stays_the_callers),
        test_in_world(it_is_closed_with_a_monitor_that_never_started),
        test_in_world(after_its_end_there_is_no_other_and_jobs_are_lost),
        test_in_world(nobody_knows_the_process_behind_a_pair),
        test_in_world(a_forked_child_does_not_keep_it),
    };

    return run_all(tests);
}
