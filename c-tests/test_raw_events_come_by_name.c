/*
 * Whoever asks for an event of QEMU's by its name gets it as it is, and nothing else; nobody is
 * asked for those that nobody wants. It is no claim, and may be dropped.
 */
#include "harness.h"

static int64_t add(struct world *world, blockjob_monitor *monitor, const char *name,
                   struct recorder *recorder)
{
    int64_t id = blockjob_callback_add_raw(world->listener, monitor, name, recorder_callback,
                                           recorder, recorder_release);

    if (id <= 0) {
        fail_msg("no raw callback could be added: %s", blockjob_last_error());
    }
    return id;
}

static const char shutdown[] = "{\"timestamp\": {\"seconds\": 17, \"microseconds\": 4}, \"event\": "
                               "\"SHUTDOWN\", \"data\": {\"guest\": true , \"\\u00e9\": [1.0]}}";

static void as_they_are(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new(), *all = recorder_new();
    blockjob_event *event;
    int64_t seconds, microseconds;

    add(world, world->monitor, "SHUTDOWN", recorder);
    add(world, NULL, NULL, all);
    then_say(world->qemu, "{'event': 'STOP', 'data': {}}");
    then_send(world->qemu, shutdown);
    event = recorder_next(recorder);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_RAW);
    assert_text(blockjob_event_get_name(event), "SHUTDOWN");
    assert_text(blockjob_event_get_json(event), shutdown);
    assert_int_equal(blockjob_event_get_timestamp(event, &seconds, &microseconds), 0);
    assert_true(seconds == 17 && microseconds == 4);
    assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
    assert_null(blockjob_event_get_job_id(event));
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_UNKNOWN);
    assert_non_null(strstr(blockjob_event_get_line(event), " SHUTDOWN json=\"{"));

    /* All of them, in their order, and those that the library knows too. */
    say_completed(world->qemu, "j");
    assert_text(blockjob_event_get_name(recorder_next(all)), "STOP");
    assert_text(blockjob_event_get_name(recorder_next(all)), "SHUTDOWN");
    event = recorder_next(all);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_RAW);
    assert_text(blockjob_event_get_name(event), "BLOCK_JOB_COMPLETED");
    assert_null(blockjob_event_get_job_id(event));
    pass_fence(world, world->qemu);
    assert_int_equal(recorder_count(recorder), 1);

    /* The world's recorder asked for every kind, and for no raw event. */
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_COMPLETED);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(recorder_freed(recorder), 1);
    assert_int_equal(recorder_freed(all), 1);
    recorder_destroy(recorder);
    recorder_destroy(all);
}

static void until_they_are_removed(void **state)
{
    struct world *world = *state;
    struct recorder *first = recorder_new(), *second = recorder_new();
    struct recorder *closed = recorder_new();
    int64_t id = add(world, NULL, "STOP", first);

    add(world, NULL, "STOP", second);
    add(world, world->monitor, NULL, closed);
    then_say(world->qemu, "{'event': 'STOP'}");
    recorder_next(first);
    recorder_next(second);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(recorder_freed(first), 1);
    then_say(world->qemu, "{'event': 'STOP'}");
    recorder_next(second);
    assert_int_equal(recorder_count(first), 1);
    assert_int_equal(recorder_misuses(first), 0);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_wait_freed(closed, 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(first);
    recorder_destroy(second);
    recorder_destroy(closed);
}

/* Before the greeting, and of a monitor that was made later, as with any other event. */
static void whenever_they_come(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new();

    add(world, NULL, "RESUME", recorder);
    then_accept(world->qemu);
    then_say(world->qemu, "{'event': 'RESUME'}");
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_text(blockjob_event_get_name(recorder_next(recorder)), "RESUME");
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(recorder);
}

/* A flood of what one registration wants drops the oldest, is counted, and costs no end of a job. */
static void that_are_too_many_are_dropped_and_counted(void **state)
{
    enum { COUNT = 3000 };
    struct world *world = *state;
    struct recorder *recorder = recorder_new();
    blockjob_event *event;
    int64_t dropped;

    assert_true(blockjob_callback_add(world->listener, NULL, "gate", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    say_completed(world->qemu, "gate");
    gate_wait_entered(world->gate);
    add(world, NULL, "STOP", recorder);
    for (int i = 0; i < COUNT; i++) {
        then_say(world->qemu, "{'event': 'STOP', 'data': {'n': %d}}", i);
    }
    say_completed(world->qemu, "j");
    then_wait_read(world->qemu);
    /* The reader has read all of it when it answers this. */
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL), 0);
    gate_open(world->gate);

    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_OVERFLOW);
    dropped = blockjob_event_get_dropped(event);
    assert_true(dropped > 0 && dropped < COUNT);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_job_id(event), "j");
    assert_int_equal(recorder_count(recorder), COUNT - dropped);
    event = recorder_get(recorder, (size_t)(COUNT - dropped - 1));
    assert_non_null(strstr(blockjob_event_get_json(event), "2999"));
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(recorder);
}

static void in_a_child(void *argument)
{
    struct world *world = argument;

    child_check(blockjob_callback_add_raw(world->listener, NULL, NULL, recorder_callback, NULL,
                                          recorder_release) == -ECHILD);
}

static void refused_and_freed(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new();
    blockjob_listener *listener = NULL;
    blockjob_monitor *other = NULL;
    char *long_name = calloc(1, 5000);
    size_t freed = 0;

    assert_non_null(long_name);
    memset(long_name, 'X', 4097);
    assert_result(blockjob_listener_new(&listener), 0);
    assert_result(blockjob_monitor_new(listener, "unix:/nowhere", &other), 0);
#define assert_refused(expected, listener, monitor, name, callback)                              \
    do {                                                                                         \
        assert_result(blockjob_callback_add_raw(listener, monitor, name, callback, recorder,     \
                                                recorder_release), expected);                    \
        assert_int_equal(recorder_freed(recorder), ++freed);                                     \
    } while (0)
    assert_refused(-EINVAL, NULL, NULL, NULL, recorder_callback);
    assert_refused(-EINVAL, world->listener, NULL, "", recorder_callback);
    assert_refused(-EINVAL, world->listener, NULL, "a b", recorder_callback);
    assert_refused(-EINVAL, world->listener, NULL, "STOP", NULL);
    assert_refused(-EINVAL, world->listener, other, "STOP", recorder_callback);
    assert_refused(-EILSEQ, world->listener, NULL, "\xff", recorder_callback);
    assert_refused(-ENAMETOOLONG, world->listener, NULL, long_name, recorder_callback);
    /* The kinds are in no mask. */
    assert_result(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_RAW,
                                        recorder_callback, recorder, NULL), -EINVAL);
    assert_result(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_REPLY,
                                        recorder_callback, recorder, NULL), -EINVAL);
    child_run(in_a_child, world);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_refused(-ESHUTDOWN, world->listener, NULL, "STOP", recorder_callback);
    assert_result(blockjob_listener_free(listener), 0);
    blockjob_monitor_unref(other);
    recorder_destroy(recorder);
    free(long_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(as_they_are),
        test_connected(until_they_are_removed),
        test_in_world(whenever_they_come),
        test_connected(that_are_too_many_are_dropped_and_counted),
        test_connected(refused_and_freed),
    };

    return run_all(tests);
}
