/*
 * blockjob_listener_free waits for the callback that runs; when it has returned nothing of the
 * library runs any more. Monitors and events may be released after it in any order, and say
 * -ESHUTDOWN to whoever still uses them.
 */
#include "harness.h"

struct guest {
    struct gate *gate;
    atomic_int ended, freed;
};

static void stand(blockjob_event *event, void *opaque)
{
    struct guest *guest = opaque;

    (void)event;
    gate_pass(guest->gate);
    atomic_store(&guest->ended, tick());
}

static void release(void *opaque)
{
    struct guest *guest = opaque;

    atomic_store(&guest->freed, tick());
}

static int free_listener(void *listener)
{
    return blockjob_listener_free(listener);
}

static void waits_for_the_running_callback(void **state)
{
    struct world *world = *state;
    struct guest guest = { .gate = world->gate };
    struct call call;

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      stand, &guest, release) > 0);
    say_completed(world->qemu, "job");
    gate_wait_entered(world->gate);
    call_start(&call, free_listener, world->listener);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_int_equal(atomic_load(&guest.freed), 0);

    gate_open(world->gate);
    assert_int_equal(call_join(&call), 0);
    world->listener = NULL;
    assert_true(guest.ended > 0);
    assert_true(guest.ended < guest.freed);
    assert_true(guest.freed < call.returned_at);
}

static void closes_every_connection(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    then_expect_hang_up(world->qemu);
    script_done(world->qemu);
}

/* One that the program let go of, one never started, one connected, one closed. */
static void monitors_and_events_are_released_in_any_order(void **state)
{
    struct world *world = *state;
    blockjob_monitor *fresh = NULL, *extra = blockjob_monitor_ref(world->monitor);
    blockjob_event *first, *second;
    int major = -7;

    assert_ptr_equal(extra, world->monitor);
    assert_result(blockjob_monitor_new(world->listener, "unix:/fresh", &fresh), 0);
    say_completed(world->qemu, "one");
    say_completed(world->qemu, "two");
    first = blockjob_event_ref(recorder_next(world->recorder));
    second = blockjob_event_ref(recorder_next(world->recorder));
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;

    assert_result(blockjob_monitor_start(fresh), -ESHUTDOWN);
    assert_result(blockjob_monitor_start(world->monitor), -ESHUTDOWN);
    assert_result(blockjob_monitor_connect(world->monitor, -1), -ESHUTDOWN);
    assert_result(blockjob_monitor_set_name(fresh, "late"), -ESHUTDOWN);
    assert_result(blockjob_monitor_set_line_limit(fresh, 1 << 20), -ESHUTDOWN);
    assert_result(blockjob_monitor_set_connect_timeout(fresh, 1000), -ESHUTDOWN);
    assert_result(blockjob_monitor_close(world->monitor), -ESHUTDOWN);
    assert_non_null(strstr(blockjob_last_error(), scripted_monitor_address(world->qemu)));

    /* What is known stays readable. */
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CLOSED);
    assert_text(blockjob_monitor_get_name(fresh), "unix:/fresh");
    assert_text(blockjob_monitor_get_address(fresh), "unix:/fresh");
    assert_result(blockjob_monitor_get_qemu_version(world->monitor, &major, &major, &major), 0);
    assert_int_equal(major, 22);

    blockjob_event_unref(first);
    blockjob_monitor_unref(extra);
    blockjob_monitor_unref(world->monitor);
    world->monitor = NULL;
    blockjob_monitor_unref(fresh);
    assert_text(blockjob_event_get_job_id(second), "two");
    assert_text(blockjob_monitor_get_name(blockjob_event_get_monitor(second)),
                scripted_monitor_address(world->qemu));
    blockjob_event_unref(second);
}

static void null_is_nothing_to_free(void **state)
{
    (void)state;
    assert_result(blockjob_listener_free(NULL), 0);
    blockjob_monitor_unref(NULL);
    blockjob_event_unref(NULL);
}

/* Without any monitor or callback, and with the first call being the last one. */
static void an_unused_listener_is_freed_as_well(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        blockjob_listener *listener = NULL;

        assert_result(blockjob_listener_new(&listener), 0);
        assert_non_null(listener);
        assert_result(blockjob_listener_free(listener), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(waits_for_the_running_callback),
        test_connected(closes_every_connection),
        test_connected(monitors_and_events_are_released_in_any_order),
        cmocka_unit_test(null_is_nothing_to_free),
        cmocka_unit_test(an_unused_listener_is_freed_as_well),
    };

    return run_all(tests);
}
