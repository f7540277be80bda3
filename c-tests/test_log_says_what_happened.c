/*
 * A log function is told what the library has to say, up to the level it was set for, where
 * callbacks run. Another one takes its place; each is freed once, when nothing of it runs any more.
 */
#include "harness.h"
#include "log_keeper.h"

static void set_log(struct world *world, int level, struct log_keeper *keeper)
{
    assert_result(blockjob_listener_set_log(world->listener, level, log_keeper_take, keeper,
                                            log_keeper_release), 0);
}

static void expect_line(struct log_keeper *keeper, const char *words)
{
    free(log_keeper_find(keeper, words));
}

/* A line that comes whenever QEMU says this for the first, second, fourth... time. */
static void say_stray_reply(struct scripted_monitor *qemu)
{
    then_say(qemu, "{'return': {}, 'id': 'nobody-1'}");
}

static void connections_and_bad_messages_are_told(void **state)
{
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    char big[1200] = "{\"event\": \"";

    memset(big + strlen(big), 'X', sizeof big - strlen(big) - 8);
    strcat(big, "\"}\r\n");
    assert_result(blockjob_monitor_set_name(world->monitor, "vm 1"), 0);
    assert_result(blockjob_monitor_set_line_limit(world->monitor, 1024), 0);
    set_log(world, BLOCKJOB_LOG_INFO, keeper);
    connect_to(world->monitor, world->qemu);
    expect_line(keeper, "3 vm 1 connected: QEMU 7.2.22");
    /* A level is of the lines that are pulled as events. */
    assert_int_equal(blockjob_event_get_log_level(recorder_next(world->recorder)), 0);
    assert_result(blockjob_event_get_log_level(NULL), -EINVAL);
    say_stray_reply(world->qemu);
    expect_line(keeper, "3 vm 1 a reply that nobody waits for, its id \"nobody-1\"");
    then_send(world->qemu, "\x1b[2J\xff\r\n{\"x\": \r\n");
    then_send(world->qemu, big);
    expect_line(keeper, "2 vm 1 a line that does not begin with { was passed over");
    expect_line(keeper, "2 vm 1 a message over the limit of bytes");
    then_hang_up(world->qemu);
    expect_line(keeper, "2 vm 1 no connection: QEMU closed the connection");
    assert_result(blockjob_monitor_close(world->monitor), 0);
    expect_line(keeper, "3 vm 1 closed: the program closed the monitor");
    assert_false(log_keeper_has(keeper, "4 "));
    assert_false(log_keeper_has(keeper, "\x1b"));

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(log_keeper_freed(keeper), 1);
    log_keeper_destroy(keeper);
}

/* DESIGN: what is learned after LOST is logged, and never a second end. */
static void what_is_learned_of_a_lost_job_is_told(void **state)
{
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    struct recorder *ends = recorder_new();

    assert_result(blockjob_monitor_set_lost_after(world->monitor, 0), 0);
    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_FINAL,
                                      recorder_callback, ends, recorder_release) > 0);
    set_log(world, BLOCKJOB_LOG_WARNING, keeper);
    connect_to(world->monitor, world->qemu);
    say_begun(world->qemu, OWNER "-1");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    then_hang_up(world->qemu);
    assert_int_equal(blockjob_event_get_kind(recorder_next(ends)), BLOCKJOB_EVENT_LOST);
    expect_line(keeper, "job " OWNER "-1: how it ended cannot be known: there was no connection");

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "{'id': '" OWNER "-1', 'type': 'stream', 'status': 'concluded', "
              "'current-progress': 9, 'total-progress': 9, 'error': 'No space'}", "");
    assert_result(blockjob_monitor_connect(world->monitor, PATIENCE_SECONDS * 1000), 0);
    expect_line(keeper, "job " OWNER "-1, which was LOST: QEMU has it, concluded with the error "
                        "\"No space\"");
    say_completed(world->qemu, OWNER "-1");
    expect_line(keeper, "job " OWNER "-1, which was LOST: QEMU says BLOCK_JOB_COMPLETED");
    assert_int_equal(recorder_count(ends), 1);
    assert_false(log_keeper_has(keeper, "3 "));

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(ends);
    log_keeper_destroy(keeper);
}

