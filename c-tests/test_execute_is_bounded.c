/*
 * Commands that QEMU does not answer are bounded, in number and in bytes, and so are replies that
 * the program does not take: each says -ENOBUFS, and nothing else is disturbed.
 */
#include "harness.h"

static atomic_int refused, freed;

static void count_refused(blockjob_reply *reply, void *opaque)
{
    (void)opaque;
    if (blockjob_reply_get_result(reply) == -ENOBUFS) {
        atomic_fetch_add(&refused, 1);
    }
}

static void count_freed(void *opaque)
{
    (void)opaque;
    atomic_fetch_add(&freed, 1);
}

static int64_t execute(struct world *world, const char *json)
{
    return blockjob_monitor_execute_async(world->monitor, "stop", json, 0, -1, count_refused, NULL,
                                          count_freed);
}

static int begin(void **state)
{
    atomic_store(&refused, 0);
    atomic_store(&freed, 0);
    return world_begin_connected(state);
}

/* 8192 of a monitor's are under way; what is more is refused, to who waits and to who does not. */
static void in_number_at_a_monitor(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 8192; i++) {
        assert_true(execute(world, NULL) > 0);
    }
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL), -ENOBUFS);
    assert_int_equal(atomic_load(&refused), 0);
    assert_true(execute(world, NULL) > 0);
    wait_until(atomic_load(&refused) == 1);

    /* With one that is answered there is room for another. */
    then_expect(world->qemu, "stop");
    then_return(world->qemu);
    wait_until(atomic_load(&freed) == 2);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, 1, NULL), -ETIMEDOUT);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

static void in_bytes_at_a_monitor(void **state)
{
    enum { SIZE = 1 << 20 };
    struct world *world = *state;
    char *json = calloc(1, SIZE + 1);

    assert_non_null(json);
    memset(json, ' ', SIZE);
    json[0] = '{';
    json[SIZE - 1] = '}';
    assert_true(execute(world, json) > 0);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", json, 0, -1, NULL), -ENOBUFS);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, 1, NULL), -ETIMEDOUT);
    then_hang_up(world->qemu);
    wait_until(atomic_load(&freed) == 1);
    assert_int_equal(atomic_load(&refused), 0);
    free(json);
}

/* The program stands still in a callback, and sends more and more. */
static void in_what_waits_for_the_program(void **state)
{
    struct world *world = *state;
    int64_t number;
    int sent = 0;

    assert_true(blockjob_callback_add(world->listener, NULL, "gate", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    say_completed(world->qemu, "gate");
    gate_wait_entered(world->gate);
    while ((number = execute(world, NULL)) > 0) {
        sent++;
    }
    assert_int_equal(number, -ENOBUFS);
    assert_int_equal(sent, 16384);
    assert_int_equal(atomic_load(&freed), 1);
    gate_open(world->gate);
    wait_until(atomic_load(&refused) == 8192);
    assert_true(execute(world, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_number_at_a_monitor, begin, world_end),
        cmocka_unit_test_setup_teardown(in_bytes_at_a_monitor, begin, world_end),
        cmocka_unit_test_setup_teardown(in_what_waits_for_the_program, begin, world_end),
    };

    return run_all(tests);
}
