/*
 * blockjob_listener_stop never waits, ends delivery, and answers every call that waits with
 * -ESHUTDOWN; so do all calls that come after it.
 */
#include "harness.h"

static int connect_for_ever(void *monitor)
{
    return blockjob_monitor_connect(monitor, -1);
}

/* Silent before the greeting, and silent after it: both leave connect waiting. */
static void wakes_a_connect(struct world *world)
{
    struct call call;

    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, -1), 0);
    call_start(&call, connect_for_ever, world->monitor);
    script_done(world->qemu);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTING);

    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    assert_int_not_equal(strlen(call.last_error), 0);
}

static void wakes_a_connect_before_the_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    wakes_a_connect(world);
}

static void wakes_a_connect_before_the_reply(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    wakes_a_connect(world);
}

static void wakes_many_connects_of_one_monitor(void **state)
{
    enum { COUNT = 5 };
    struct world *world = *state;
    struct call calls[COUNT];

    then_accept(world->qemu);
    for (int i = 0; i < COUNT; i++) {
        call_start(&calls[i], connect_for_ever, world->monitor);
    }
    for (int i = 0; i < COUNT; i++) {
        call_settle(&calls[i]);
    }
    assert_result(blockjob_listener_stop(world->listener), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(call_join(&calls[i]), -ESHUTDOWN);
    }
}

/* Closing the monitor ends the wait for it as well. */
static void close_wakes_a_connect(void **state)
{
    struct world *world = *state;
    struct call call;

    then_accept(world->qemu);
    call_start(&call, connect_for_ever, world->monitor);
    script_done(world->qemu);
    call_settle(&call);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    assert_non_null(strstr(call.last_error, scripted_monitor_address(world->qemu)));
    then_expect_hang_up(world->qemu);
    script_done(world->qemu);
}

static int free_listener(void *listener)
{
    return blockjob_listener_free(listener);
}

/* The free answers those who wait before it takes the ground from under them. */
static void free_wakes_a_connect(void **state)
{
    struct world *world = *state;
    struct call waiting, freeing;

    then_accept(world->qemu);
    call_start(&waiting, connect_for_ever, world->monitor);
    script_done(world->qemu);
    call_settle(&waiting);
    call_start(&freeing, free_listener, world->listener);
    assert_int_equal(call_join(&freeing), 0);
    world->listener = NULL;
    assert_int_equal(call_join(&waiting), -ESHUTDOWN);
}

/* A callback runs, more events wait behind it: stop returns, and none of them is delivered. */
static void does_not_wait_and_ends_delivery(void **state)
{
    struct world *world = *state;
    struct recorder *after = recorder_new();

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    record(world->listener, NULL, after);
    for (int i = 0; i < 10; i++) {
        say_completed(world->qemu, "job");
    }
    then_wait_read(world->qemu);
    gate_wait_entered(world->gate);
    script_done(world->qemu);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_listener_stop(world->listener), 0);

    gate_open(world->gate);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(recorder_count(after), 0);
    assert_int_equal(recorder_freed(after), 1);
    recorder_destroy(after);
}

static void later_calls_are_told(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_monitor_new(world->listener, "unix:/x", &monitor), -ESHUTDOWN);
    assert_null(monitor);
    assert_result(blockjob_monitor_start(world->monitor), -ESHUTDOWN);
    assert_result(blockjob_monitor_connect(world->monitor, 0), -ESHUTDOWN);
    assert_result(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                        gate_callback, world->gate, NULL), -ESHUTDOWN);
    assert_int_not_equal(strlen(blockjob_last_error()), 0);
    /* Taking away is still possible, so that a program may end things in its own order. */
    assert_result(blockjob_callback_remove(world->listener, world->recording, 0), 0);
    assert_int_equal(recorder_freed(world->recorder), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(wakes_a_connect_before_the_greeting),
        test_in_world(wakes_a_connect_before_the_reply),
        test_in_world(wakes_many_connects_of_one_monitor),
        test_in_world(close_wakes_a_connect),
        test_in_world(free_wakes_a_connect),
        test_connected(does_not_wait_and_ends_delivery),
        test_connected(later_calls_are_told),
    };

    return run_all(tests);
}