static void trouble_with_journal_and_dismissal_is_told(void **state)
{
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    struct taker *taker = taker_new();
    blockjob_job *job;

    assert_result(blockjob_monitor_set_journal(world->monitor, "/nowhere/journal", NULL), 0);
    set_log(world, BLOCKJOB_LOG_WARNING, keeper);
    taker_add(taker, world->listener, NULL, NULL, 0);
    connect_to(world->monitor, world->qemu);
    expect_line(keeper, "the journal /nowhere/journal cannot be opened");
    job = handle_of(world, NULL, 0);
    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    taker_next(taker);
    then_expect(world->qemu, "job-dismiss");
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"GenericError\", "
                             "\"desc\": \"No\\nway\"}}\r\n");
    blockjob_job_free(job);
    expect_line(keeper, "QEMU refused to dismiss it: GenericError: No\\x0away");

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
    log_keeper_destroy(keeper);
}

static int replace(void *argument)
{
    return blockjob_listener_set_log(argument, BLOCKJOB_LOG_INFO, NULL, NULL, NULL);
}

/* Nothing of the former function runs any more when the call that replaces it has returned. */
static void another_takes_its_place_and_waits_for_it(void **state)
{
    struct world *world = *state;
    struct log_keeper *first = log_keeper_new(), *second = log_keeper_new();
    struct call call;

    set_log(world, BLOCKJOB_LOG_INFO, first);
    say_stray_reply(world->qemu);
    expect_line(first, "nobody-1");
    set_log(world, BLOCKJOB_LOG_INFO, second);
    assert_int_equal(log_keeper_freed(first), 1);
    say_stray_reply(world->qemu);
    expect_line(second, "nobody-1");
    assert_int_equal(log_keeper_lines_with(first, "nobody-1"), 1);

    log_keeper_stand_at(second, world->gate);
    say_stray_reply(world->qemu); /* the third and the fourth time */
    say_stray_reply(world->qemu);
    gate_wait_entered(world->gate);
    call_start(&call, replace, world->listener);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_int_equal(log_keeper_freed(second), 0);
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 0);
    assert_int_equal(log_keeper_freed(second), 1);
    log_keeper_destroy(first);
    log_keeper_destroy(second);
}

static void refusals_free_what_was_given(void **state)
{
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    const int levels[] = { -1, 0, BLOCKJOB_LOG_DEBUG + 1 };

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        assert_result(blockjob_listener_set_log(world->listener, levels[i], log_keeper_take,
                                                keeper, log_keeper_release), -EINVAL);
        assert_int_equal(log_keeper_freed(keeper), i + 1);
    }
    assert_result(blockjob_listener_set_log(NULL, BLOCKJOB_LOG_INFO, log_keeper_take, keeper,
                                            log_keeper_release), -EINVAL);
    assert_int_equal(log_keeper_freed(keeper), 4);
    /* To take it away one need not know a level, nor that there is none. */
    assert_result(blockjob_listener_set_log(world->listener, 0, NULL, keeper,
                                            log_keeper_release), 0);
    assert_int_equal(log_keeper_freed(keeper), 5);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_INFO, log_keeper_take,
                                            keeper, log_keeper_release), -ESHUTDOWN);
    assert_int_equal(log_keeper_freed(keeper), 6);
    assert_result(blockjob_listener_set_log(world->listener, 0, NULL, NULL, NULL), 0);
    assert_int_equal(log_keeper_count(keeper), 0);
    log_keeper_destroy(keeper);
}

/* A function that hangs costs lines, the oldest, and one line says how many; nothing waits for it. */
static void too_many_lines_are_dropped_and_counted(void **state)
{
    enum { MANY = 3000 };
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    size_t shown;

    log_keeper_stand_at(keeper, world->gate);
    set_log(world, BLOCKJOB_LOG_DEBUG, keeper);
    then_say(world->qemu, "{'event': 'FIRST'}");
    gate_wait_entered(world->gate);
    for (int i = 0; i < MANY; i++) {
        then_say(world->qemu, "{'event': 'MANY'}");
    }
    then_say(world->qemu, "{'event': 'LAST'}");
    wait_until(blockjob_monitor_get_stat(world->monitor, BLOCKJOB_STAT_EVENTS) == MANY + 2);
    gate_open(world->gate);
    expect_line(keeper, "LAST");
    expect_line(keeper, "2 ");
    shown = log_keeper_lines_with(keeper, "MANY");
    assert_true(shown >= 1000 && shown < 1024);
    assert_int_equal(log_keeper_lines_with(keeper, "lines of the log were dropped here"), 1);
    assert_result(blockjob_listener_set_log(world->listener, 0, NULL, NULL, NULL), 0);
    assert_int_equal(log_keeper_freed(keeper), 1);
    log_keeper_destroy(keeper);
}

