/*
 * When a connection ends the next one is made by itself. In between DISCONNECTED and CONNECTED
 * stands how those jobs ended that nobody heard of meanwhile, and CONNECTED says how many.
 */
#include "harness.h"

static const char listed_concluded[] =
    "{'id': '" OWNER "-1', 'type': 'stream', 'status': 'concluded', 'current-progress': 9, "
    "'total-progress': 9}, {'id': '" OWNER "-2', 'type': 'backup', 'status': 'concluded', "
    "'current-progress': 1, 'total-progress': 9, 'error': 'No space left on device'}";

static void negotiate_with(struct scripted_monitor *qemu, const char *jobs)
{
    then_accept(qemu);
    then_greet(qemu);
    then_expect(qemu, "qmp_capabilities");
    then_return(qemu);
    then_list(qemu, jobs, "");
}

static void by_itself_and_with_the_ends_of_the_gap(void **state)
{
    struct world *world = *state;
    struct recorder *all = recorder_new();
    blockjob_event *event;

    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    record(world->listener, NULL, all);
    connect_to(world->monitor, world->qemu);
    event = recorder_next(all);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_FIRST);
    assert_int_equal(blockjob_event_get_recovered(event), 0);
    say_begun(world->qemu, OWNER "-1");
    say_begun(world->qemu, OWNER "-2");
    say_begun(world->qemu, "foreign");
    for (int i = 0; i < 6; i++) {
        recorder_next(all);
    }
    then_hang_up(world->qemu);
    negotiate_with(world->qemu, listed_concluded);

    event = recorder_next(all);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_DISCONNECTED);
    assert_int_not_equal(strlen(blockjob_event_get_reason(event)), 0);
    for (int i = 1; i <= 3; i++) {
        event = recorder_next(all);
        if (strcmp(blockjob_event_get_job_id(event), OWNER "-1") == 0) {
            assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
            assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_RECOVERED);
        } else if (strcmp(blockjob_event_get_job_id(event), OWNER "-2") == 0) {
            assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_FAILED);
            assert_text(blockjob_event_get_error(event), "No space left on device");
            assert_int_equal(blockjob_event_get_len(event), 9);
            assert_int_equal(blockjob_event_get_offset(event), 1);
        } else {
            assert_text(blockjob_event_get_job_id(event), "foreign");
            assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
            assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_GONE);
            assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_INFERRED);
        }
    }
    event = recorder_next(all);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_recovered(event), 2);
    /* The monitor is a thread of this very program, of which nothing can be said. */
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_UNKNOWN);
    assert_non_null(strstr(blockjob_event_get_line(event), " recovered=2"));
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(all);
}

/* A job that still lives goes on: its end is told as it happens. */
static void and_a_job_that_lives_goes_on(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    struct end end;

    taker_add(taker, world->listener, NULL, NULL, 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    connect_to(world->monitor, world->qemu);
    /* While it waits to be delivered a newer one takes its place. */
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    say_begun(world->qemu, OWNER "-1");
    then_hang_up(world->qemu);
    negotiate_with(world->qemu, "{'id': '" OWNER "-1', 'type': 'stream', 'status': 'running', "
                                "'current-progress': 0, 'total-progress': 9}");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    say_ended(world->qemu, OWNER "-1");
    end = taker_next(taker);
    assert_text(end.job_id, OWNER "-1");
    assert_int_equal(end.origin, BLOCKJOB_ORIGIN_LIVE);
    assert_int_equal(end.outcome, BLOCKJOB_OUTCOME_SUCCEEDED);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(taker_count(taker), 1);
    taker_destroy(taker);
}

/* Nobody waits for a pause that is long: a start makes the next attempt at once. */
static void at_once_when_the_program_starts_it(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_reconnect(world->monitor, 3600000, 3600000), 0);
    connect_to(world->monitor, world->qemu);
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_DISCONNECTED);
    then_negotiate(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
}

/* Attempts that fail for one reason are told once; each that the program asks for is. */
static void one_reason_is_told_once(void **state)
{
    struct world *world = *state;
    blockjob_monitor *nowhere = NULL;
    struct recorder *recorder = recorder_new();

    assert_result(blockjob_monitor_new(world->listener, "unix:/nonexistent/qmp", &nowhere), 0);
    assert_result(blockjob_monitor_set_reconnect(nowhere, 1, 2), 0);
    record(world->listener, nowhere, recorder);
    assert_result(blockjob_monitor_connect(nowhere, -1), -ENOENT);
    assert_int_equal(blockjob_event_get_kind(recorder_next(recorder)),
                     BLOCKJOB_EVENT_DISCONNECTED);
    for (int i = 0; i < 20; i++) {
        int result = blockjob_monitor_connect(nowhere, -1); /* ends with an attempt of its own */

        assert_int_equal(result, -ENOENT);
    }
    assert_in_range(recorder_count(recorder), 1, 21);
    assert_result(blockjob_monitor_close(nowhere), 0);
    recorder_next_of(recorder, BLOCKJOB_EVENT_CLOSED);
    recorder_wait_freed(recorder, 1);
    blockjob_monitor_unref(nowhere);
    recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(by_itself_and_with_the_ends_of_the_gap),
        test_owned(and_a_job_that_lives_goes_on),
        test_owned(at_once_when_the_program_starts_it),
        test_owned(one_reason_is_told_once),
    };

    return run_all(tests);
}
