/*
 * A command's reply is given out to the letter, QEMU's refusal with its class and words; what QEMU
 * could not read is not sent; and a wait for a reply ends with its time, with the connection, with
 * the monitor and with the listener. A reply that comes too late harms nothing.
 */
#include "harness.h"

/* What no output may become. */
static char never;
#define UNTOUCHED ((blockjob_reply *)(void *)&never)

static int execute(struct world *world, const char *command, const char *json,
                   blockjob_reply **reply)
{
    return blockjob_monitor_execute(world->monitor, command, json, 0, -1, reply);
}

static void what_it_returned(void **state)
{
    struct world *world = *state;
    blockjob_reply *reply = NULL, *next = NULL;

    then_expect(world->qemu, "{\"execute\":\"query-block\",\"id\":");
    then_answer(world->qemu, "{\"return\": [ 1.50, {\"b\" : \"\\u00e9\\u0000\"}], \"id\": $ID}");
    assert_int_equal(execute(world, "query-block", NULL, &reply), 0);
    assert_int_equal(blockjob_reply_get_result(reply), 0);
    assert_text(blockjob_reply_get_json(reply), "[ 1.50, {\"b\" : \"\\u00e9\\u0000\"}]");
    assert_null(blockjob_reply_get_error_class(reply));
    assert_null(blockjob_reply_get_error_text(reply));
    assert_true(blockjob_reply_get_number(reply) > 0);

    /* The arguments, too, go as they are; a newline is layout. */
    then_expect(world->qemu, "\"arguments\":{ \"a\": [1e3, \"\xc3\xa9\"] , \"b\":{}}");
    then_answer(world->qemu, "{\"return\": null, \"id\": $ID}");
    assert_int_equal(execute(world, "x", "{\n\"a\": [1e3, \"\xc3\xa9\"]\n, \"b\":{}}", &next), 0);
    assert_text(blockjob_reply_get_json(next), "null");
    assert_true(blockjob_reply_get_number(next) > blockjob_reply_get_number(reply));
    blockjob_reply_unref(next);

    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_int_equal(execute(world, "stop", NULL, NULL), 0);

    /* It is the caller's, whatever becomes of the others. */
    assert_ptr_equal(blockjob_reply_ref(reply), reply);
    blockjob_reply_unref(reply);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_text(blockjob_reply_get_json(reply), "[ 1.50, {\"b\" : \"\\u00e9\\u0000\"}]");
    blockjob_reply_unref(reply);
}

static void how_it_refused(void **state)
{
    struct world *world = *state;
    blockjob_reply *reply = NULL;

    then_expect(world->qemu, "\"eject\"");
    then_refuse(world->qemu);
    assert_int_equal(execute(world, "eject", "{\"device\": \"d0\"}", &reply), -EREMOTEIO);
    assert_text(blockjob_last_error_class(), "DeviceNotFound");
    assert_non_null(strstr(blockjob_last_error(), "DeviceNotFound: no d0"));
    assert_non_null(strstr(blockjob_last_error(), blockjob_monitor_get_name(world->monitor)));
    assert_int_equal(blockjob_reply_get_result(reply), -EREMOTEIO);
    assert_text(blockjob_reply_get_error_class(reply), "DeviceNotFound");
    assert_text(blockjob_reply_get_error_text(reply), "no d0");
    assert_text(blockjob_reply_get_json(reply),
                "{\"class\": \"DeviceNotFound\", \"desc\": \"no d0\"}");
    blockjob_reply_unref(reply);

    then_expect(world->qemu, "\"eject\"");
    then_refuse(world->qemu);
    assert_int_equal(execute(world, "eject", NULL, NULL), -EREMOTEIO);
    assert_text(blockjob_last_error_class(), "DeviceNotFound");

    /* Another failure has no class. */
    assert_int_equal(execute(world, "", NULL, NULL), -EINVAL);
    assert_null(blockjob_last_error_class());
}

/* QEMU answers what it cannot read without an id, so that nobody would know whom. */
static void what_it_could_not_read_is_not_sent(void **state)
{
    static const char *const jsons[] = {
        "", "[]", "1", "{", "{} {}", "{'a': 1}", "{\"a\": NaN}", "{\"a\": 01}", "{\"a\": 1e999}",
        "{\"a\": 1, \"\\u0061\": 2}", "{\"b\": [{\"a\": 1, \"a\": 2}]}", "{\"a\": \"\\ud800\"}",
        "{\"a\": \"\\uffff\"}", "{\"a\": \"\t\"}",
    };
    static const char *const names[] = { NULL, "", "a b", "a\"", "a\n", "\xc3\xa9" };
    struct world *world = *state;
    char *json = calloc(1, (1 << 20) + 8);

    assert_non_null(json);
    for (size_t i = 0; i < sizeof jsons / sizeof jsons[0]; i++) {
        blockjob_reply *reply = UNTOUCHED;

        if (execute(world, "stop", jsons[i], &reply) != -EINVAL) {
            fail_msg("this was sent: %s", jsons[i]);
        }
        assert_ptr_equal(reply, UNTOUCHED);
        assert_non_null(strstr(blockjob_last_error(), "monitor "));
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(execute(world, names[i], NULL, NULL), -EINVAL);
    }
    assert_int_equal(execute(world, "qmp_capabilities", NULL, NULL), -EINVAL);
    assert_int_equal(execute(world, "stop", "{\"a\": \"\xff\"}", NULL), -EILSEQ);
    assert_int_equal(execute(world, "\xff", NULL, NULL), -EILSEQ);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 2, -1, NULL), -EINVAL);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -2, NULL), -EINVAL);
    assert_result(blockjob_monitor_execute(NULL, "stop", NULL, 0, -1, NULL), -EINVAL);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, BLOCKJOB_EXECUTE_OOB, -1,
                                           NULL), -EOPNOTSUPP);

    /* 1048576 bytes are taken, one more is not. */
    memset(json, ' ', (1 << 20) + 1);
    json[0] = '{';
    json[1 << 20] = '}';
    assert_int_equal(execute(world, "stop", json, NULL), -ENAMETOOLONG);
    json[1 << 20] = '\0';
    assert_int_equal(execute(world, "stop", json, NULL), -EINVAL);
    free(json);

    then_expect(world->qemu, "\"cont\"");
    then_return(world->qemu);
    assert_int_equal(execute(world, "cont", NULL, NULL), 0);
}

