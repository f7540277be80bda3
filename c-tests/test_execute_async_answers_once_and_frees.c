/*
 * Of a command that nobody waits for the callback is told once, on the thread of callbacks and in
 * its place among the events, and then its opaque is freed, once. When sending fails, or the
 * listener is stopped before, it is freed and the callback not called.
 */
#include "harness.h"

static int64_t execute(struct world *world, const char *command, int timeout_ms,
                       struct answers *answers)
{
    int64_t number = blockjob_monitor_execute_async(world->monitor, command, NULL, 0, timeout_ms,
                                                    answers_callback, answers, answers_release);

    if (number <= 0) {
        fail_msg("%s was not sent: %s", command, blockjob_last_error());
    }
    return number;
}

static void replies_and_refusals(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    struct answer answer;
    int64_t first, second;

    first = execute(world, "query-status", -1, answers);
    second = execute(world, "eject", -1, answers);
    assert_true(second > first);
    then_expect(world->qemu, "query-status");
    then_answer(world->qemu, "{\"return\": [7 ], \"id\": $ID}");
    then_expect(world->qemu, "eject");
    then_refuse(world->qemu);
    answer = answers_next(answers);
    assert_int_equal(answer.result, 0);
    assert_true(answer.number == first);
    assert_string_equal(answer.json, "[7 ]");
    assert_string_equal(answer.text, "");
    answer = answers_next(answers);
    assert_int_equal(answer.result, -EREMOTEIO);
    assert_true(answer.number == second);
    assert_string_equal(answer.error_class, "DeviceNotFound");
    assert_string_equal(answer.text, "no d0");
    answers_wait_freed(answers, 2);
    assert_int_equal(answers_count(answers), 2);

    /* Nobody need be told. */
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_true(blockjob_monitor_execute_async(world->monitor, "stop", NULL, 0, -1, NULL, answers,
                                               answers_release) > second);
    answers_wait_freed(answers, 3);
    assert_int_equal(answers_count(answers), 2);
    answers_destroy(answers);
}

/* A reply says what was before it, and what comes after. */
static void in_their_place_among_the_events(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    struct taker *taker = taker_new();
    struct end before, after;
    struct answer answer;

    taker_add(taker, world->listener, NULL, NULL, BLOCKJOB_OBSERVE);
    for (int i = 0; i < 20; i++) {
        char id[16];

        execute(world, "stop", -1, answers);
        then_expect(world->qemu, "stop");
        snprintf(id, sizeof id, "b%d", i);
        say_completed(world->qemu, id);
        then_return(world->qemu);
        snprintf(id, sizeof id, "a%d", i);
        say_completed(world->qemu, id);
        before = taker_next(taker);
        answer = answers_next(answers);
        after = taker_next(taker);
        assert_true(before.at < answer.at && answer.at < after.at);
    }
    answers_wait_freed(answers, 20);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
    answers_destroy(answers);
}

static void many_in_flight(void **state)
{
    enum { COUNT = 100 };
    struct world *world = *state;
    struct answers *answers = answers_new();
    int64_t numbers[COUNT];

    for (int i = 0; i < COUNT; i++) {
        numbers[i] = execute(world, "stop", -1, answers);
    }
    for (int i = 0; i < COUNT; i++) {
        then_expect(world->qemu, "stop");
        then_return(world->qemu);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(answers_next(answers).number == numbers[i]);
    }
    answers_wait_freed(answers, COUNT);
    answers_destroy(answers);
}

static void when_the_time_is_over(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    struct answer answer;

    execute(world, "stop", 20, answers);
    answer = answers_next(answers);
    assert_int_equal(answer.result, -ETIMEDOUT);
    assert_string_equal(answer.json, "");
    assert_true(strlen(answer.text) > 10);
    answers_wait_freed(answers, 1);

    /* The late reply harms nothing. */
    then_expect(world->qemu, "stop");
    then_return(world->qemu);
    execute(world, "cont", -1, answers);
    then_expect(world->qemu, "cont");
    then_return(world->qemu);
    assert_int_equal(answers_next(answers).result, 0);
    answers_wait_freed(answers, 2);
    assert_int_equal(answers_count(answers), 2);
    answers_destroy(answers);
}

static void when_the_connection_ends(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();

    execute(world, "stop", 60000, answers);
    then_expect(world->qemu, "stop");
    then_hang_up(world->qemu);
    assert_int_equal(answers_next(answers).result, -ECONNRESET);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    connect_to(world->monitor, world->qemu);

    execute(world, "stop", -1, answers);
    then_expect(world->qemu, "stop");
    script_done(world->qemu);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_int_equal(answers_next(answers).result, -ECONNRESET);
    answers_wait_freed(answers, 2);
    answers_destroy(answers);
}

