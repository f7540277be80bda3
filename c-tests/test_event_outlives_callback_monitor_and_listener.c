/* An event that was referenced stays whole when everything it came from is gone. */
#include "harness.h"

static void assert_still_whole(const blockjob_event *event)
{
    int64_t seconds = 0, microseconds = 0;

    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_job_id(event), "kept");
    assert_text(blockjob_event_get_type_name(event), "stream");
    assert_int_equal(blockjob_event_get_len(event), 4096);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    assert_result(blockjob_event_get_timestamp(event, &seconds, &microseconds), 0);
    assert_int_equal(seconds, 1700000000);
    assert_non_null(strstr(blockjob_event_get_json(event), "\"BLOCK_JOB_COMPLETED\""));
    assert_non_null(strstr(blockjob_event_get_line(event), " job=kept "));
}

/* The recorder has taken a reference in the callback and gives it back as the last thing. */
static void event_outlives_all(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    struct recorder *recorder = recorder_new();
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor;
    blockjob_event *event;

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    record(listener, NULL, recorder);
    monitor = connected_monitor(listener, qemu);
    say_completed(qemu, "kept");
    event = recorder_next_of(recorder, BLOCKJOB_EVENT_COMPLETED);
    assert_still_whole(event);

    assert_result(blockjob_monitor_close(monitor), 0);
    recorder_next_of(recorder, BLOCKJOB_EVENT_CLOSED);
    blockjob_monitor_unref(monitor);
    assert_still_whole(event);
    assert_text(blockjob_monitor_get_name(blockjob_event_get_monitor(event)),
                scripted_monitor_address(qemu));

    assert_result(blockjob_listener_free(listener), 0);
    assert_still_whole(event);
    assert_text(blockjob_monitor_get_name(blockjob_event_get_monitor(event)),
                scripted_monitor_address(qemu));

    recorder_destroy(recorder);
    scripted_monitor_destroy(qemu);
}

/* ref gives its argument back, so that `keep(blockjob_event_ref(event))` can be written. */
static void ref_gives_the_event_back(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    say_completed(world->qemu, "kept");
    event = recorder_next(world->recorder);
    assert_ptr_equal(blockjob_event_ref(event), event);
    blockjob_event_unref(event);
    assert_still_whole(event);
    blockjob_event_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_outlives_all),
        test_connected(ref_gives_the_event_back),
    };

    return run_all(tests);
}
