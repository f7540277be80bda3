/*
 * A wait for a job ends when it is decided how the job ended, when nobody can know it any more, when
 * the monitor is closed or the listener stopped; for any number of threads, inside callbacks too,
 * and never by silence.
 */
#include "harness.h"

struct waiter {
    blockjob_job *job;
    blockjob_event *event;
};

static int wait_for_ever(void *argument)
{
    struct waiter *waiter = argument;

    return blockjob_job_wait(waiter->job, -1, &waiter->event);
}

static void assert_lost(blockjob_event *event, int loss)
{
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_UNKNOWN);
    assert_null(blockjob_event_get_outcome_name(event));
    assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_INFERRED);
    assert_int_equal(blockjob_event_get_loss(event), loss);
    assert_int_not_equal(strlen(blockjob_event_get_reason(event)), 0);
    assert_text(blockjob_event_get_name(event), "LOST");
    assert_null(blockjob_event_get_json(event));
    blockjob_event_unref(event);
}

static void by_the_outcome_for_every_waiter(void **state)
{
    enum { COUNT = 8 };
    struct world *world = *state;
    struct waiter waiters[COUNT];
    struct call calls[COUNT];
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_event *again = NULL;

    for (int i = 0; i < COUNT; i++) {
        waiters[i] = (struct waiter){ .job = job };
        call_start(&calls[i], wait_for_ever, &waiters[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        call_settle(&calls[i]);
        assert_false(atomic_load(&calls[i].returned));
    }
    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(call_join(&calls[i]), 0);
        assert_int_equal(blockjob_event_get_outcome(waiters[i].event),
                         BLOCKJOB_OUTCOME_SUCCEEDED);
        assert_int_equal(blockjob_event_get_origin(waiters[i].event), BLOCKJOB_ORIGIN_LIVE);
        assert_int_equal(blockjob_event_get_loss(waiters[i].event), BLOCKJOB_LOSS_NONE);
    }
    assert_result(blockjob_job_wait(job, 0, &again), 0); /* and once more, for who asks again */
    blockjob_event_unref(again);
    for (int i = 0; i < COUNT - 1; i++) {
        blockjob_event_unref(waiters[i].event);
    }
    expect_nothing_sent(world);
    blockjob_event_unref(waiters[COUNT - 1].event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void by_its_own_time_when_nothing_happens(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "foreign", 0);
    blockjob_event *event = (blockjob_event *)&event, *untouched = event;

    assert_result(blockjob_job_wait(job, 0, &event), -ETIMEDOUT);
    assert_result(blockjob_job_wait(job, 20, &event), -ETIMEDOUT);
    assert_ptr_equal(event, untouched);
    assert_non_null(strstr(blockjob_last_error(), "foreign"));
    assert_result(blockjob_job_wait(job, -2, &event), -EINVAL);
    say_job(world->qemu, "foreign");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

/* QEMU has no job of that id, and the program says that it was started: it is lost. */
static void by_loss_when_qemu_does_not_know_the_job(void **state)
{
    struct world *world = *state;
    struct waiter waiter = { .job = handle_of(world, "gone", BLOCKJOB_JOB_EXISTS) };
    struct call call;

    call_start(&call, wait_for_ever, &waiter);
    connect_to(world->monitor, world->qemu);
    assert_int_equal(call_join(&call), 0);
    assert_lost(waiter.event, BLOCKJOB_LOSS_GONE);
    blockjob_job_free(waiter.job);
}

/*
 * The connection ends before anything is heard of the job, and QEMU does not have it then: nobody
 * knows whether there was one. One that begins later is another handle's, the first still open.
 */
static void by_loss_when_nothing_was_heard_of_the_job(void **state)
{
    struct world *world = *state;
    struct waiter first = { 0 }, second = { 0 };

    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    connect_to(world->monitor, world->qemu);
    first.job = handle_of(world, "to-come", 0);
    then_hang_up(world->qemu);
    then_negotiate(world->qemu);
    assert_int_equal(wait_for_ever(&first), 0);
    assert_lost(first.event, BLOCKJOB_LOSS_UNHEARD);

    second.job = handle_of(world, "to-come", 0);
    say_job(world->qemu, "to-come");
    assert_int_equal(wait_for_ever(&second), 0);
    assert_int_equal(blockjob_event_get_outcome(second.event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(second.event);
    blockjob_job_free(second.job);
    blockjob_job_free(first.job);
}

/* QEMU never comes back. */
static void by_loss_after_the_time_without_a_connection(void **state)
{
    struct world *world = *state;
    struct waiter waiter;
    struct call call;

    assert_result(blockjob_monitor_set_lost_after(world->monitor, 100), 0);
    connect_to(world->monitor, world->qemu);
    waiter.job = handle_of(world, NULL, 0);
    start_job(world, waiter.job);
    call_start(&call, wait_for_ever, &waiter);
    then_hang_up(world->qemu);
    assert_int_equal(call_join(&call), 0);
    assert_lost(waiter.event, BLOCKJOB_LOSS_NO_CONNECTION);
    blockjob_job_free(waiter.job);
}

static void by_closing_the_monitor(void **state)
{
    struct world *world = *state;
    struct waiter running = { .job = handle_of(world, NULL, 0) };
    struct waiter expected = { .job = handle_of(world, "expected", 0) };
    struct call calls[2];
    blockjob_event *again = NULL;
    blockjob_job *job = NULL;

    start_job(world, running.job);
    call_start(&calls[0], wait_for_ever, &running);
    call_start(&calls[1], wait_for_ever, &expected);
    call_settle(&calls[0]);
    call_settle(&calls[1]);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_int_equal(call_join(&calls[0]), 0);
    assert_int_equal(call_join(&calls[1]), 0);
    assert_lost(running.event, BLOCKJOB_LOSS_CLOSED);
    assert_lost(expected.event, BLOCKJOB_LOSS_CLOSED);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_result(blockjob_job_wait(running.job, 0, &again), 0);
    assert_result(blockjob_event_acknowledge(again, -1), -ESHUTDOWN);
    assert_lost(again, BLOCKJOB_LOSS_CLOSED);
    assert_result(blockjob_job_start(running.job, "block-stream", "{}", -1), -ESHUTDOWN);
    assert_result(blockjob_job_cancel(running.job, 0, -1), -ESHUTDOWN);
    assert_result(blockjob_job_new(world->monitor, NULL, 0, &job), -ESHUTDOWN);
    blockjob_job_free(running.job);
    blockjob_job_free(expected.job);
}

static void by_stopping_the_listener(void **state)
{
    struct world *world = *state;
    struct waiter waiter = { .job = handle_of(world, NULL, 0) };
    blockjob_job *job = NULL;
    struct call call;

    start_job(world, waiter.job);
    call_start(&call, wait_for_ever, &waiter);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    assert_null(waiter.event);
    assert_result(blockjob_job_wait(waiter.job, -1, &waiter.event), -ESHUTDOWN);
    assert_result(blockjob_job_start(waiter.job, "block-stream", "{}", -1), -ESHUTDOWN);
    assert_result(blockjob_job_complete(waiter.job, -1), -ESHUTDOWN);
    assert_result(blockjob_job_new(world->monitor, NULL, 0, &job), -ESHUTDOWN);
    assert_null(job);
    blockjob_job_free(waiter.job);
}

/* The handle may outlive both, and its monitor's last reference. */
static void by_freeing_the_listener(void **state)
{
    struct world *world = *state;
    struct waiter waiter = { .job = handle_of(world, NULL, 0) };
    struct call call;

    call_start(&call, wait_for_ever, &waiter);
    call_settle(&call);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(call_join(&call), -ESHUTDOWN);
    blockjob_monitor_unref(world->monitor);
    world->monitor = NULL;
    assert_int_not_equal(strlen(blockjob_job_get_id(waiter.job)), 0);
    blockjob_job_free(waiter.job);
}

struct inside {
    struct world *world;
    blockjob_job *job;
    blockjob_event *event;
    atomic_int result;
};

static void wait_inside(blockjob_event *event, void *opaque)
{
    struct inside *inside = opaque;

    (void)event;
    say_ended(inside->world->qemu, blockjob_job_get_id(inside->job));
    atomic_store(&inside->result, blockjob_job_wait(inside->job, -1, &inside->event));
}

/* The reader answers, not the delivery that is busy with this callback. */
static void inside_a_callback(void **state)
{
    struct world *world = *state;
    struct inside inside = { .world = world, .job = handle_of(world, NULL, 0), .result = 1 };

    start_job(world, inside.job);
    assert_true(blockjob_callback_add(world->listener, NULL, "trigger", BLOCKJOB_EVENT_READY,
                                      wait_inside, &inside, NULL) > 0);
    then_say(world->qemu, "{'event': 'BLOCK_JOB_READY', 'data': {'device': 'trigger'}}");
    wait_until(atomic_load(&inside.result) != 1);
    assert_int_equal(atomic_load(&inside.result), 0);
    blockjob_event_unref(inside.event);
    blockjob_job_free(inside.job);
}

/* It ended and nobody has taken that yet: a new handle finds it. */
static void at_once_when_the_job_has_ended(void **state)
{
    struct world *world = *state;
    blockjob_event *event = NULL;
    blockjob_job *job;

    say_job(world->qemu, OWNER "-1");
    pass_fence(world, world->qemu);
    job = handle_of(world, OWNER "-1", 0);
    assert_result(blockjob_job_wait(job, 0, &event), 0);
    assert_text(blockjob_event_get_job_id(event), OWNER "-1");
    blockjob_event_unref(event);
    then_dismiss(world->qemu, OWNER "-1");
    script_done(world->qemu);
    blockjob_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(by_the_outcome_for_every_waiter),
        test_owned_connected(by_its_own_time_when_nothing_happens),
        test_owned(by_loss_when_qemu_does_not_know_the_job),
        test_owned(by_loss_when_nothing_was_heard_of_the_job),
        test_owned(by_loss_after_the_time_without_a_connection),
        test_owned_connected(by_closing_the_monitor),
        test_owned_connected(by_stopping_the_listener),
        test_owned_connected(by_freeing_the_listener),
        test_owned_connected(inside_a_callback),
        test_owned_connected(at_once_when_the_job_has_ended),
    };

    return run_all(tests);
}
