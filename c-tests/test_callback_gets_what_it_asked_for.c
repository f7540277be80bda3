/* A registration's monitor, job id and kinds: what matches comes, what does not never comes. */
#include "harness.h"

static int64_t add(struct world *world, blockjob_monitor *monitor, const char *job_id,
                   uint32_t kinds, struct recorder *recorder)
{
    int64_t id = blockjob_callback_add(world->listener, monitor, job_id, kinds, recorder_callback,
                                       recorder, recorder_release);

    if (id <= 0) {
        fail_msg("the callback was not added: %s", blockjob_last_error());
    }
    return id;
}

static void only_its_kinds(void **state)
{
    struct world *world = *state;
    struct recorder *finals = recorder_new(), *ready = recorder_new();
    int64_t first, second;

    first = add(world, NULL, NULL, BLOCKJOB_EVENT_COMPLETED | BLOCKJOB_EVENT_CANCELLED, finals);
    second = add(world, NULL, NULL, BLOCKJOB_EVENT_READY, ready);
    say_status(world->qemu, "j", "created");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_READY', 'data': {'device': 'j'}}");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_PENDING', 'data': {'id': 'j'}}");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_ERROR', 'data': {'device': 'j'}}");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_CANCELLED', 'data': {'device': 'j'}}");
    pass_fence(world, world->qemu);

    assert_int_equal(blockjob_event_get_kind(recorder_get(finals, 0)), BLOCKJOB_EVENT_CANCELLED);
    assert_text(blockjob_event_get_job_id(recorder_get(finals, 1)), "fence-1");
    assert_int_equal(recorder_count(finals), 2);
    assert_int_equal(blockjob_event_get_kind(recorder_get(ready, 0)), BLOCKJOB_EVENT_READY);
    assert_int_equal(recorder_count(ready), 1);
    assert_int_equal(recorder_count(world->recorder), 7); /* with CONNECTED */

    assert_result(blockjob_callback_remove(world->listener, first, 0), 0);
    assert_result(blockjob_callback_remove(world->listener, second, 0), 0);
    recorder_destroy(finals);
    recorder_destroy(ready);
}

/* The id is compared whole: neither a prefix nor other letters' case is the same job. */
static void only_its_job(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new();
    int64_t id = add(world, NULL, "job1", BLOCKJOB_EVENT_ALL, recorder);

    say_completed(world->qemu, "job10");
    say_completed(world->qemu, "job");
    say_completed(world->qemu, "JOB1");
    say_status(world->qemu, "job1", "pending");
    say_completed(world->qemu, "job1");
    pass_fence(world, world->qemu);

    assert_int_equal(recorder_count(recorder), 2);
    assert_int_equal(blockjob_event_get_kind(recorder_get(recorder, 0)), BLOCKJOB_EVENT_STATUS);
    assert_int_equal(blockjob_event_get_kind(recorder_get(recorder, 1)),
                     BLOCKJOB_EVENT_COMPLETED);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    recorder_destroy(recorder);
}

/* Whoever waits for a job must hear that the connection it would be told by has gone. */
static void events_of_no_job_pass_any_job(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new();

    add(world, NULL, "job1", BLOCKJOB_EVENT_ALL, recorder);
    then_hang_up(world->qemu);
    assert_int_equal(blockjob_event_get_kind(recorder_next(recorder)),
                     BLOCKJOB_EVENT_DISCONNECTED);
    connect_to(world->monitor, world->qemu);
    assert_int_equal(blockjob_event_get_kind(recorder_next(recorder)),
                     BLOCKJOB_EVENT_CONNECTED);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(recorder);
}

