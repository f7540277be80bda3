/*
 * A monitor knows as many jobs at a time as it was set for. Of others that QEMU has, one OVERFLOW
 * says how many events were left out; the ends of those that are known come all the same.
 */
#include "harness.h"

static int begin_with_one_job(void **state)
{
    struct world *world;

    world_begin(state);
    world = *state;
    assert_result(blockjob_monitor_set_job_limit(world->monitor, 1), 0);
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    return 0;
}

static void and_those_that_are_known_end(void **state)
{
    struct world *world = *state;
    blockjob_event *event;
    blockjob_job *job = NULL;
    int64_t dropped = 0;

    say_status(world->qemu, "known", "created");
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_text(blockjob_event_get_job_id(event), "known");
    assert_result(blockjob_job_new(world->monitor, "mine", 0, &job), -ENOBUFS);
    assert_null(job);

    say_status(world->qemu, "other", "created");
    say_completed(world->qemu, "known");
    while (dropped == 0) {
        event = recorder_next(world->recorder);
        assert_int_not_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_COMPLETED);
        if (blockjob_event_get_kind(event) == BLOCKJOB_EVENT_OVERFLOW) {
            dropped = blockjob_event_get_dropped(event);
        }
    }
    assert_true(dropped == 1);
    assert_true(blockjob_monitor_get_stat(world->monitor, BLOCKJOB_STAT_DROPPED) == 1);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_job_id(event), "known");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(and_those_that_are_known_end, begin_with_one_job,
                                        world_end),
    };

    return run_all(tests);
}
