/*
 * next_event waits: for an event, for as long as it may, or until the listener ends. One thread at
 * a time may.
 */
#include "harness.h"

#include <time.h>

struct wait {
    blockjob_listener *listener;
    int timeout_ms;
    blockjob_event *event;
};

static int wait_for_event(void *argument)
{
    struct wait *wait = argument;

    return blockjob_listener_next_event(wait->listener, wait->timeout_ms, &wait->event);
}

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void as_long_as_it_may(void **state)
{
    static const int times[] = { 0, 1, 100 };
    struct world *world = *state;
    blockjob_event *event = NULL;

    subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    for (int i = 0; i < 3; i++) {
        int64_t begin = milliseconds();

        assert_result(blockjob_listener_next_event(world->listener, times[i], &event), -ETIMEDOUT);
        assert_non_null(strstr(blockjob_last_error(), " ms"));
        assert_true(milliseconds() - begin >= times[i]);
        assert_null(event);
    }
}

static void until_an_event_comes(void **state)
{
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = -1 };
    struct call call;

    subscribe(world, NULL, BLOCKJOB_EVENT_COMPLETED);
    call_start(&call, wait_for_event, &wait);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    say_status(world->qemu, "j", "running"); /* nobody's */
    say_completed(world->qemu, "j");
    assert_int_equal(call_join(&call), 0);
    assert_text(blockjob_event_get_job_id(wait.event), "j");
    blockjob_event_unref(wait.event);
}

/* What nobody wants does not make the wait begin anew. */
static void the_time_is_for_all_of_it(void **state)
{
    enum { LIMIT = 300 };
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = LIMIT };
    struct timespec end = patience_end();
    struct scripted_monitor *qemu = scripted_monitor_new();
    blockjob_monitor *monitor = NULL;
    struct call call;

    /* It never knows as many jobs as it may, so each end comes to the queue. */
    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(qemu), &monitor),
                  0);
    assert_result(blockjob_monitor_set_job_limit(monitor, 65536), 0);
    connect_to(monitor, qemu);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    call_start(&call, wait_for_event, &wait);
    for (int i = 0; !atomic_load(&call.returned); i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "j%d", i);
        say_completed(qemu, job_id);
        then_wait_read(qemu);
        script_done(qemu);
        if (!patience_pause(&end)) {
            fail_msg("it still waits, after %d ms", PATIENCE_SECONDS * 1000);
        }
    }
    assert_int_equal(call_join(&call), -ETIMEDOUT);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

/* Also an event of before wakes who waits already. */
static void until_a_late_subscription_brings_one(void **state)
{
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = -1 };
    struct call call;

    say_completed(world->qemu, "j");
    wait_until_read(world);
    call_start(&call, wait_for_event, &wait);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    assert_int_equal(call_join(&call), 0);
    assert_text(blockjob_event_get_job_id(wait.event), "j");
    blockjob_event_unref(wait.event);
}

static void until_the_listener_is_stopped(void **state)
{
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = -1 };
    struct call call;

    call_start(&call, wait_for_event, &wait);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    assert_int_not_equal(strlen(call.last_error), 0);
    assert_null(wait.event);
    assert_result(blockjob_listener_next_event(world->listener, 0, &wait.event), -ESHUTDOWN);
    assert_result(blockjob_listener_next_event(world->listener, -1, &wait.event), -ESHUTDOWN);
}

/* What waits undelivered is given up with the stop. */
static void never_for_what_a_stop_gave_up(void **state)
{
    struct world *world = *state;
    blockjob_event *event = NULL;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_completed(world->qemu, "j");
    wait_until_read(world);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_listener_next_event(world->listener, 0, &event), -ESHUTDOWN);
    assert_null(event);
}

static void the_listeners_end_waits_for_it(void **state)
{
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = -1 };
    struct call call;

    call_start(&call, wait_for_event, &wait);
    call_settle(&call);
    end_listener(world);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
}

/* The second one is refused and the first one not disturbed. */
static void one_thread_at_a_time(void **state)
{
    struct world *world = *state;
    struct wait wait = { .listener = world->listener, .timeout_ms = -1 };
    blockjob_event *event = NULL;
    struct call call;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    call_start(&call, wait_for_event, &wait);
    call_settle(&call);
    assert_result(blockjob_listener_next_event(world->listener, 0, &event), -EBUSY);
    assert_result(blockjob_listener_next_event(world->listener, -1, &event), -EBUSY);
    assert_false(atomic_load(&call.returned));
    assert_null(event);
    say_completed(world->qemu, "j");
    assert_int_equal(call_join(&call), 0);
    assert_text(blockjob_event_get_job_id(wait.event), "j");
    blockjob_event_unref(wait.event);
    /* Then it is another thread's turn. */
    say_completed(world->qemu, "k");
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, "k");
}

struct nested {
    blockjob_listener *listener;
    int next, freed, stopped;
    blockjob_event *event;
};

static void call_in_free(void *opaque)
{
    struct nested *nested = opaque;

    nested->next = blockjob_listener_next_event(nested->listener, -1, &nested->event);
    nested->freed = blockjob_listener_free(nested->listener);
}

/* The free function of a closed monitor's subscription runs inside the call. */
static void never_for_itself(void **state)
{
    struct world *world = *state;
    struct nested nested = { .listener = world->listener };

    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL,
                                      BLOCKJOB_EVENT_CLOSED, NULL, &nested, call_in_free) > 0);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    expect_pulled(world, BLOCKJOB_EVENT_CLOSED, NULL);
    assert_int_equal(nested.next, -EDEADLK);
    assert_int_equal(nested.freed, -EDEADLK);
    assert_null(nested.event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_pull(as_long_as_it_may),
        test_pull(until_an_event_comes),
        test_pull(the_time_is_for_all_of_it),
        test_pull(until_a_late_subscription_brings_one),
        test_pull(until_the_listener_is_stopped),
        test_pull(never_for_what_a_stop_gave_up),
        test_pull(the_listeners_end_waits_for_it),
        test_pull(one_thread_at_a_time),
        test_pull(never_for_itself),
    };

    return run_all(tests);
}