/* One without a monitor also sees those that are made after it. */
static void only_its_monitor(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *other_qemu = scripted_monitor_new();
    struct recorder *of_one = recorder_new(), *of_other = recorder_new();
    struct recorder *of_all = recorder_new();
    blockjob_monitor *other;

    add(world, world->monitor, NULL, BLOCKJOB_EVENT_COMPLETED, of_one);
    add(world, NULL, NULL, BLOCKJOB_EVENT_COMPLETED, of_all);
    other = connected_monitor(world->listener, other_qemu);
    add(world, other, NULL, BLOCKJOB_EVENT_COMPLETED, of_other);

    say_completed(world->qemu, "here");
    recorder_next(of_all);
    say_completed(other_qemu, "there");
    recorder_next(of_all);
    pass_fence(world, other_qemu);

    assert_int_equal(recorder_count(of_one), 1);
    assert_text(blockjob_event_get_job_id(recorder_get(of_one, 0)), "here");
    assert_int_equal(recorder_count(of_other), 2);
    assert_text(blockjob_event_get_job_id(recorder_get(of_other, 0)), "there");
    assert_ptr_equal(blockjob_event_get_monitor(recorder_get(of_other, 0)), other);
    assert_text(blockjob_event_get_job_id(recorder_get(of_all, 0)), "here");
    assert_text(blockjob_event_get_job_id(recorder_get(of_all, 1)), "there");
    assert_int_equal(recorder_count(of_all), 3);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    blockjob_monitor_unref(other);
    recorder_destroy(of_one);
    recorder_destroy(of_other);
    recorder_destroy(of_all);
    scripted_monitor_destroy(other_qemu);
}

/* Any number of registrations may share a function, an opaque, or both. */
static void same_function_many_times(void **state)
{
    enum { TIMES = 50 };
    struct world *world = *state;
    struct recorder *recorder = recorder_new();
    int64_t ids[TIMES];

    for (int i = 0; i < TIMES; i++) {
        ids[i] = add(world, world->monitor, NULL, BLOCKJOB_EVENT_COMPLETED, recorder);
        for (int earlier = 0; earlier < i; earlier++) {
            assert_int_not_equal(ids[earlier], ids[i]);
        }
    }
    say_completed(world->qemu, "shared");
    pass_fence(world, world->qemu);
    assert_int_equal(recorder_count(recorder), 2 * TIMES);
    for (int i = 0; i < TIMES; i++) {
        assert_text(blockjob_event_get_job_id(recorder_get(recorder, (size_t)i)), "shared");
    }

    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(recorder_freed(recorder), i);
        assert_result(blockjob_callback_remove(world->listener, ids[i], 0), 0);
    }
    assert_int_equal(recorder_freed(recorder), TIMES);
    recorder_destroy(recorder);
}

/* An id names one registration for ever: it is neither given again nor found after its removal. */
static void ids_are_never_used_again(void **state)
{
    struct world *world = *state;
    int64_t last = world->recording;

    for (int i = 0; i < 100; i++) {
        struct recorder *recorder = recorder_new();
        int64_t id = record(world->listener, NULL, recorder);

        assert_true(id > last);
        assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
        assert_int_equal(recorder_freed(recorder), 1);
        assert_result(blockjob_callback_remove(world->listener, id, 0), -ENOENT);
        recorder_destroy(recorder);
        last = id;
    }
}

/* Callbacks belong to the listener: they are still there after the connection was lost. */
static void callbacks_survive_a_reconnect(void **state)
{
    struct world *world = *state;
    struct recorder *recorder = recorder_new();

    add(world, world->monitor, "job", BLOCKJOB_EVENT_COMPLETED, recorder);
    for (int i = 0; i < 3; i++) {
        say_completed(world->qemu, "job");
        recorder_next(recorder);
        then_hang_up(world->qemu);
        recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
        connect_to(world->monitor, world->qemu);
    }
    assert_int_equal(recorder_count(recorder), 3);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(recorder_freed(recorder), 1);
    recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(only_its_kinds),
        test_connected(only_its_job),
        test_connected(events_of_no_job_pass_any_job),
        test_connected(only_its_monitor),
        test_connected(same_function_many_times),
        test_connected(ids_are_never_used_again),
        test_connected(callbacks_survive_a_reconnect),
    };

    return run_all(tests);
}
