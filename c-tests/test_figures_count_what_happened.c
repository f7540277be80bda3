/*
 * blockjob_monitor_get_stat says how much a monitor has read, heard, skipped and lost since it was
 * made, and what waits now. Counters never fall, and are there as long as the handle.
 */
#include "harness.h"

static int64_t stat_of(struct world *world, int which)
{
    int64_t figure = blockjob_monitor_get_stat(world->monitor, which);

    assert_true(figure >= 0);
    return figure;
}

static void new_monitor_has_counted_nothing(void **state)
{
    struct world *world = *state;

    for (int which = BLOCKJOB_STAT_BYTES_READ; which <= BLOCKJOB_STAT_UNACKNOWLEDGED; which++) {
        assert_result(blockjob_monitor_get_stat(world->monitor, which), 0);
    }
}

static void unknown_figures_are_refused(void **state)
{
    struct world *world = *state;
    const int unknown[] = { INT32_MIN, -1, 0, BLOCKJOB_STAT_UNACKNOWLEDGED + 1, INT32_MAX };

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_result(blockjob_monitor_get_stat(world->monitor, unknown[i]), -EINVAL);
        assert_non_null(strstr(blockjob_last_error(), "BLOCKJOB_STAT_"));
    }
    assert_result(blockjob_monitor_get_stat(NULL, BLOCKJOB_STAT_EVENTS), -EINVAL);
}

static void what_is_read_and_sent_is_counted(void **state)
{
    struct world *world = *state;
    char big[1200] = "{\"event\": \"";
    int64_t bytes;

    memset(big + strlen(big), 'X', sizeof big - strlen(big) - 8);
    strcat(big, "\"}\r\n");
    assert_result(blockjob_monitor_set_line_limit(world->monitor, 1024), 0);
    connect_to(world->monitor, world->qemu);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_CONNECTIONS), 1);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_MESSAGES), 4); /* a greeting, three replies */
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_COMMANDS), 3);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_EVENTS), 0);
    assert_true(stat_of(world, BLOCKJOB_STAT_BYTES_WRITTEN) > 100);
    bytes = stat_of(world, BLOCKJOB_STAT_BYTES_READ);
    assert_true(bytes > (int64_t)strlen(scripted_greeting));

    say_status(world->qemu, "job", "running");
    then_say(world->qemu, "{'event': 'STOP'}");
    then_send(world->qemu, "garbage\r\n{\"no\": \"message\"}\r\n{\"not\": JSON}\r\n");
    then_send(world->qemu, big);
    then_say(world->qemu, "{'return': {}, 'id': 'nobody'}");
    then_say(world->qemu, "{'error': {'class': 'x', 'desc': 'y'}}");
    pass_fence(world, world->qemu);

    assert_true(stat_of(world, BLOCKJOB_STAT_BYTES_READ) > bytes + (int64_t)strlen(big));
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_EVENTS), 3);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_JOB_EVENTS), 2);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_MESSAGES), 4 + 3 + 2 + 2);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_MALFORMED), 3);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_LINES_TOO_LONG), 1);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_REPLIES_UNASKED), 2);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_COMMANDS), 3);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_DISCONNECTIONS), 0);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_LOST), 0);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_JOBS), 2);
    /* The recorder keeps the event of the fence's end. */
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_UNACKNOWLEDGED), 1);

    say_status(world->qemu, "job", "null");
    pass_fence(world, world->qemu);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_JOBS), 2); /* two fences */
}

static void what_waits_and_what_was_dropped_is_counted(void **state)
{
    enum { MANY = 1100, KEPT = 1024 };
    struct world *world = *state;

    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL,
                                      BLOCKJOB_EVENT_STATUS, gate_callback, world->gate,
                                      NULL) > 0);
    say_status(world->qemu, "job", "running");
    gate_wait_entered(world->gate);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_QUEUED), 0);
    for (int i = 0; i < 3; i++) {
        say_status(world->qemu, "job", "paused");
    }
    wait_until(stat_of(world, BLOCKJOB_STAT_QUEUED) == 3);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_DROPPED), 0);
    for (int i = 3; i < MANY; i++) {
        say_status(world->qemu, "job", "running");
    }
    wait_until(stat_of(world, BLOCKJOB_STAT_DROPPED) == MANY - KEPT);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_QUEUED), KEPT + 1); /* and an OVERFLOW */
    gate_open(world->gate);
    wait_until(stat_of(world, BLOCKJOB_STAT_QUEUED) == 0);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_DROPPED), MANY - KEPT);
}

static void what_a_gap_cost_is_counted_and_counters_outlive_all(void **state)
{
    struct world *world = *state;
    struct recorder *all = recorder_new();
    int64_t before[BLOCKJOB_STAT_JOBS];

    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    record(world->listener, NULL, all);
    connect_to(world->monitor, world->qemu);
    say_begun(world->qemu, OWNER "-1");
    say_begun(world->qemu, "foreign");
    then_hang_up(world->qemu);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "{'id': '" OWNER "-1', 'type': 'stream', 'status': 'concluded', "
              "'current-progress': 9, 'total-progress': 9}", "");
    recorder_next_of(all, BLOCKJOB_EVENT_CONNECTED);
    recorder_next_of(all, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_CONNECTIONS), 2);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_DISCONNECTIONS), 1);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_RECOVERED), 1);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_LOST), 1);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_UNACKNOWLEDGED), 2);

    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_next_of(all, BLOCKJOB_EVENT_CLOSED);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_DISCONNECTIONS), 2);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_JOBS), 0);
    for (int which = 1; which < BLOCKJOB_STAT_JOBS; which++) {
        before[which] = stat_of(world, which);
    }
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    for (int which = 1; which < BLOCKJOB_STAT_JOBS; which++) {
        assert_int_equal(stat_of(world, which), before[which]);
    }
    for (int which = BLOCKJOB_STAT_JOBS; which <= BLOCKJOB_STAT_UNACKNOWLEDGED; which++) {
        assert_int_equal(stat_of(world, which), 0);
    }
    recorder_destroy(all);
}

static int ask_again_and_again(void *argument)
{
    blockjob_monitor *monitor = argument;
    int64_t last = 0;

    for (int i = 0; i < 20000; i++) {
        int64_t now = blockjob_monitor_get_stat(monitor, BLOCKJOB_STAT_MESSAGES);

        if (now < last) {
            return 1;
        }
        last = now;
    }
    return 0;
}

/* While the reader counts, anybody may ask; make check-tsan looks on. */
static void asking_from_other_threads_is_fine_and_counters_never_fall(void **state)
{
    struct world *world = *state;
    struct call call;

    call_start(&call, ask_again_and_again, world->monitor);
    for (int i = 0; i < 200; i++) {
        say_status(world->qemu, "job", "running");
    }
    pass_fence(world, world->qemu);
    assert_int_equal(call_join(&call), 0);
    assert_int_equal(stat_of(world, BLOCKJOB_STAT_EVENTS), 201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(new_monitor_has_counted_nothing),
        test_in_world(unknown_figures_are_refused),
        test_in_world(what_is_read_and_sent_is_counted),
        test_connected(what_waits_and_what_was_dropped_is_counted),
        test_owned(what_a_gap_cost_is_counted_and_counters_outlive_all),
        test_connected(asking_from_other_threads_is_fine_and_counters_never_fall),
    };

    return run_all(tests);
}
