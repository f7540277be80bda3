/*
 * A monitor is busy when the kernel tells that another client holds it, and only then: silence
 * alone is -ETIMEDOUT and says what it may be.
 */
#include "harness.h"
#include "places.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void assert_told(struct world *world, blockjob_monitor *monitor, int expected,
                        const char *word)
{
    blockjob_event *event;

    assert_result(blockjob_monitor_connect(monitor, PATIENCE_SECONDS * 1000), expected);
    if (strstr(blockjob_last_error(), word) == NULL) {
        fail_msg("\"%s\" should say \"%s\"", blockjob_last_error(), word);
    }
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_non_null(strstr(blockjob_event_get_reason(event), word));
}

static blockjob_monitor *short_of_time(struct world *world, const char *address)
{
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_result(blockjob_monitor_set_connect_timeout(monitor, 300), 0);
    stay_down(monitor);
    return monitor;
}

/* One client is served, the library's connection waits in the queue. */
static void another_client_is_served(struct world *world, struct scripted_monitor *qemu)
{
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(qemu));
    char us[32];
    int other = dial(scripted_monitor_address(qemu));

    then_accept(qemu);
    then_greet(qemu);
    script_done(qemu);
    snprintf(us, sizeof us, "process %d, ", (int)getpid());
    assert_told(world, monitor, -EBUSY, us);
    assert_non_null(strstr(blockjob_last_error(), "another client holds this monitor"));

    /* It goes, and the next attempt is served. Those who waited before are gone, too. */
    close(other);
    then_expect_hang_up(qemu);
    then_accept(qemu);
    then_expect_hang_up(qemu);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
}

static void a_path_that_another_client_holds(void **state)
{
    another_client_is_served(*state, ((struct world *)*state)->qemu);
}

static void an_abstract_name_that_another_client_holds(void **state)
{
    struct scripted_monitor *qemu = monitor_on_abstract();

    another_client_is_served(*state, qemu);
    scripted_monitor_destroy(qemu);
}

static void a_port_that_another_client_holds(void **state)
{
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");

    another_client_is_served(*state, qemu);
    scripted_monitor_destroy(qemu);
}

/* Stopped, say: nobody is served. */
static void nobody_is_served(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(world->qemu));

    assert_told(world, monitor, -ETIMEDOUT, "QEMU may be stopped");
    assert_non_null(strstr(blockjob_last_error(), "another client"));
    assert_non_null(strstr(blockjob_last_error(), "no QMP"));
    blockjob_monitor_unref(monitor);
}

static void we_are_served_and_nothing_is_said(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(world->qemu));

    then_accept(world->qemu);
    assert_told(world, monitor, -ETIMEDOUT, "no greeting came");
    blockjob_monitor_unref(monitor);
}

/* Whose clients have died is held by nobody, as it may be with one that was stopped. */
static void the_client_that_was_served_is_gone(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(world->qemu));
    int other = dial(scripted_monitor_address(world->qemu));

    then_accept(world->qemu);
    script_done(world->qemu);
    close(other);
    assert_told(world, monitor, -ETIMEDOUT, "no greeting came");
    blockjob_monitor_unref(monitor);
}

static void a_silent_tcp_server(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(qemu));

    then_accept(qemu);
    assert_told(world, monitor, -ETIMEDOUT, "no greeting came");
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

/* Fills the queue; gives how many connections are in it, the last one of `all` is none. */
static int fill(const char *path, int all[64])
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int count = 0;

    strcpy(name.sun_path, path);
    do {
        all[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_in_range(count, 0, 62);
    } while (connect(all[count++], (struct sockaddr *)&name, sizeof name) == 0);
    assert_int_equal(errno, EAGAIN);
    close(all[--count]);
    return count;
}

/* There is no room for more, and those who wait live, or are dead and never served. */
static void a_full_queue(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = short_of_time(world, scripted_monitor_address(world->qemu));
    int all[64], count = fill(scripted_monitor_path(world->qemu), all);

    /* That is told at once, whatever time there is. */
    assert_result(blockjob_monitor_set_connect_timeout(monitor, PATIENCE_SECONDS * 1000), 0);
    assert_told(world, monitor, -EBUSY, "other clients wait");
    while (count > 0) {
        close(all[--count]);
    }
    assert_told(world, monitor, -ETIMEDOUT, "takes no connection");
    blockjob_monitor_unref(monitor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(a_path_that_another_client_holds),
        test_in_world(an_abstract_name_that_another_client_holds),
        test_in_world(a_port_that_another_client_holds),
        test_in_world(nobody_is_served),
        test_in_world(we_are_served_and_nothing_is_said),
        test_in_world(the_client_that_was_served_is_gone),
        test_in_world(a_silent_tcp_server),
        test_in_world(a_full_queue),
    };

    return run_all(tests);
}
