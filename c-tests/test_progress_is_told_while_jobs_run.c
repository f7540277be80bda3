/*
 * A monitor that was set so tells how far its running jobs are: one question for all of them, never
 * two at a time, what is new alone, and nothing after a job's end.
 */
#include "harness.h"

static const char running[] =
    "{'device': 'j', 'type': 'stream', 'status': 'running', 'len': 100, 'offset': %d, 'speed': 7}";

static void answer_progress(struct world *world, int offset)
{
    char list[256];

    snprintf(list, sizeof list, running, offset);
    then_expect(world->qemu, "\"query-block-jobs\"");
    then_answer_list(world->qemu, list);
}

static void connect_set(struct world *world)
{
    assert_result(blockjob_monitor_set_progress(world->monitor, 1), 0);
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
}

static void with_its_members_and_what_is_new_alone(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    connect_set(world);
    expect_nothing_sent(world); /* no job runs */
    say_begun(world->qemu, "j");
    answer_progress(world, 10);
    answer_progress(world, 10);
    answer_progress(world, 20);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_PROGRESS);
    assert_text(blockjob_event_get_name(event), "PROGRESS");
    assert_text(blockjob_event_get_job_id(event), "j");
    assert_int_equal(blockjob_event_get_type(event), BLOCKJOB_TYPE_STREAM);
    assert_text(blockjob_event_get_type_name(event), "stream");
    assert_int_equal(blockjob_event_get_status(event), BLOCKJOB_STATUS_RUNNING);
    assert_text(blockjob_event_get_status_name(event), "running");
    assert_int_equal(blockjob_event_get_len(event), 100);
    assert_int_equal(blockjob_event_get_offset(event), 10);
    assert_int_equal(blockjob_event_get_speed(event), 7);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_UNKNOWN);
    assert_non_null(strstr(blockjob_event_get_line(event),
                           " PROGRESS job=j type=stream status=running len=100 offset=10 speed=7"));
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_PROGRESS);
    assert_int_equal(blockjob_event_get_offset(event), 20);
}

/* The question is unanswered when the job ends, and its answer is older than that. */
static void and_none_after_the_end(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    size_t before;

    taker_add(taker, world->listener, NULL, "j", 0);
    connect_set(world);
    say_begun(world->qemu, "j");
    then_expect(world->qemu, "\"query-block-jobs\"");
    say_ended(world->qemu, "j");
    assert_int_equal(taker_next(taker).outcome, BLOCKJOB_OUTCOME_SUCCEEDED);
    then_answer(world->qemu, "{\"id\": $ID, \"return\": [{\"device\": \"j\", "
                             "\"type\": \"stream\", \"len\": 100, \"offset\": 99, "
                             "\"speed\": 7}]}\r\n");
    script_done(world->qemu);
    pass_fence(world, world->qemu);
    before = recorder_count(world->recorder);
    for (size_t i = 0; i < before; i++) {
        assert_int_not_equal(blockjob_event_get_kind(recorder_get(world->recorder, i)),
                             BLOCKJOB_EVENT_PROGRESS);
    }
    expect_nothing_sent(world); /* and nobody is asked any more */
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

/* While a callback stands, the latest is kept for each job. */
static void the_latest_is_kept_for_a_slow_program(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    assert_true(blockjob_callback_add(world->listener, NULL, "gate", BLOCKJOB_EVENT_STATUS,
                                      gate_callback, world->gate, NULL) > 0);
    connect_set(world);
    say_status(world->qemu, "gate", "created");
    gate_wait_entered(world->gate);
    say_begun(world->qemu, "j");
    for (int i = 1; i <= 20; i++) {
        answer_progress(world, i);
    }
    then_expect(world->qemu, "\"query-block-jobs\""); /* so the one before was taken in */
    script_done(world->qemu);
    gate_open(world->gate);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_PROGRESS);
    assert_int_equal(blockjob_event_get_offset(event), 20);
}

static void never_unless_it_is_set(void **state)
{
    struct world *world = *state;

    connect_to(world->monitor, world->qemu);
    say_begun(world->qemu, "j");
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
}

static void nor_when_it_is_set_to_never(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_progress(world->monitor, 1), 0);
    assert_result(blockjob_monitor_set_progress(world->monitor, -1), 0);
    never_unless_it_is_set(state);
    assert_result(blockjob_monitor_set_progress(world->monitor, 1), -EBUSY);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_progress(NULL, 1), -EINVAL);
    assert_result(blockjob_monitor_set_progress(world->monitor, 0), -EINVAL);
    assert_non_null(strstr(blockjob_last_error(), "interval_ms is 0"));
    assert_result(blockjob_monitor_set_progress(world->monitor, -2), -EINVAL);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_result(blockjob_monitor_set_progress(world->monitor, 1), -ESHUTDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(with_its_members_and_what_is_new_alone),
        test_owned(and_none_after_the_end),
        test_owned(the_latest_is_kept_for_a_slow_program),
        test_owned(never_unless_it_is_set),
        test_owned(nor_when_it_is_set_to_never),
        test_owned(what_makes_no_sense_is_refused),
    };

    return run_all(tests);
}
