/*
 * A process may have several listeners, as a daemon and a library in it do that do not know of each
 * other. Each has its threads, its owner and its registrations; what is slow, stopped or freed in
 * one is nothing to the other.
 */
#include "harness.h"

static void each_is_told_of_its_own(void **states)
{
    struct world *one = states[0], *two = states[1];

    say_completed(one->qemu, "of-one");
    say_completed(two->qemu, "of-two");
    assert_text(blockjob_event_get_job_id(recorder_next(one->recorder)), "of-one");
    assert_text(blockjob_event_get_job_id(recorder_next(two->recorder)), "of-two");
    assert_int_equal(recorder_count(one->recorder), recorder_count(two->recorder));
}

/* In one a callback stands still: the other's run on. */
static void a_slow_callback_is_the_own_listeners_matter(void **states)
{
    struct world *one = states[0], *two = states[1];

    assert_true(blockjob_callback_add(one->listener, NULL, "slow", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, one->gate, NULL) > 0);
    say_completed(one->qemu, "slow");
    gate_wait_entered(one->gate);
    say_completed(two->qemu, "meanwhile");
    assert_text(blockjob_event_get_job_id(recorder_next(two->recorder)), "meanwhile");
    gate_open(one->gate);
    assert_text(blockjob_event_get_job_id(recorder_next(one->recorder)), "slow");
}

static void handles_of_one_are_refused_by_the_other(void **states)
{
    struct world *one = states[0], *two = states[1];
    struct recorder *recorder = recorder_new();

    assert_result(blockjob_callback_add(one->listener, two->monitor, NULL, BLOCKJOB_EVENT_ALL,
                                        recorder_callback, recorder, recorder_release), -EINVAL);
    assert_int_equal(recorder_freed(recorder), 1);
    recorder_destroy(recorder);
    /* Each counts for itself, so a number may mean something to both. */
    assert_result(blockjob_callback_remove(one->listener, two->recording + 1000, 0), -ENOENT);
}

struct visit {
    struct world *other;
    atomic_int freed, removed, done;
};

/* In a callback of one: the other can be used, but not waited for. */
static void visit_other(blockjob_event *event, void *opaque)
{
    struct visit *visit = opaque;

    (void)event;
    atomic_store(&visit->freed, blockjob_listener_free(visit->other->listener));
    atomic_store(&visit->removed, blockjob_callback_remove(visit->other->listener,
                                                           visit->other->recording, 0));
    atomic_store(&visit->done, 1);
}

static void inside_a_callback_of_one_nothing_waits_for_the_other(void **states)
{
    struct world *one = states[0], *two = states[1];
    struct visit visit = { .other = two };

    assert_true(blockjob_callback_add(one->listener, NULL, "visit", BLOCKJOB_EVENT_COMPLETED,
                                      visit_other, &visit, NULL) > 0);
    say_completed(one->qemu, "visit");
    wait_until(atomic_load(&visit.done) == 1);
    assert_int_equal(atomic_load(&visit.freed), -EDEADLK);
    /* 1: the other one's callback was just running, and is not waited for here. */
    assert_in_range(atomic_load(&visit.removed), 0, 1);
    wait_until(recorder_freed(two->recorder) == 1);
    recorder_next(one->recorder);
}

static void the_end_of_one_is_not_the_others(void **states)
{
    struct world *one = states[0], *two = states[1];
    blockjob_job *job = NULL;

    assert_result(blockjob_listener_stop(one->listener), 0);
    assert_result(blockjob_job_new(one->monitor, NULL, 0, &job), -ESHUTDOWN);
    end_listener(one);
    then_expect_hang_up(one->qemu);
    script_done(one->qemu);
    assert_int_equal(blockjob_monitor_get_state(two->monitor), BLOCKJOB_STATE_CONNECTED);
    say_completed(two->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(two->recorder)), "after");
    then_expect(two->qemu, "\"stop\"");
    then_return(two->qemu);
    assert_result(blockjob_monitor_execute(two->monitor, "stop", NULL, 0, -1, NULL), 0);
}

static void play(void (*scene)(void **states))
{
    void *states[2] = { NULL, NULL };

    world_begin_connected(&states[0]);
    world_begin_connected(&states[1]);
    scene(states);
    world_end(&states[0]);
    world_end(&states[1]);
}

#define played(scene)                           \
    static void test_##scene(void **state)      \
    {                                           \
        (void)state;                            \
        play(scene);                            \
    }

played(each_is_told_of_its_own)
played(a_slow_callback_is_the_own_listeners_matter)
played(handles_of_one_are_refused_by_the_other)
played(inside_a_callback_of_one_nothing_waits_for_the_other)
played(the_end_of_one_is_not_the_others)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_told_of_its_own),
        cmocka_unit_test(test_a_slow_callback_is_the_own_listeners_matter),
        cmocka_unit_test(test_handles_of_one_are_refused_by_the_other),
        cmocka_unit_test(test_inside_a_callback_of_one_nothing_waits_for_the_other),
        cmocka_unit_test(test_the_end_of_one_is_not_the_others),
    };

    return run_all(tests);
}