static void when_the_listener_is_stopped_before(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();

    /* One reply stands at the gate, one waits behind it, and one has not come. */
    answers_stand_at(answers, world->gate);
    for (int i = 0; i < 3; i++) {
        execute(world, "stop", -1, answers);
    }
    for (int i = 0; i < 2; i++) {
        then_expect(world->qemu, "stop");
        then_return(world->qemu);
    }
    then_expect(world->qemu, "stop");
    then_wait_read(world->qemu);
    gate_wait_entered(world->gate);
    script_done(world->qemu);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(answers_freed(answers), 0);
    gate_open(world->gate);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(answers_count(answers), 1);
    assert_int_equal(answers_freed(answers), 3);
    answers_destroy(answers);
}

static void in_a_child(void *argument)
{
    struct world *world = argument;

    /* What is freed there would be the parent's; abort says that it was. */
    child_check(blockjob_monitor_execute_async(world->monitor, "stop", NULL, 0, -1, NULL, NULL,
                                               (blockjob_free_fn)(void (*)(void))abort) == -ECHILD);
}

static void when_it_was_not_sent(void **state)
{
    struct world *world = *state;
    struct answers *answers = answers_new();
    size_t freed = 0;

#define assert_not_sent(expected, ...)                                                          \
    do {                                                                                        \
        assert_result(blockjob_monitor_execute_async(__VA_ARGS__, answers_callback, answers,    \
                                                     answers_release), expected);               \
        assert_int_equal(answers_freed(answers), ++freed);                                      \
        assert_true(strlen(blockjob_last_error()) > 10);                                        \
    } while (0)

    assert_not_sent(-EINVAL, NULL, "stop", NULL, 0, -1);
    assert_not_sent(-EINVAL, world->monitor, NULL, NULL, 0, -1);
    assert_not_sent(-EINVAL, world->monitor, "a b", NULL, 0, -1);
    assert_not_sent(-EINVAL, world->monitor, "stop", "[]", 0, -1);
    assert_not_sent(-EINVAL, world->monitor, "stop", NULL, 2, -1);
    assert_not_sent(-EINVAL, world->monitor, "stop", NULL, 0, -2);
    assert_not_sent(-EILSEQ, world->monitor, "stop", "\xff", 0, -1);
    child_run(in_a_child, world);
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_not_sent(-ENOTCONN, world->monitor, "stop", NULL, 0, -1);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_not_sent(-ESHUTDOWN, world->monitor, "stop", NULL, 0, -1);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_not_sent(-ESHUTDOWN, world->monitor, "stop", NULL, 0, -1);
    assert_int_equal(answers_count(answers), 0);
    answers_destroy(answers);
}

struct chain {
    blockjob_monitor *monitor;
    blockjob_reply *kept;
    atomic_int sync, left, freed;
};

static void release_chain(void *opaque)
{
    atomic_fetch_add(&((struct chain *)opaque)->freed, 1);
}

/* Each reply sends the next command, and the last one waits for a reply itself. */
static void go_on(blockjob_reply *reply, void *opaque)
{
    struct chain *chain = opaque;

    if (atomic_fetch_sub(&chain->left, 1) > 1) {
        blockjob_monitor_execute_async(chain->monitor, "stop", NULL, 0, -1, go_on, chain,
                                       release_chain);
        return;
    }
    chain->kept = blockjob_reply_ref(reply);
    atomic_store(&chain->sync, blockjob_monitor_execute(chain->monitor, "cont", NULL, 0, -1, NULL));
}

static void from_inside_another(void **state)
{
    enum { COUNT = 10 };
    struct world *world = *state;
    struct chain chain = { .monitor = world->monitor };

    atomic_store(&chain.left, COUNT);
    atomic_store(&chain.sync, 1);
    for (int i = 0; i < COUNT; i++) {
        then_expect(world->qemu, "stop");
        then_return(world->qemu);
    }
    then_expect(world->qemu, "cont");
    then_return(world->qemu);
    assert_true(blockjob_monitor_execute_async(world->monitor, "stop", NULL, 0, -1, go_on, &chain,
                                               release_chain) > 0);
    wait_until(atomic_load(&chain.freed) == COUNT);
    assert_int_equal(atomic_load(&chain.sync), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_text(blockjob_reply_get_json(chain.kept), "{}");
    blockjob_reply_unref(chain.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(replies_and_refusals),
        test_owned_connected(in_their_place_among_the_events),
        test_connected(many_in_flight),
        test_connected(when_the_time_is_over),
        test_connected(when_the_connection_ends),
        test_connected(when_the_listener_is_stopped_before),
        test_connected(when_it_was_not_sent),
        test_connected(from_inside_another),
    };

    return run_all(tests);
}
