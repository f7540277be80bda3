/*
 * A QEMU whose events overtake its greeting and its replies, or who sends what was meant for the
 * client before us. Genuine events are all delivered, and the rest harms nothing.
 */
#include "harness.h"

static void assert_completed(blockjob_event *event, const char *job_id)
{
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_job_id(event), job_id);
}

static void assert_connected(struct world *world, blockjob_event *event)
{
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

static void rest_of_negotiation(struct scripted_monitor *qemu)
{
    then_greet(qemu);
    then_expect(qemu, "qmp_capabilities");
    then_return(qemu);
    then_list(qemu, "", "");
}

static void before_the_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    say_completed(world->qemu, "early");
    rest_of_negotiation(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_completed(recorder_next(world->recorder), "early");
    assert_connected(world, recorder_next(world->recorder));
}

static void between_command_and_reply(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    say_status(world->qemu, "between", "pending");
    say_completed(world->qemu, "between");
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_STATUS);
    assert_completed(recorder_next(world->recorder), "between");
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTING);

    then_return(world->qemu);
    then_list(world->qemu, "", "");
    say_completed(world->qemu, "after");
    assert_connected(world, recorder_next(world->recorder));
    assert_completed(recorder_next(world->recorder), "after");
}

/* What the former client left unread, with a genuine event behind it. */
static void behind_a_stale_fragment(void **state)
{
    struct world *world = *state;
    const size_t size = 300000;
    char *fragment = malloc(size);

    assert_non_null(fragment);
    memset(fragment, 'x', size);
    memcpy(fragment, "seconds\": 1, \"name\": \"", 22);
    memcpy(fragment + size - 6, "\"}}\r\n", 5);
    then_accept(world->qemu);
    then_send_bytes(world->qemu, fragment, size - 1);
    free(fragment);
    say_completed(world->qemu, "stale");
    then_send(world->qemu, "}, \"id\": \"vm7-12\"}\r\n");
    rest_of_negotiation(world->qemu);
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_completed(recorder_next(world->recorder), "stale");
    assert_connected(world, recorder_next(world->recorder));
}

/* Only the reply to our own id ends the negotiation. */
static void behind_replies_to_others(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_say(world->qemu, "{'return': {}, 'id': 'before-the-greeting'}");
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_say(world->qemu, "{'return': [{'device': 'j', 'len': 0}], 'id': 'libvirt-17'}");
    then_say(world->qemu, "{'return': {}}");
    then_say(world->qemu, "{'return': {}, 'id': null}");
    then_say(world->qemu, "{'return': {}, 'id': {'nested': [1]}}");
    then_say(world->qemu, "{'id': 9, 'error': {'class': 'GenericError', 'desc': 'not yours'}}");
    say_completed(world->qemu, "fence");
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_completed(recorder_next(world->recorder), "fence");
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTING);

    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_connected(world, recorder_next(world->recorder));
    then_say(world->qemu, "{'return': {}, 'id': 'late'}");
    say_completed(world->qemu, "after");
    assert_completed(recorder_next(world->recorder), "after");
}

static void in_the_last_write_before_the_end(void **state)
{
    struct world *world = *state;

    say_completed(world->qemu, "last");
    then_send(world->qemu, "{\"timestamp\": {\"seconds\": 17000"); /* cut off by QEMU's exit */
    then_hang_up(world->qemu);
    assert_completed(recorder_next(world->recorder), "last");
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_DISCONNECTED);

    /* What was cut off is not the beginning of what the next connection says. */
    connect_to(world->monitor, world->qemu);
    assert_connected(world, recorder_next(world->recorder));
    say_completed(world->qemu, "again");
    assert_completed(recorder_next(world->recorder), "again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(before_the_greeting),
        test_in_world(between_command_and_reply),
        test_in_world(behind_a_stale_fragment),
        test_in_world(behind_replies_to_others),
        test_connected(in_the_last_write_before_the_end),
    };

    return run_all(tests);
}