static int stop_for_ever(void *monitor)
{
    return blockjob_monitor_execute(monitor, "stop", NULL, 0, -1, NULL);
}

static void that_comes_too_late_or_to_nobody_is_passed_over(void **state)
{
    struct world *world = *state;
    blockjob_reply *reply = UNTOUCHED;
    struct call call;

    then_expect(world->qemu, "\"stop\"");
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, 20, &reply),
                  -ETIMEDOUT);
    assert_ptr_equal(reply, UNTOUCHED);
    then_return(world->qemu);
    then_return(world->qemu);
    then_send(world->qemu, "{\"return\": {}}{\"return\": 1, \"id\": 7}{\"error\": {}, \"id\": []}");
    then_expect(world->qemu, "\"stop\"");
    call_start(&call, stop_for_ever, world->monitor);
    script_done(world->qemu);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    then_return(world->qemu);
    assert_int_equal(call_join(&call), 0);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

static void that_never_comes_ends_with_the_connection(void **state)
{
    struct world *world = *state;

    then_expect(world->qemu, "\"stop\"");
    then_hang_up(world->qemu);
    assert_int_equal(stop_for_ever(world->monitor), -ECONNRESET);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_int_equal(stop_for_ever(world->monitor), -ENOTCONN);
    connect_to(world->monitor, world->qemu);
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_int_equal(stop_for_ever(world->monitor), 0);
}

static void that_never_comes_ends_with_the_monitor(void **state)
{
    struct world *world = *state;
    struct call call;

    then_expect(world->qemu, "\"stop\"");
    call_start(&call, stop_for_ever, world->monitor);
    script_done(world->qemu);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_int_equal(call_join(&call), -ECONNRESET);
    assert_int_equal(stop_for_ever(world->monitor), -ESHUTDOWN);
}

static void that_never_comes_ends_with_the_listener(void **state)
{
    struct world *world = *state;
    struct call call;

    then_expect(world->qemu, "\"stop\"");
    call_start(&call, stop_for_ever, world->monitor);
    script_done(world->qemu);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    assert_int_equal(stop_for_ever(world->monitor), -ESHUTDOWN);
}

static void without_a_connection_nothing_is_sent(void **state)
{
    struct world *world = *state;

    assert_int_equal(stop_for_ever(world->monitor), -ENOTCONN);
    /* It has settled nothing. */
    assert_result(blockjob_monitor_set_name(world->monitor, "vm"), 0);
}

static atomic_int inside;

static void execute_inside(blockjob_event *event, void *opaque)
{
    (void)opaque;
    atomic_store(&inside, blockjob_monitor_execute(blockjob_event_get_monitor(event), "cont", NULL,
                                                   0, -1, NULL));
}

/* The reader answers, so a callback may wait for QEMU; its failure is not the thread's next. */
static void inside_a_callback(void **state)
{
    struct world *world = *state;

    atomic_store(&inside, 1);
    assert_true(blockjob_callback_add(world->listener, NULL, "j", BLOCKJOB_EVENT_STATUS,
                                      execute_inside, NULL, NULL) > 0);
    say_status(world->qemu, "j", "running");
    then_expect(world->qemu, "\"cont\"");
    then_refuse(world->qemu);
    wait_until(atomic_load(&inside) == -EREMOTEIO);
}

static void in_a_forked_child(void *argument)
{
    struct world *world = argument;

    child_check(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL) == -ECHILD);
    child_check(blockjob_monitor_execute_with_fd(world->monitor, "stop", NULL, 0, 0, -1, NULL)
                == -ECHILD);
    child_check(blockjob_monitor_set_oob(world->monitor, 1) == -ECHILD);
}

static void a_childs_call_is_refused(void **state)
{
    child_run(in_a_forked_child, *state);
}

static void getters_of_null(void **state)
{
    (void)state;
    assert_int_equal(blockjob_reply_get_result(NULL), -EINVAL);
    assert_true(blockjob_reply_get_number(NULL) == -EINVAL);
    assert_null(blockjob_reply_get_json(NULL));
    assert_null(blockjob_reply_get_error_class(NULL));
    assert_null(blockjob_reply_get_error_text(NULL));
    assert_null(blockjob_reply_ref(NULL));
    assert_null(blockjob_event_get_reply(NULL));
    blockjob_reply_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(getters_of_null),
        test_connected(what_it_returned),
        test_connected(how_it_refused),
        test_connected(what_it_could_not_read_is_not_sent),
        test_connected(that_comes_too_late_or_to_nobody_is_passed_over),
        test_connected(that_never_comes_ends_with_the_connection),
        test_connected(that_never_comes_ends_with_the_monitor),
        test_connected(that_never_comes_ends_with_the_listener),
        test_in_world(without_a_connection_nothing_is_sent),
        test_connected(inside_a_callback),
        test_connected(a_childs_call_is_refused),
    };

    return run_all(tests);
}
