/*
 * A monitor from new to closed: what its state says at each step, what may be set when, and that
 * it may be started again after its connection was lost.
 */
#include "harness.h"

static void from_new_to_closed(void **state)
{
    struct world *world = *state;
    int major = -1, minor = -2, micro = -3;

    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_NEW);
    assert_result(blockjob_monitor_get_qemu_version(world->monitor, &major, &minor, &micro),
                  -ENODATA);
    assert_int_equal(major, -1);
    assert_int_equal(minor, -2);
    assert_int_equal(micro, -3);

    then_accept(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_result(blockjob_monitor_start(world->monitor), -EALREADY);
    script_done(world->qemu);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTING);

    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
    assert_result(blockjob_monitor_start(world->monitor), -EALREADY);
    for (int i = 0; i < 100; i++) {
        assert_result(blockjob_monitor_connect(world->monitor, 0), 0); /* it is usable already */
    }
    assert_result(blockjob_monitor_get_qemu_version(world->monitor, &major, &minor, &micro), 0);
    assert_int_equal(major, 7);
    assert_int_equal(minor, 2);
    assert_int_equal(micro, 22);

    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_DISCONNECTED);
    assert_result(blockjob_monitor_get_qemu_version(world->monitor, &major, &minor, &micro), 0);

    then_negotiate(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    say_completed(world->qemu, "again");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "again");

    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CLOSED);
    then_expect_hang_up(world->qemu);
    script_done(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), -ESHUTDOWN);
    assert_result(blockjob_monitor_connect(world->monitor, -1), -ESHUTDOWN);
}

static void settings_are_for_before_the_start(void **state)
{
    struct world *world = *state;

    assert_text(blockjob_monitor_get_name(world->monitor), scripted_monitor_address(world->qemu));
    assert_text(blockjob_monitor_get_address(world->monitor),
                scripted_monitor_address(world->qemu));
    assert_result(blockjob_monitor_set_name(world->monitor, "web server 7 (\xc3\xa9)"), 0);
    assert_text(blockjob_monitor_get_name(world->monitor), "web server 7 (\xc3\xa9)");
    assert_text(blockjob_monitor_get_address(world->monitor),
                scripted_monitor_address(world->qemu));
    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 5000), 0);
    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, -1), 0);
    assert_result(blockjob_monitor_set_line_limit(world->monitor, 1 << 20), 0);

    connect_to(world->monitor, world->qemu);
    assert_result(blockjob_monitor_set_name(world->monitor, "too late"), -EBUSY);
    assert_non_null(strstr(blockjob_last_error(), "web server 7"));
    assert_text(blockjob_monitor_get_name(world->monitor), "web server 7 (\xc3\xa9)");
    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 1), -EBUSY);
    assert_result(blockjob_monitor_set_line_limit(world->monitor, 4096), -EBUSY);
}

/* A monitor that was never started can be closed: its program changed its mind. */
static void a_new_one_may_be_closed(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_result(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL,
                                        gate_callback, world->gate, NULL), -ESHUTDOWN);
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_CLOSED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CLOSED);
    assert_result(blockjob_monitor_start(world->monitor), -ESHUTDOWN);
}

static void nothing_comes_after_closed(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *other_qemu = scripted_monitor_new();
    blockjob_monitor *other = connected_monitor(world->listener, other_qemu);
    size_t count;

    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    for (int i = 0; i < 100; i++) {
        say_completed(world->qemu, "late");
    }
    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    count = recorder_count(world->recorder);
    say_completed(other_qemu, "fence");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "fence");
    assert_int_equal(recorder_count(world->recorder), count + 1);
    blockjob_monitor_unref(other);
    scripted_monitor_destroy(other_qemu);
}

/* In QEMU's syntax a comma separates options, and two stand for one of the path. */
static void a_comma_of_the_path_is_written_twice(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = NULL;
    char path[128], address[160];

    snprintf(path, sizeof path, "%s/a,b", scripted_monitor_directory(world->qemu));
    snprintf(address, sizeof address, "unix:%s/a,,b", scripted_monitor_directory(world->qemu));
    assert_int_equal(symlink("qmp.sock", path), 0);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_text(blockjob_monitor_get_address(monitor), address);
    connect_to(monitor, world->qemu);
    blockjob_monitor_unref(monitor);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(from_new_to_closed),
        test_in_world(settings_are_for_before_the_start),
        test_in_world(a_new_one_may_be_closed),
        test_connected(nothing_comes_after_closed),
        test_in_world(a_comma_of_the_path_is_written_twice),
    };

    return run_all(tests);
}
