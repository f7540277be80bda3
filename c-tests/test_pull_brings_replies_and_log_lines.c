/*
 * What has a function to be called elsewhere comes as an event to a program that pulls: the reply
 * to a command that nobody waited for, once, and the lines of the log that were asked for. No
 * function is taken there.
 */
#include "harness.h"

static void never(blockjob_reply *reply, void *opaque)
{
    (void)reply;
    (void)opaque;
    abort();
}

static void never_log(int level, const char *monitor_name, const char *text, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)text;
    (void)opaque;
    abort();
}

static blockjob_event *pulled_of(struct world *world, int kind)
{
    blockjob_event *event = pulled(world);

    assert_int_equal(blockjob_event_get_kind(event), kind);
    return event;
}

static void replies_as_events(void **state)
{
    struct world *world = *state;
    blockjob_event *event;
    blockjob_reply *reply;
    int64_t first, second;

    first = blockjob_monitor_execute_async(world->monitor, "query-status", NULL, 0, -1, NULL, NULL,
                                           NULL);
    second = blockjob_monitor_execute_async(world->monitor, "eject", NULL, 0, -1, NULL, NULL, NULL);
    assert_true(first > 0 && second > first);
    then_expect(world->qemu, "query-status");
    then_answer(world->qemu, "{\"return\": [7 ], \"id\": $ID}");
    then_expect(world->qemu, "eject");
    then_refuse(world->qemu);

    event = pulled_of(world, BLOCKJOB_EVENT_REPLY);
    reply = blockjob_reply_ref(blockjob_event_get_reply(event));
    assert_null(blockjob_event_get_error(event));
    blockjob_event_unref(event);
    /* It outlives its event. */
    assert_true(blockjob_reply_get_number(reply) == first);
    assert_result(blockjob_reply_get_result(reply), 0);
    assert_string_equal(blockjob_reply_get_json(reply), "[7 ]");
    blockjob_reply_unref(reply);

    event = pulled_of(world, BLOCKJOB_EVENT_REPLY);
    reply = blockjob_event_get_reply(event);
    assert_true(blockjob_reply_get_number(reply) == second);
    assert_result(blockjob_reply_get_result(reply), -EREMOTEIO);
    assert_string_equal(blockjob_event_get_error(event), "DeviceNotFound: no d0");
    blockjob_event_unref(event);
    expect_nothing(world);
}

static void lines_of_the_log_as_events(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_WARNING, NULL, NULL,
                                            NULL), 0);
    /* One of the level INFO, and one of WARNING. */
    then_say(world->qemu, "{'return': {}, 'id': 'nobody-1'}");
    then_send(world->qemu, "no message\r\n");
    event = pulled_of(world, BLOCKJOB_EVENT_LOG);
    assert_int_equal(blockjob_event_get_log_level(event), BLOCKJOB_LOG_WARNING);
    assert_string_equal(blockjob_event_get_reason(event),
                        "a line that does not begin with { was passed over");
    assert_null(blockjob_event_get_reply(event));
    assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
    blockjob_event_unref(event);
    wait_until_read(world);
    /* By a monitor that is nowhere; the next line is of that. */
    event = pulled_of(world, BLOCKJOB_EVENT_LOG);
    assert_non_null(strstr(blockjob_event_get_reason(event), "there is no /nonexistent"));
    blockjob_event_unref(event);
    expect_nothing(world);
}

static void no_function_is_taken(void **state)
{
    struct world *world = *state;

    assert_true(blockjob_monitor_execute_async(world->monitor, "stop", NULL, 0, -1, never, NULL,
                                               NULL) == -EINVAL);
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_DEBUG, never_log, NULL,
                                            NULL), -EINVAL);
    wait_until_read(world);
    expect_nothing(world);
}

/* The lines that were asked for go on to come. */
static void an_unknown_level_changes_nothing(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_WARNING, NULL, NULL,
                                            NULL), 0);
    assert_result(blockjob_listener_set_log(world->listener, 99, NULL, NULL, NULL), -EINVAL);
    assert_result(blockjob_listener_set_log(world->listener, -1, NULL, NULL, NULL), -EINVAL);
    then_send(world->qemu, "no message\r\n");
    blockjob_event_unref(pulled_of(world, BLOCKJOB_EVENT_LOG));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_pull(replies_as_events),
        test_pull(lines_of_the_log_as_events),
        test_pull(no_function_is_taken),
        test_pull(an_unknown_level_changes_nothing),
    };

    return run_all(tests);
}
