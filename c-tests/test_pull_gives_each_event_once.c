/*
 * A program that pulls gets each event that its subscriptions ask for, once, those of a monitor in
 * order; a late subscription first brings the ends that nobody has taken.
 */
#include "harness.h"

static void in_order_and_only_what_was_subscribed_to(void **state)
{
    struct world *world = *state;

    subscribe(world, NULL, BLOCKJOB_EVENT_STATUS | BLOCKJOB_EVENT_CANCELLED);
    say_status(world->qemu, "j", "running");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_READY', 'data': {'device': 'j'}}");
    say_status(world->qemu, "j", "ready");
    say_completed(world->qemu, "other");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_CANCELLED', 'data': {'type': 'mirror', 'device': "
                          "'j', 'len': 9, 'offset': 5, 'speed': 0}}");
    wait_until_read(world);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "j");
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "j");
    expect_pulled(world, BLOCKJOB_EVENT_CANCELLED, "j");
    expect_nothing(world);
}

static void once_whoever_subscribes(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 3; i++) {
        subscribe(world, i == 0 ? "j" : NULL, BLOCKJOB_EVENT_STATUS | BLOCKJOB_EVENT_FINAL);
    }
    assert_true(blockjob_callback_add(world->listener, NULL, NULL,
                                      BLOCKJOB_EVENT_FINAL | BLOCKJOB_OBSERVE, NULL, NULL,
                                      NULL) > 0);
    say_status(world->qemu, "j", "running");
    say_completed(world->qemu, "j");
    wait_until_read(world);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "j");
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, "j");
    expect_nothing(world);
}

static void of_several_monitors(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = scripted_monitor_new();
    blockjob_monitor *monitor;
    blockjob_event *event;
    int here = 0, there = 0;

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_STATUS, NULL,
                                      NULL, NULL) > 0);
    monitor = connected_monitor(world->listener, qemu);
    for (int i = 0; i < 3; i++) {
        say_status(world->qemu, "here", "running");
        say_status(qemu, "there", "running");
    }
    then_wait_read(qemu);
    script_done(qemu);
    wait_until_read(world);
    for (int i = 0; i < 6; i++) {
        event = pulled(world);
        here += blockjob_event_get_monitor(event) == world->monitor;
        there += blockjob_event_get_monitor(event) == monitor;
        blockjob_event_unref(event);
    }
    assert_int_equal(here, 3);
    assert_int_equal(there, 3);
    expect_nothing(world);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

static void a_removed_subscription_brings_nothing_more(void **state)
{
    struct world *world = *state;
    int64_t id = subscribe(world, NULL, BLOCKJOB_EVENT_STATUS);

    say_status(world->qemu, "j", "running");
    say_status(world->qemu, "j", "ready");
    wait_until_read(world);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "j");
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    expect_nothing(world); /* not even what waited */
    assert_result(blockjob_callback_remove(world->listener, id, 0), -ENOENT);
}

/* It sees what is read after it was made, and nothing of before but ends. */
static void a_late_one_brings_the_ends_that_nobody_has(void **state)
{
    struct world *world = *state;
    char job_id[16];

    for (int i = 1; i <= 3; i++) {
        snprintf(job_id, sizeof job_id, "j%d", i);
        say_completed(world->qemu, job_id);
    }
    say_status(world->qemu, "j4", "running");
    wait_until_read(world);
    expect_nothing(world); /* their turn is over */
    say_completed(world->qemu, "j4"); /* its turn is not */
    wait_until_read(world);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    subscribe(world, "j2", BLOCKJOB_EVENT_ALL);
    say_completed(world->qemu, "j5");
    wait_until_read(world);
    for (int i = 1; i <= 5; i++) {
        snprintf(job_id, sizeof job_id, "j%d", i);
        expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, job_id);
    }
    expect_nothing(world);
}

/* The one program has it: another subscription is no other program. */
static void what_was_given_out_does_not_come_again(void **state)
{
    struct world *world = *state;
    blockjob_event *held;

    subscribe(world, "j", BLOCKJOB_EVENT_FINAL);
    say_completed(world->qemu, "j");
    held = pulled(world);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    expect_nothing(world);
    blockjob_event_unref(held);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    expect_nothing(world);
}

/* A wait on a handle is another way to get it, which does not take it from the subscriptions. */
static void a_wait_takes_nothing_away(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, OWNER "-1", 0);
    blockjob_event *waited = NULL, *event;

    say_job(world->qemu, OWNER "-1");
    wait_until_read(world);
    assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &waited), 0);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    event = pulled(world);
    assert_text(blockjob_event_get_job_id(event), OWNER "-1");
    expect_nothing(world);
    blockjob_event_unref(event);
    blockjob_event_unref(waited);
    blockjob_job_free(job);
}

/* CLOSED is the last event of a monitor, and ends its subscriptions; their frees run here. */
static void closed_is_the_last_and_frees(void **state)
{
    struct world *world = *state;
    int64_t id = blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL,
                                       NULL, world->recorder, recorder_release);

    assert_true(id > 0);
    then_say(world->qemu, "{'event': 'JOB_STATUS_CHANGE', 'data': {'id': 'j', 'status': "
                          "'running'}}");
    wait_until_read(world);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, "j");
    expect_pulled(world, BLOCKJOB_EVENT_DISCONNECTED, NULL);
    expect_pulled(world, BLOCKJOB_EVENT_LOST, "j");
    assert_int_equal(recorder_freed(world->recorder), 0);
    expect_pulled(world, BLOCKJOB_EVENT_CLOSED, NULL);
    assert_int_equal(recorder_freed(world->recorder), 1);
    assert_result(blockjob_callback_remove(world->listener, id, 0), -ENOENT);
    expect_nothing(world);
}

/* An event holds as long as it is referenced, whatever has gone. */
static void an_event_outlives_the_listener(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_completed(world->qemu, "j");
    event = pulled(world);
    end_listener(world);
    assert_text(blockjob_event_get_job_id(event), "j");
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_pull(in_order_and_only_what_was_subscribed_to),
        test_pull(once_whoever_subscribes),
        test_pull(of_several_monitors),
        test_pull(a_removed_subscription_brings_nothing_more),
        test_pull(a_late_one_brings_the_ends_that_nobody_has),
        test_pull(what_was_given_out_does_not_come_again),
        test_pull(a_wait_takes_nothing_away),
        test_pull(closed_is_the_last_and_frees),
        test_pull(an_event_outlives_the_listener),
    };

    return run_all(tests);
}
