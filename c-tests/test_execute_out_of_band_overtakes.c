/*
 * Out of band is off by default, agreed on where it is asked for and offered, and then a command
 * overtakes others. QEMU's queue of eight is never full, by the library's own commands neither:
 * what it does not take yet waits, in its order.
 */
#include "harness.h"

static void is_off_by_default(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "{\"execute\":\"qmp_capabilities\",\"id\"");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_monitor_execute(world->monitor, "yank", NULL, BLOCKJOB_EXECUTE_OOB, -1,
                                           NULL), -EOPNOTSUPP);
    assert_true(blockjob_monitor_execute_async(world->monitor, "yank", NULL, BLOCKJOB_EXECUTE_OOB,
                                               -1, answers_callback, answers,
                                               answers_release) > 0);
    assert_int_equal(answers_next(answers).result, -EOPNOTSUPP);
    answers_wait_freed(answers, 1);
    answers_destroy(answers);
    assert_result(blockjob_monitor_set_oob(world->monitor, 1), -EBUSY);
}

static void is_not_asked_for_where_it_is_not_offered(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_oob(world->monitor, 1), 0);
    then_accept(world->qemu);
    then_send(world->qemu, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 1, "
                           "\"major\": 3}, \"package\": \"\"}, \"capabilities\": []}}\r\n");
    then_expect(world->qemu, "{\"execute\":\"qmp_capabilities\",\"id\"");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_monitor_execute(world->monitor, "yank", NULL, BLOCKJOB_EXECUTE_OOB, -1,
                                           NULL), -EOPNOTSUPP);
}

static void takes_on_and_off_and_nothing_else(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_oob(world->monitor, 2), -EINVAL);
    assert_result(blockjob_monitor_set_oob(NULL, 1), -EINVAL);
    assert_result(blockjob_monitor_set_oob(world->monitor, 1), 0);
    assert_result(blockjob_monitor_set_oob(world->monitor, 0), 0);
}

static void connect_with_oob(struct world *world)
{
    assert_result(blockjob_monitor_set_oob(world->monitor, 1), 0);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    script_done(world->qemu);
}

static void execute(struct world *world, const char *command, struct answers *answers)
{
    assert_true(blockjob_monitor_execute_async(world->monitor, command, NULL, 0, -1,
                                               answers_callback, answers, answers_release) > 0);
}

static void overtakes_what_waits(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    char name[16];

    connect_with_oob(world);
    for (int i = 1; i <= 9; i++) {
        snprintf(name, sizeof name, "in-band-%d", i);
        execute(world, name, answers);
    }
    /* Seven are sent, and the next that comes overtakes the other two. */
    for (int i = 1; i <= 7; i++) {
        snprintf(name, sizeof name, "in-band-%d\"", i);
        then_expect(world->qemu, name);
    }
    then_expect(world->qemu, "{\"exec-oob\":\"yank\",\"arguments\":{\"a\":1}");
    then_refuse(world->qemu);
    assert_result(blockjob_monitor_execute(world->monitor, "yank", "{\"a\":1}",
                                           BLOCKJOB_EXECUTE_OOB, -1, NULL), -EREMOTEIO);
    assert_int_equal(answers_count(answers), 0);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, 20, NULL), -ETIMEDOUT);
    script_done(world->qemu);

    /* When the connection ends, those that were not sent know it. */
    then_hang_up(world->qemu);
    for (int i = 1; i <= 9; i++) {
        assert_int_equal(answers_next(answers).result, i <= 7 ? -ECONNRESET : -ENOTCONN);
    }
    answers_wait_freed(answers, 9);
    answers_destroy(answers);
}

/* The one whose reply comes makes room for the first in the line. */
static void is_no_reason_to_change_the_order_of_others(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    char name[16];

    connect_with_oob(world);
    for (int i = 1; i <= 30; i++) {
        snprintf(name, sizeof name, "in-band-%d", i);
        execute(world, name, answers);
    }
    for (int i = 1; i <= 30; i++) {
        snprintf(name, sizeof name, "in-band-%d\"", i);
        then_expect(world->qemu, name);
        then_return(world->qemu);
    }
    for (int i = 1; i <= 30; i++) {
        assert_int_equal(answers_next(answers).result, 0);
    }
    answers_wait_freed(answers, 30);
    answers_destroy(answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(is_off_by_default),
        test_in_world(is_not_asked_for_where_it_is_not_offered),
        test_in_world(takes_on_and_off_and_nothing_else),
        test_in_world(overtakes_what_waits),
        test_in_world(is_no_reason_to_change_the_order_of_others),
    };

    return run_all(tests);
}
