/*
 * A job on the same node can only be started when QEMU has dismissed the one before. A callback
 * acknowledges early, which returns when QEMU has answered, and starts the next one.
 */
#include "harness.h"

struct chain {
    struct world *world;
    blockjob_job *next;
    int acknowledged, started;
    atomic_bool done;
};

static void go_on(blockjob_event *event, void *opaque)
{
    struct chain *chain = opaque;

    chain->acknowledged = blockjob_event_acknowledge(event, PATIENCE_SECONDS * 1000);
    chain->started = blockjob_job_start(chain->next, "block-stream", "{\"device\":\"d0\"}",
                                        PATIENCE_SECONDS * 1000);
    atomic_store(&chain->done, true);
}

static void after_an_early_acknowledgement(void **state)
{
    struct world *world = *state;
    struct chain chain = { .world = world, .next = handle_of(world, NULL, 0) };
    blockjob_job *first = handle_of(world, NULL, 0);
    blockjob_event *event = NULL;
    char id[128];

    snprintf(id, sizeof id, "%s", blockjob_job_get_id(first));
    start_job(world, first);
    assert_true(blockjob_callback_add(world->listener, NULL, id, BLOCKJOB_EVENT_COMPLETED, go_on,
                                      &chain, NULL) > 0);
    /* The handle's claim stands, too; early means that it is not waited for. */
    say_ended(world->qemu, id);
    then_dismiss(world->qemu, id);
    then_expect(world->qemu, blockjob_job_get_id(chain.next));
    then_return(world->qemu);
    say_job(world->qemu, blockjob_job_get_id(chain.next));
    wait_until(atomic_load(&chain.done));
    script_done(world->qemu);
    assert_int_equal(chain.acknowledged, 0);
    assert_int_equal(chain.started, 0);
    assert_result(blockjob_job_wait(first, 0, &event), 0);
    blockjob_event_unref(event);
    assert_result(blockjob_job_wait(chain.next, -1, &event), 0);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(chain.next));
    script_done(world->qemu);
    blockjob_job_free(first);
    blockjob_job_free(chain.next);
}

/* QEMU concludes a job a moment after it has told how it ended. */
static void also_before_the_job_has_concluded(void **state)
{
    struct world *world = *state;
    struct chain chain = { .world = world, .next = handle_of(world, NULL, 0) };
    const char id[] = OWNER "-1";

    assert_true(blockjob_callback_add(world->listener, NULL, id, BLOCKJOB_EVENT_COMPLETED, go_on,
                                      &chain, NULL) > 0);
    say_begun(world->qemu, id);
    say_completed(world->qemu, id);
    expect_nothing_sent(world);
    say_status(world->qemu, id, "concluded");
    then_dismiss(world->qemu, id);
    then_expect(world->qemu, blockjob_job_get_id(chain.next));
    then_return(world->qemu);
    wait_until(atomic_load(&chain.done));
    assert_int_equal(chain.acknowledged, 0);
    assert_int_equal(chain.started, 0);
    blockjob_job_free(chain.next);
}

/* Without a connection it is acknowledged all the same, and dismissed when there is one. */
static void without_a_connection_it_is_dismissed_later(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    const char id[] = OWNER "-1";
    blockjob_event *event;

    taker_keep(taker);
    taker_add(taker, world->listener, NULL, id, 0);
    say_job(world->qemu, id);
    taker_next(taker);
    pass_fence(world, world->qemu);
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    event = taker_kept(taker);
    assert_result(blockjob_event_acknowledge(event, -1), -ENOTCONN);
    blockjob_event_unref(event);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "{'id': '" OWNER "-1', 'type': 'stream', 'status': 'concluded', "
                           "'current-progress': 9, 'total-progress': 9}", "");
    then_dismiss(world->qemu, id);
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(taker_count(taker), 1);
    taker_destroy(taker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(after_an_early_acknowledgement),
        test_owned_connected(also_before_the_job_has_concluded),
        test_owned_connected(without_a_connection_it_is_dismissed_later),
    };

    return run_all(tests);
}
