/*
 * A job is watched before its command is sent, so no order of events and reply loses anything. What
 * the library adds to the command; what becomes of a start that QEMU refuses, does not answer, or
 * whose connection ends.
 */
#include "harness.h"

static const char arguments[] = "{\"device\":\"d0\"}";

static int start_for_ever(void *job)
{
    return blockjob_job_start(job, "block-stream", arguments, -1);
}

static void whose_end_comes_before_the_reply(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;
    struct call call;

    taker_add(taker, world->listener, NULL, NULL, 0);
    then_expect(world->qemu, "\"block-stream\"");
    say_job(world->qemu, blockjob_job_get_id(job));
    call_start(&call, start_for_ever, job);
    assert_text(taker_next(taker).job_id, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    then_return(world->qemu);
    assert_int_equal(call_join(&call), 0);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    blockjob_job_free(job);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(taker_count(taker), 1);
    taker_destroy(taker);
}

/* The job id, and that the job stays; before the program's arguments. */
static void with_what_the_library_adds(void **state)
{
    struct world *world = *state;
    blockjob_job *first = handle_of(world, NULL, 0), *second = handle_of(world, NULL, 0);
    char wanted[512];

    assert_int_equal(strncmp(blockjob_job_get_id(first), OWNER "-", strlen(OWNER "-")), 0);
    assert_int_not_equal(strcmp(blockjob_job_get_id(first), blockjob_job_get_id(second)), 0);
    assert_in_range(strlen(blockjob_job_get_id(first)), 20, 100);
    snprintf(wanted, sizeof wanted,
             "\"execute\":\"block-stream\",\"arguments\":{\"job-id\":\"%s\","
             "\"auto-dismiss\":false,\"device\":\"d0\"}", blockjob_job_get_id(first));
    then_expect(world->qemu, wanted);
    then_return(world->qemu);
    assert_int_equal(start_for_ever(first), 0);
    assert_result(blockjob_job_start(first, "block-stream", arguments, -1), -EALREADY);
    blockjob_job_free(first);
    blockjob_job_free(second);
}

static void that_qemu_refuses_has_no_end_and_may_be_repeated(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    taker_add(taker, world->listener, NULL, NULL, 0);
    then_expect(world->qemu, "\"block-stream\"");
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"DeviceNotFound\", "
                             "\"desc\": \"Cannot find device=d0\"}}\r\n");
    assert_int_equal(start_for_ever(job), -EREMOTEIO);
    assert_non_null(strstr(blockjob_last_error(), "DeviceNotFound: Cannot find device=d0"));
    assert_non_null(strstr(blockjob_last_error(), blockjob_job_get_id(job)));
    assert_text(blockjob_last_error_class(), "DeviceNotFound");
    pass_fence(world, world->qemu);
    assert_result(blockjob_job_wait(job, 0, &event), -ETIMEDOUT);
    assert_text(taker_next(taker).job_id + strlen("fence-"), "1");

    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

/* The time is over, and the handle goes on watching; a late reply harms nothing. */
static void that_is_not_answered_in_time(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    then_expect(world->qemu, "\"block-stream\"");
    assert_result(blockjob_job_start(job, "block-stream", arguments, 20), -ETIMEDOUT);
    then_return(world->qemu);
    say_job(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

/* So does a late refusal: everybody is told that it was not started, and why. */
static void that_is_refused_when_the_time_is_over(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    struct taker *taker = taker_new();
    blockjob_event *event = NULL;

    taker_add(taker, world->listener, NULL, NULL, 0);
    then_expect(world->qemu, "\"block-stream\"");
    assert_result(blockjob_job_start(job, "block-stream", arguments, 20), -ETIMEDOUT);
    assert_result(blockjob_job_wait(job, 0, &event), -ETIMEDOUT);
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"DeviceNotFound\", "
                             "\"desc\": \"Cannot find device=d0\"}}\r\n");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_NOT_STARTED);
    assert_non_null(strstr(blockjob_event_get_reason(event), "it was not started: "));
    assert_non_null(strstr(blockjob_event_get_reason(event), "Cannot find device=d0"));
    assert_text(taker_next(taker).job_id, blockjob_job_get_id(job));
    assert_result(blockjob_job_start(job, "block-stream", arguments, -1), -EALREADY);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(taker_count(taker), 1);
    taker_destroy(taker);
}

static void without_a_connection_sends_nothing(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);

    assert_int_equal(start_for_ever(job), -ENOTCONN);
    assert_result(blockjob_job_complete(job, -1), -ENOTCONN);
    assert_result(blockjob_job_cancel(job, BLOCKJOB_CANCEL_FORCE, -1), -ENOTCONN);
    connect_to(world->monitor, world->qemu);
    start_job(world, job);
    blockjob_job_free(job);
}

