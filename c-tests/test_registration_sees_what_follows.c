/*
 * A registration sees every event that is read after blockjob_callback_add() has returned, whatever
 * else is asked of the listener in the same moment: here that a connection failed, and the end of a
 * monitor. The reader sleeps when it is asked, and so takes two requests together.
 */
#include "harness.h"

/* So many times, since which requests are taken together is the scheduler's choice. */
#define TIMES 50

static blockjob_listener *new_listener(struct recorder **out_recorder)
{
    blockjob_listener *listener = NULL;

    assert_result(blockjob_listener_new(&listener), 0);
    *out_recorder = recorder_new();
    return listener;
}

static void listen_to(blockjob_listener *listener, blockjob_monitor *monitor,
                      struct recorder *recorder)
{
    assert_true(blockjob_callback_add(listener, monitor, NULL, BLOCKJOB_EVENT_ALL,
                                      recorder_callback, recorder, recorder_release) > 0);
}

static void a_connection_that_fails_at_once_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        struct recorder *recorder;
        blockjob_listener *listener = new_listener(&recorder);
        blockjob_monitor *monitor = NULL;
        blockjob_job *job = NULL;

        assert_result(blockjob_monitor_new(listener, "unix:/nonexistent.qmp", &monitor), 0);
        listen_to(listener, monitor, recorder);
        assert_result(blockjob_monitor_start(monitor), 0);
        assert_result(blockjob_job_new(monitor, "job", 0, &job), 0);
        assert_int_equal(blockjob_event_get_kind(recorder_next(recorder)),
                         BLOCKJOB_EVENT_DISCONNECTED);
        blockjob_job_free(job);
        blockjob_monitor_unref(monitor);
        assert_result(blockjob_listener_free(listener), 0);
        recorder_destroy(recorder);
    }
}

static void a_monitor_that_is_closed_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        struct recorder *recorder;
        blockjob_listener *listener = new_listener(&recorder);
        blockjob_monitor *monitor = NULL, *other = NULL;
        blockjob_job *job = NULL;

        assert_result(blockjob_monitor_new(listener, "unix:/nonexistent.qmp", &monitor), 0);
        assert_result(blockjob_monitor_new(listener, "unix:/nowhere.qmp", &other), 0);
        listen_to(listener, monitor, recorder);
        blockjob_monitor_close(monitor);
        assert_result(blockjob_job_new(other, "job", 0, &job), 0);
        assert_int_equal(blockjob_event_get_kind(recorder_next(recorder)), BLOCKJOB_EVENT_CLOSED);
        blockjob_job_free(job);
        blockjob_monitor_unref(other);
        blockjob_monitor_unref(monitor);
        assert_result(blockjob_listener_free(listener), 0);
        recorder_destroy(recorder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_fails_at_once_is_told),
        cmocka_unit_test(a_monitor_that_is_closed_is_told),
    };

    return run_all(tests);
}
