/*
 * Whoever registers later is told, once, of each matching job whose end nobody has taken yet or an
 * open handle still holds, in the order in which they ended and before anything newer.
 */
#include "harness.h"

/* The next end but a fence's, which may be still to be acknowledged or not. */
static struct end next_end(struct taker *taker)
{
    struct end end;

    do
        end = taker_next(taker);
    while (strncmp(end.job_id, "fence", 5) == 0);
    return end;
}

static void of_each_that_nobody_has_taken(void **state)
{
    struct world *world = *state;
    struct taker *late = taker_new();

    say_job(world->qemu, OWNER "-1");
    say_job(world->qemu, "foreign");
    say_job(world->qemu, OWNER "-2");
    pass_fence(world, world->qemu);
    taker_add(late, world->listener, world->monitor, NULL, 0);
    assert_text(taker_next(late).job_id, OWNER "-1");
    assert_text(taker_next(late).job_id, "foreign");
    assert_text(taker_next(late).job_id, OWNER "-2");
    then_dismiss(world->qemu, OWNER "-1");
    then_dismiss(world->qemu, OWNER "-2");
    script_done(world->qemu);
    say_job(world->qemu, "next");
    assert_text(next_end(late).job_id, "next");
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(late);
}

static void of_those_that_it_asks_for_alone(void **state)
{
    struct world *world = *state;
    struct taker *late = taker_new(), *cancelled = taker_new();
    int64_t id;

    say_job(world->qemu, OWNER "-1");
    say_job(world->qemu, OWNER "-2");
    pass_fence(world, world->qemu);
    id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_READY, gate_callback,
                               world->gate, NULL);
    assert_true(id > 0);
    taker_add(late, world->listener, NULL, OWNER "-2", 0);
    assert_text(taker_next(late).job_id, OWNER "-2");
    then_dismiss(world->qemu, OWNER "-2");
    script_done(world->qemu);
    expect_nothing_sent(world);
    assert_int_equal(taker_count(late), 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(late);
    taker_destroy(cancelled);
}

static void of_none_that_was_taken(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new(), *late = taker_new();

    taker_add(taker, world->listener, NULL, OWNER "-1", 0);
    say_job(world->qemu, OWNER "-1");
    then_dismiss(world->qemu, OWNER "-1");
    script_done(world->qemu);
    taker_add(late, world->listener, NULL, OWNER "-1", 0);
    pass_fence(world, world->qemu);
    assert_int_equal(taker_count(late), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
    taker_destroy(late);
}

/* It was taken, and its job dismissed; the handle is open all the same. */
static void of_one_that_an_open_handle_holds(void **state)
{
    struct world *world = *state;
    struct taker *late = taker_new(), *later = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;

    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &event), 0);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    pass_fence(world, world->qemu);
    taker_add(late, world->listener, NULL, blockjob_job_get_id(job), 0);
    assert_text(taker_next(late).job_id, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, 0, &event), 0);
    blockjob_event_unref(event);
    expect_nothing_sent(world); /* it was acknowledged before */
    blockjob_job_free(job);
    taker_add(later, world->listener, NULL, NULL, 0);
    pass_fence(world, world->qemu);
    assert_int_equal(taker_count(late), 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(late);
    taker_destroy(later);
}

/* Each registration that has claimed it must be served, those that come late among them. */
static void who_then_must_take_it_too(void **state)
{
    struct world *world = *state;
    struct taker *first = taker_new(), *late = taker_new();

    taker_keep(first);
    taker_add(first, world->listener, NULL, OWNER "-1", 0);
    say_job(world->qemu, OWNER "-1");
    taker_next(first);
    pass_fence(world, world->qemu);
    taker_stand_at(late, world->gate);
    taker_add(late, world->listener, NULL, OWNER "-1", 0);
    gate_wait_entered(world->gate);
    blockjob_event_unref(taker_kept(first));
    expect_nothing_sent(world);
    gate_open(world->gate);
    then_dismiss(world->qemu, OWNER "-1");
    script_done(world->qemu);
    assert_int_equal(taker_count(first), 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(first);
    taker_destroy(late);
}

/* It waits in the queue for those who came before: then it is told to all in their order. */
static void in_its_turn_when_that_is_still_to_come(void **state)
{
    struct world *world = *state;
    struct taker *early = taker_new(), *late = taker_new();
    struct end first, second;

    assert_true(blockjob_callback_add(world->listener, NULL, "standing", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    taker_add(early, world->listener, NULL, OWNER "-1", 0);
    say_job(world->qemu, OWNER "-0");
    say_completed(world->qemu, "standing");
    gate_wait_entered(world->gate);
    say_job(world->qemu, OWNER "-1");
    expect_nothing_sent(world);
    taker_add(late, world->listener, NULL, NULL, 0);
    gate_open(world->gate);

    assert_text(taker_next(late).job_id, OWNER "-0");
    first = taker_next(early);
    for (second = taker_next(late); strcmp(second.job_id, "standing") == 0;) {
        second = taker_next(late);
    }
    assert_text(first.job_id, OWNER "-1");
    assert_text(second.job_id, OWNER "-1");
    assert_true(first.at < second.at);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(early);
    taker_destroy(late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(of_each_that_nobody_has_taken),
        test_owned_connected(of_those_that_it_asks_for_alone),
        test_owned_connected(of_none_that_was_taken),
        test_owned_connected(of_one_that_an_open_handle_holds),
        test_owned_connected(who_then_must_take_it_too),
        test_owned_connected(in_its_turn_when_that_is_still_to_come),
    };

    return run_all(tests);
}
