/*
 * QEMU is reached by a path of any length, an abstract name, tcp and a descriptor, and wherever it
 * is, it is sent nothing before it has greeted.
 */
#include "harness.h"
#include "places.h"

#include <sys/socket.h>
#include <sys/un.h>

/* Connects, and looks that the library is silent while it is connected and not greeted. */
static void reach(struct world *world, struct scripted_monitor *qemu, const char *address)
{
    blockjob_monitor *monitor = NULL;
    blockjob_event *event;

    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_text(blockjob_monitor_get_address(monitor), address);
    assert_text(blockjob_monitor_get_name(monitor), address);
    assert_result(blockjob_monitor_start(monitor), 0);
    /* QEMU may tell events before it greets; when one is told, the connection is being read. */
    say_status(qemu, "early", "running");
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_ptr_equal(blockjob_event_get_monitor(event), monitor);
    then_expect_unsent(qemu);
    script_done(qemu);
    then_agree(qemu);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_ptr_equal(blockjob_event_get_monitor(event), monitor);
    say_status(qemu, "late", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_result(blockjob_monitor_close(monitor), 0);
    then_expect_hang_up(qemu);
    script_done(qemu);
    blockjob_monitor_unref(monitor);
}

static void reach_and_end(struct world *world, struct scripted_monitor *qemu)
{
    then_accept(qemu);
    reach(world, qemu, scripted_monitor_address(qemu));
    scripted_monitor_destroy(qemu);
}

static void by_a_short_path(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    reach(world, world->qemu, scripted_monitor_address(world->qemu));
}

static void by_a_path_that_no_socket_address_holds(void **state)
{
    struct scripted_monitor *qemu = monitor_on_long_path();
    const char *path = scripted_monitor_address(qemu) + strlen("unix:");
    char longer[256];

    /* The same by a way that is longer still. */
    snprintf(longer, sizeof longer, "unix:/tmp/../tmp/../tmp/../tmp%s", path + strlen("/tmp"));
    assert_true(strlen(longer) - strlen("unix:") > sizeof((struct sockaddr_un *)0)->sun_path);
    then_accept(qemu);
    reach(*state, qemu, longer);
    unlink(path);
    scripted_monitor_destroy(qemu);
}

static void by_an_abstract_name(void **state)
{
    reach_and_end(*state, monitor_on_abstract());
}

static void by_tcp(void **state)
{
    reach_and_end(*state, monitor_on_tcp("127.0.0.1"));
}

static void by_tcp_of_version_six(void **state)
{
    reach_and_end(*state, monitor_on_tcp("::1"));
}

static void by_a_descriptor(void **state)
{
    struct scripted_monitor *qemu = monitor_nowhere();
    char address[32];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    then_take(qemu, pair[0]);
    snprintf(address, sizeof address, "fd:%d", pair[1]);
    reach(*state, qemu, address);
    scripted_monitor_destroy(qemu);
}

/* Where nobody listens, each kind of address says so. */
static void nobody_listens(void **state)
{
    struct world *world = *state;
    char tcp[64];
    const char *const all[] = { "unix:@blockjob-nobody", tcp };
    int port = 0;

    close(listen_on_tcp("127.0.0.1", 1, &port));
    snprintf(tcp, sizeof tcp, "tcp:127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        blockjob_monitor *monitor = NULL;

        assert_result(blockjob_monitor_new(world->listener, all[i], &monitor), 0);
        stay_down(monitor);
        assert_result(blockjob_monitor_connect(monitor, -1), -ECONNREFUSED);
        assert_non_null(strstr(blockjob_last_error(), "nobody listens on"));
        assert_non_null(strstr(blockjob_last_error(), strchr(all[i], ':') + 1));
        blockjob_monitor_unref(monitor);
    }
}

/* A connection by tcp ends and is made again like any other. */
static void again_when_it_has_ended(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_monitor *monitor = NULL;
    blockjob_event *event;

    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(qemu), &monitor),
                  0);
    assert_result(blockjob_monitor_set_reconnect(monitor, 1, 1), 0);
    connect_to(monitor, qemu);
    then_hang_up(qemu);
    then_negotiate(qemu);
    script_done(qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    /* By tcp nobody can tell whether it is the same QEMU. */
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_UNKNOWN);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(by_a_short_path),
        test_in_world(by_a_path_that_no_socket_address_holds),
        test_in_world(by_an_abstract_name),
        test_in_world(by_tcp),
        test_in_world(by_tcp_of_version_six),
        test_in_world(by_a_descriptor),
        test_in_world(nobody_listens),
        test_in_world(again_when_it_has_ended),
    };

    return run_all(tests);
}