/* Whether it was started is learned from QEMU: here, it was not. */
static void whose_connection_ends_before_the_reply(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    then_expect(world->qemu, "\"block-stream\"");
    then_hang_up(world->qemu);
    assert_int_equal(start_for_ever(job), -ECONNRESET);
    assert_result(blockjob_job_wait(job, 0, &event), -ETIMEDOUT);
    connect_to(world->monitor, world->qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_NOT_STARTED);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

/* Here, it was, and is already over. */
static void whose_connection_ends_and_that_succeeded(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;
    char jobs[512];

    then_expect(world->qemu, "\"block-stream\"");
    then_hang_up(world->qemu);
    assert_int_equal(start_for_ever(job), -ECONNRESET);
    snprintf(jobs, sizeof jobs,
             "{'id': '%s', 'type': 'stream', 'status': 'concluded', 'current-progress': 7, "
             "'total-progress': 7}", blockjob_job_get_id(job));
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, jobs, "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_RECOVERED);
    assert_non_null(strstr(blockjob_event_get_line(event), " origin=recovered "));
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void complete_and_cancel_are_told_of_the_job(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;
    char wanted[256];

    then_expect(world->qemu, "\"drive-mirror\"");
    then_return(world->qemu);
    assert_result(blockjob_job_start(job, "drive-mirror", arguments, -1), 0);
    say_begun(world->qemu, blockjob_job_get_id(job));

    then_expect(world->qemu, "\"job-complete\"");
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"GenericError\", "
                             "\"desc\": \"not ready\"}}\r\n");
    assert_result(blockjob_job_complete(job, -1), -EREMOTEIO);
    snprintf(wanted, sizeof wanted, "\"block-job-cancel\",\"arguments\":{\"device\":\"%s\","
             "\"force\":true}", blockjob_job_get_id(job));
    then_expect(world->qemu, wanted);
    assert_result(blockjob_job_cancel(job, BLOCKJOB_CANCEL_FORCE, 20), -ETIMEDOUT);
    then_return(world->qemu);

    say_status(world->qemu, blockjob_job_get_id(job), "ready");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_READY', 'data': {'type': 'mirror', "
             "'device': '%s', 'len': 1, 'offset': 1, 'speed': 0}}", blockjob_job_get_id(job));
    snprintf(wanted, sizeof wanted, "\"job-complete\",\"arguments\":{\"id\":\"%s\"}",
             blockjob_job_get_id(job));
    then_expect(world->qemu, wanted);
    then_return(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_READY);
    assert_result(blockjob_job_complete(job, -1), 0);
    then_say(world->qemu, "{'event': 'BLOCK_JOB_COMPLETED', 'data': {'type': 'mirror', "
             "'device': '%s', 'len': 1, 'offset': 1, 'speed': 0}}", blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_pivoted(event), BLOCKJOB_PIVOTED_YES);
    assert_non_null(strstr(blockjob_event_get_line(event), " pivoted=yes "));
    blockjob_event_unref(event);
    assert_result(blockjob_job_complete(job, -1), -ENOENT);
    assert_result(blockjob_job_start(job, "drive-mirror", arguments, -1), -EALREADY);
    blockjob_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(that_qemu_refuses_has_no_end_and_may_be_repeated),
        test_owned_connected(whose_end_comes_before_the_reply),
        test_owned_connected(with_what_the_library_adds),
        test_owned_connected(that_is_not_answered_in_time),
        test_owned_connected(that_is_refused_when_the_time_is_over),
        test_owned(without_a_connection_sends_nothing),
        test_owned_connected(whose_connection_ends_before_the_reply),
        test_owned_connected(whose_connection_ends_and_that_succeeded),
        test_owned_connected(complete_and_cancel_are_told_of_the_job),
    };

    return run_all(tests);
}