/* A log function may do what it likes: here it replaces itself. */
struct changeling {
    blockjob_listener *listener;
    struct log_keeper *next;
    int result;
    atomic_int calls, frees;
};

static void replace_itself(int level, const char *monitor_name, const char *message, void *opaque)
{
    struct changeling *changeling = opaque;

    (void)level;
    (void)monitor_name;
    (void)message;
    changeling->result = blockjob_listener_set_log(changeling->listener, BLOCKJOB_LOG_INFO,
                                                   log_keeper_take, changeling->next,
                                                   log_keeper_release);
    if (atomic_load(&changeling->frees) == 0) {
        atomic_fetch_add(&changeling->calls, 1); /* it is not freed under its own feet */
    }
}

static void free_changeling(void *opaque)
{
    struct changeling *changeling = opaque;

    atomic_fetch_add(&changeling->frees, 1);
}

static void it_may_replace_itself(void **state)
{
    struct world *world = *state;
    struct changeling changeling = { .listener = world->listener, .next = log_keeper_new() };

    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_INFO, replace_itself,
                                            &changeling, free_changeling), 0);
    say_stray_reply(world->qemu);
    wait_until(atomic_load(&changeling.frees) == 1);
    assert_int_equal(atomic_load(&changeling.calls), 1);
    assert_int_equal(changeling.result, 0);
    say_stray_reply(world->qemu);
    expect_line(changeling.next, "nobody-1");
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(log_keeper_freed(changeling.next), 1);
    log_keeper_destroy(changeling.next);
}

/* In the care of another listener's callback nothing waits: 1, and the free is the last word. */
struct intruder {
    blockjob_listener *listener;
    int result;
    atomic_bool done;
};

static void intrude(blockjob_event *event, void *opaque)
{
    struct intruder *intruder = opaque;

    (void)event;
    intruder->result = blockjob_listener_set_log(intruder->listener, 0, NULL, NULL, NULL);
    atomic_store(&intruder->done, true);
}

static void inside_a_callback_nothing_waits(void **state)
{
    struct world *world = *state;
    struct log_keeper *keeper = log_keeper_new();
    struct intruder intruder = { .listener = world->listener };
    blockjob_listener *other = NULL;
    blockjob_monitor *monitor = NULL;

    log_keeper_stand_at(keeper, world->gate);
    set_log(world, BLOCKJOB_LOG_INFO, keeper);
    say_stray_reply(world->qemu);
    gate_wait_entered(world->gate);
    assert_result(blockjob_listener_new(&other), 0);
    assert_true(blockjob_callback_add(other, NULL, NULL, BLOCKJOB_EVENT_CLOSED, intrude, &intruder,
                                      NULL) > 0);
    assert_result(blockjob_monitor_new(other, "unix:/nowhere", &monitor), 0);
    assert_result(blockjob_monitor_close(monitor), 0);
    wait_until(atomic_load(&intruder.done));
    assert_int_equal(intruder.result, 1);
    assert_int_equal(log_keeper_freed(keeper), 0);
    gate_open(world->gate);
    wait_until(log_keeper_freed(keeper) == 1);
    assert_int_equal(log_keeper_count(keeper), 1);

    assert_result(blockjob_listener_free(other), 0);
    blockjob_monitor_unref(monitor);
    /* The function may still be on its way back. */
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    log_keeper_destroy(keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(connections_and_bad_messages_are_told),
        test_owned(what_is_learned_of_a_lost_job_is_told),
        test_owned(trouble_with_journal_and_dismissal_is_told),
        test_connected(another_takes_its_place_and_waits_for_it),
        test_connected(refusals_free_what_was_given),
        test_connected(too_many_lines_are_dropped_and_counted),
        test_connected(it_may_replace_itself),
        test_connected(inside_a_callback_nothing_waits),
    };

    return run_all(tests);
}
