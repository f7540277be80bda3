/*
 * In pull mode an end is taken when next_event has given it out, and acknowledged, so that the job
 * is dismissed, when its last reference is released.
 */
#include "harness.h"

static const char ours[] = OWNER "-1";

static void when_it_is_released(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_job(world->qemu, ours);
    wait_until_read(world);
    expect_nothing_sent(world); /* it waits */
    event = pulled(world);
    assert_text(blockjob_event_get_job_id(event), ours);
    expect_nothing_sent(world); /* the program has it in hand */
    blockjob_event_unref(event);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    expect_nothing_sent(world); /* not twice */
}

static void when_the_last_reference_is(void **state)
{
    struct world *world = *state;
    blockjob_event *event, *again;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_job(world->qemu, ours);
    event = pulled(world);
    again = blockjob_event_ref(event);
    blockjob_event_unref(event);
    expect_nothing_sent(world);
    blockjob_event_unref(again);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

/* All subscriptions are served by giving it out once. */
static void once_for_all_subscriptions(void **state)
{
    struct world *world = *state;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    subscribe(world, ours, BLOCKJOB_EVENT_ALL);
    subscribe(world, NULL, BLOCKJOB_EVENT_COMPLETED);
    say_begun(world->qemu, ours);
    say_completed(world->qemu, ours);
    say_status(world->qemu, ours, "concluded");
    wait_until_read(world);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, ours);
    expect_pulled(world, BLOCKJOB_EVENT_STATUS, ours);
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, ours);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

static void what_a_late_subscription_brings_as_well(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    say_job(world->qemu, ours);
    wait_until_read(world);
    expect_nothing(world);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    event = pulled(world);
    assert_text(blockjob_event_get_job_id(event), ours);
    expect_nothing(world);
    expect_nothing_sent(world);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

/* Who looks on gets it, and it is not taken by that: it comes again to who claims it. */
static void never_by_who_looks_on(void **state)
{
    struct world *world = *state;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL | BLOCKJOB_OBSERVE);
    say_job(world->qemu, ours);
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, ours);
    expect_nothing_sent(world);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, ours);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    expect_nothing(world);
}

static void not_before_the_open_handle_is_freed(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, ours, 0);

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_job(world->qemu, ours);
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, ours);
    expect_nothing_sent(world);
    blockjob_job_free(job);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

/* A removed subscription has not taken what it was not given: another one gets it. */
static void never_by_removing(void **state)
{
    struct world *world = *state;
    int64_t id = subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);

    say_job(world->qemu, ours);
    wait_until_read(world);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    expect_nothing(world);
    expect_nothing_sent(world);
    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    expect_pulled(world, BLOCKJOB_EVENT_COMPLETED, ours);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

/* Removed while the program holds it: it has it. */
static void what_is_in_hand_stays_taken(void **state)
{
    struct world *world = *state;
    int64_t id = subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    blockjob_event *event;

    say_job(world->qemu, ours);
    event = pulled(world);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    expect_nothing_sent(world);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

static void at_once_when_the_program_says_so(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_job(world->qemu, ours);
    event = pulled(world);
    then_dismiss(world->qemu, ours);
    assert_result(blockjob_event_acknowledge(event, PATIENCE_SECONDS * 1000), 0);
    script_done(world->qemu);
    blockjob_event_unref(event);
    expect_nothing_sent(world);
}

/* What a stopped listener's program releases is not acknowledged: it comes when it runs again. */
static void never_after_the_stop(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    subscribe(world, NULL, BLOCKJOB_EVENT_FINAL);
    say_job(world->qemu, ours);
    wait_until_read(world);
    event = pulled(world);
    assert_result(blockjob_listener_stop(world->listener), 0);
    blockjob_event_unref(event);
    then_expect_end(world->qemu);
    script_done(world->qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_pull(when_it_is_released),
        test_pull(when_the_last_reference_is),
        test_pull(once_for_all_subscriptions),
        test_pull(what_a_late_subscription_brings_as_well),
        test_pull(never_by_who_looks_on),
        test_pull(not_before_the_open_handle_is_freed),
        test_pull(never_by_removing),
        test_pull(what_is_in_hand_stays_taken),
        test_pull(at_once_when_the_program_says_so),
        test_pull(never_after_the_stop),
    };

    return run_all(tests);
}
