/*
 * A QEMU that does not answer within the time set is UNRESPONSIVE, which is a state and ends
 * nothing; when it answers again it is RESPONSIVE.
 */
#include "harness.h"

static void until_it_answers_again(void **state)
{
    struct world *world = *state;
    blockjob_job *job;
    blockjob_event *event = NULL;

    assert_result(blockjob_monitor_set_keepalive(world->monitor, 1, 50), 0);
    assert_result(blockjob_monitor_set_lost_after(world->monitor, 1), 0);
    connect_to(world->monitor, world->qemu);
    job = handle_of(world, "living", 0);
    say_begun(world->qemu, "living");
    then_expect(world->qemu, "\"query-version\"");

    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_UNRESPONSIVE);
    assert_text(blockjob_event_get_name(event), "UNRESPONSIVE");
    assert_int_not_equal(strlen(blockjob_event_get_reason(event)), 0);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_UNRESPONSIVE);
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_monitor_start(world->monitor), -EALREADY);
    event = NULL;
    assert_result(blockjob_job_wait(job, 100, &event), -ETIMEDOUT); /* nothing is given up */

    then_return(world->qemu);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_RESPONSIVE);
    assert_text(blockjob_event_get_name(event), "RESPONSIVE");
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
    say_ended(world->qemu, "living");
    event = NULL;
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

static void never_when_it_is_not_asked(void **state)
{
    struct world *world = *state;

    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(until_it_answers_again),
        test_owned_connected(never_when_it_is_not_asked),
    };

    return run_all(tests);
}
