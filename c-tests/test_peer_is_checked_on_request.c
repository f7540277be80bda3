/*
 * Who holds the other end is looked at before anything is read or sent, if the program wants a
 * certain user or process. Anybody else is refused with -EACCES, and the reason says who it was.
 */
#include "harness.h"
#include "places.h"

#include <sys/socket.h>

static void assert_denied(struct world *world, const char *word)
{
    blockjob_event *event;

    then_accept(world->qemu);
    then_expect_end(world->qemu);
    assert_result(blockjob_monitor_connect(world->monitor, -1), -EACCES);
    if (strstr(blockjob_last_error(), word) == NULL) {
        fail_msg("\"%s\" should say \"%s\"", blockjob_last_error(), word);
    }
    event = recorder_next(world->recorder);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_DISCONNECTED);
    assert_non_null(strstr(blockjob_event_get_reason(event), word));
    script_done(world->qemu);
}

static void the_wanted_user_and_process_are_connected(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_peer(world->monitor, (int64_t)geteuid(), getpid()), 0);
    connect_to(world->monitor, world->qemu);
}

static void another_user_is_refused(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_peer(world->monitor, (int64_t)geteuid() + 1, -1), 0);
    assert_denied(world, "holds the other end; wanted user");
}

static void another_process_is_refused(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_peer(world->monitor, (int64_t)geteuid(), getpid() + 1), 0);
    assert_denied(world, "holds the other end; wanted process");
}

/* The library listens: whoever dials is looked at, and the next one may be right. */
static void dial_in_a_child(void *argument)
{
    close(dial(argument));
}

static void a_stranger_that_dials_is_refused_and_the_next_one_is_served(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_monitor *monitor = NULL;
    blockjob_event *event;
    char address[64], full[80];

    snprintf(address, sizeof address, "unix:@blockjob-peer-%d", (int)getpid());
    snprintf(full, sizeof full, "%s,server=on", address);
    assert_result(blockjob_monitor_new(world->listener, full, &monitor), 0);
    assert_result(blockjob_monitor_set_peer(monitor, -1, getpid()), 0);
    assert_result(blockjob_monitor_start(monitor), 0);
    child_run(dial_in_a_child, address);
    event = recorder_next(world->recorder);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_DISCONNECTED);
    assert_non_null(strstr(blockjob_event_get_reason(event), "wanted process"));
    then_take(qemu, dial(address));
    then_agree(qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

static void by_tcp_nobody_can_tell(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_monitor *monitor = NULL;
    char address[64];
    int port = 0, listening = listen_on_tcp("127.0.0.1", 2, &port), connection;

    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", port);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_result(blockjob_monitor_set_peer(monitor, 0, -1), -EOPNOTSUPP);
    assert_non_null(strstr(blockjob_last_error(), address));
    blockjob_monitor_unref(monitor);

    /* Of a descriptor that is found out with the connection. */
    connection = dial(address);
    snprintf(address, sizeof address, "fd:%d", connection);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_result(blockjob_monitor_set_peer(monitor, 0, -1), 0);
    assert_result(blockjob_monitor_connect(monitor, -1), -EACCES);
    assert_non_null(strstr(blockjob_last_error(), "nobody can tell"));
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    close(listening);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(the_wanted_user_and_process_are_connected),
        test_in_world(another_user_is_refused),
        test_in_world(another_process_is_refused),
        test_in_world(a_stranger_that_dials_is_refused_and_the_next_one_is_served),
        test_in_world(by_tcp_nobody_can_tell),
    };

    return run_all(tests);
}
