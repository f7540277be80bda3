/*
 * A dismissal by the program acknowledges the end and has QEMU forget the job, whoever started it;
 * but not before somebody was given the end: no end is lost by it.
 */
#include "harness.h"

static void no_end_that_nobody_was_given(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "theirs", 0);
    blockjob_event *event = NULL;

    assert_result(blockjob_job_dismiss(job, -1), -EBUSY);
    say_begun(world->qemu, "theirs");
    pass_fence(world, world->qemu);
    assert_result(blockjob_job_dismiss(job, -1), -EBUSY);
    assert_non_null(strstr(blockjob_last_error(), "it has not ended"));
    say_ended(world->qemu, "theirs");
    pass_fence(world, world->qemu);
    assert_result(blockjob_job_dismiss(job, -1), -EBUSY);
    assert_non_null(strstr(blockjob_last_error(), "nobody was given how it ended"));
    expect_nothing_sent(world);

    assert_result(blockjob_job_wait(job, 0, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
    expect_nothing_sent(world); /* it is another's, and stays */
    then_dismiss(world->qemu, "theirs");
    assert_result(blockjob_job_dismiss(job, -1), 0);
    script_done(world->qemu);
    assert_result(blockjob_job_dismiss(job, -1), 0);
    expect_nothing_sent(world);
    blockjob_job_free(job);
}

struct inside {
    blockjob_job *job;
    int result;
    atomic_bool done;
};

static void dismiss_inside(blockjob_event *event, void *opaque)
{
    struct inside *inside = opaque;

    (void)event;
    inside->result = blockjob_job_dismiss(inside->job, PATIENCE_SECONDS * 1000);
    atomic_store(&inside->done, true);
}

static void of_one_that_the_callback_has_in_hand(void **state)
{
    struct world *world = *state;
    struct inside inside = { .job = handle_of(world, NULL, 0) };
    const char *id = blockjob_job_get_id(inside.job);
    blockjob_event *event = NULL;

    start_job(world, inside.job);
    assert_true(blockjob_callback_add(world->listener, NULL, id, BLOCKJOB_EVENT_FINAL,
                                      dismiss_inside, &inside, NULL) > 0);
    say_ended(world->qemu, id);
    then_dismiss(world->qemu, id);
    wait_until(atomic_load(&inside.done));
    assert_int_equal(inside.result, 0);
    script_done(world->qemu);
    /* It is not lost to who waits. */
    assert_result(blockjob_job_wait(inside.job, 0, &event), 0);
    blockjob_event_unref(event);
    expect_nothing_sent(world);
    blockjob_job_free(inside.job);
}

/* Who looks on takes nothing. */
static void but_of_none_that_an_observer_has_in_hand(void **state)
{
    struct world *world = *state;
    struct inside inside = { .job = handle_of(world, "theirs", 0) };

    assert_true(blockjob_callback_add(world->listener, NULL, "theirs",
                                      BLOCKJOB_EVENT_FINAL | BLOCKJOB_OBSERVE, dismiss_inside,
                                      &inside, NULL) > 0);
    say_job(world->qemu, "theirs");
    wait_until(atomic_load(&inside.done));
    assert_int_equal(inside.result, -EBUSY);
    expect_nothing_sent(world);
    blockjob_job_free(inside.job);
}

/* A callback has returned, and the handle's own claim is given up by the program's word. */
static void of_one_that_a_callback_was_given(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job = handle_of(world, NULL, 0);

    taker_add(taker, world->listener, NULL, blockjob_job_get_id(job), 0);
    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    taker_next(taker);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_job_dismiss(job, -1), 0);
    script_done(world->qemu);
    blockjob_job_free(job);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

static void without_a_connection_it_follows_later(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "theirs", 0);
    blockjob_event *event = NULL;

    say_job(world->qemu, "theirs");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_result(blockjob_job_dismiss(job, -1), -ENOTCONN);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "{'id': 'theirs', 'type': 'stream', 'status': 'concluded'}", "");
    then_dismiss(world->qemu, "theirs");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void nor_when_qemu_does_not_answer_in_time(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "theirs", 0);
    blockjob_event *event = NULL;

    say_job(world->qemu, "theirs");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    assert_result(blockjob_job_dismiss(job, 0), -ETIMEDOUT);
    then_dismiss(world->qemu, "theirs");
    script_done(world->qemu);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_result(blockjob_job_dismiss(job, -1), -ESHUTDOWN);
    blockjob_job_free(job);
}

/* Of a LOST one QEMU decides, for nobody knows how it has it. */
static void of_a_lost_one_qemu_decides(void **state)
{
    struct world *world = *state;
    blockjob_job *job;
    blockjob_event *event = NULL;
    char id[128], list[256];

    assert_result(blockjob_monitor_set_lost_after(world->monitor, 1), 0);
    connect_to(world->monitor, world->qemu);
    job = handle_of(world, NULL, 0);
    snprintf(id, sizeof id, "%s", blockjob_job_get_id(job));
    start_job(world, job);
    then_hang_up(world->qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_NO_CONNECTION);
    blockjob_event_unref(event);

    snprintf(list, sizeof list, "{'id': '%s', 'type': 'stream', 'status': 'running'}", id);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, list, "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    then_expect(world->qemu, "\"job-dismiss\"");
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"GenericError\", "
                             "\"desc\": \"it runs\"}}\r\n");
    assert_result(blockjob_job_dismiss(job, -1), -EREMOTEIO);
    then_expect(world->qemu, "\"job-dismiss\"");
    then_return(world->qemu);
    assert_result(blockjob_job_dismiss(job, -1), 0);
    script_done(world->qemu);
    blockjob_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(no_end_that_nobody_was_given),
        test_owned_connected(of_one_that_the_callback_has_in_hand),
        test_owned_connected(but_of_none_that_an_observer_has_in_hand),
        test_owned_connected(of_one_that_a_callback_was_given),
        test_owned_connected(without_a_connection_it_follows_later),
        test_owned_connected(nor_when_qemu_does_not_answer_in_time),
        test_owned(of_a_lost_one_qemu_decides),
    };

    return run_all(tests);
}
