/*
 * The end of a job of the program's is acknowledged, and the job dismissed, when somebody who
 * claimed it was served, each claim was served or withdrawn, and the program holds no reference.
 */
#include "harness.h"

static const char ours[] = OWNER "-1";

/* While the callback runs QEMU is asked for nothing; then it is. */
static void when_the_callback_has_returned(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    taker_stand_at(taker, world->gate);
    taker_add(taker, world->listener, NULL, NULL, 0);
    say_job(world->qemu, ours);
    gate_wait_entered(world->gate);
    expect_nothing_sent(world);
    gate_open(world->gate);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    assert_int_equal(taker_count(taker), 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

static void when_every_callback_has(void **state)
{
    struct world *world = *state;
    struct taker *first = taker_new(), *second = taker_new();

    taker_stand_at(second, world->gate);
    taker_add(first, world->listener, NULL, NULL, 0);
    taker_add(second, world->listener, world->monitor, ours, 0);
    say_job(world->qemu, ours);
    gate_wait_entered(world->gate);
    assert_int_equal(taker_count(first), 1);
    expect_nothing_sent(world);
    gate_open(world->gate);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(first);
    taker_destroy(second);
}

static void when_the_last_reference_is_released(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_event *kept, *again;

    taker_keep(taker);
    taker_add(taker, world->listener, NULL, ours, 0);
    say_job(world->qemu, ours);
    taker_next(taker);
    pass_fence(world, world->qemu);
    kept = taker_kept(taker);
    again = blockjob_event_ref(kept);
    expect_nothing_sent(world);
    blockjob_event_unref(kept);
    expect_nothing_sent(world);
    blockjob_event_unref(again);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

/* Nobody asked for it, so nobody has it: it waits. */
static void never_when_nobody_claims_it(void **state)
{
    struct world *world = *state;

    say_job(world->qemu, ours);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
}

static void when_a_wait_has_given_it_out(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    assert_text(blockjob_event_get_job_id(event), blockjob_job_get_id(job));
    expect_nothing_sent(world);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    blockjob_job_free(job);
}

/* An open handle claims it, whether anybody waits or not; freed, its claim is withdrawn. */
static void not_before_the_open_handle_is_served_or_freed(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);
    char id[128];

    snprintf(id, sizeof id, "%s", blockjob_job_get_id(job));
    taker_add(taker, world->listener, NULL, NULL, 0);
    start_job(world, job);
    say_ended(world->qemu, id);
    assert_text(taker_next(taker).job_id, id);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    blockjob_job_free(job);
    then_dismiss(world->qemu, id);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

/* The program may say so itself; others still get what they asked for. */
static void at_once_when_the_program_says_so(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    taker_stand_at(taker, world->gate);
    taker_add(taker, world->listener, NULL, NULL, 0);
    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    gate_wait_entered(world->gate);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_event_acknowledge(event, PATIENCE_SECONDS * 1000), 0);
    script_done(world->qemu);
    assert_result(blockjob_event_acknowledge(event, PATIENCE_SECONDS * 1000), 0);
    blockjob_event_unref(event);
    gate_open(world->gate);
    blockjob_job_free(job);
    expect_nothing_sent(world); /* not twice */
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(taker_count(taker), 1);
    taker_destroy(taker);
}

static void an_event_that_is_no_end_cannot_be_taken(void **state)
{
    struct world *world = *state;

    say_status(world->qemu, "j", "running");
    assert_result(blockjob_event_acknowledge(recorder_next(world->recorder), 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(when_the_callback_has_returned),
        test_owned_connected(when_every_callback_has),
        test_owned_connected(when_the_last_reference_is_released),
        test_owned_connected(never_when_nobody_claims_it),
        test_owned_connected(when_a_wait_has_given_it_out),
        test_owned_connected(not_before_the_open_handle_is_served_or_freed),
        test_owned_connected(at_once_when_the_program_says_so),
        test_owned_connected(an_event_that_is_no_end_cannot_be_taken),
    };

    return run_all(tests);
}
