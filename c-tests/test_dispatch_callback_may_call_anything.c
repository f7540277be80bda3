/*
 * A callback that the program's own loop runs may use the whole library: what would wait for the
 * loop itself is refused at once, all else is answered by the reader.
 */
#include "harness.h"

struct actor {
    struct world *world;
    void (*act)(struct actor *);
    int64_t id;
    int results[6];
    blockjob_monitor *other;
    struct scripted_monitor *other_qemu;
    blockjob_event *event;
    bool freed;
    bool freed_inside; /* before the callback had returned */
    bool inside;
    int calls;
};

static void act(blockjob_event *event, void *opaque)
{
    struct actor *actor = opaque;

    (void)event;
    actor->inside = true;
    actor->calls++;
    actor->act(actor);
    actor->inside = false;
}

static void let_go(void *opaque)
{
    struct actor *actor = opaque;

    actor->freed = true;
    actor->freed_inside = actor->inside;
}

/* Does it inside a callback for a status change; the loop is this thread's. */
static void perform(struct world *world, struct actor *actor, void (*deed)(struct actor *))
{
    *actor = (struct actor){ .world = world, .act = deed };
    actor->id = blockjob_callback_add(world->listener, world->monitor, "trigger",
                                      BLOCKJOB_EVENT_STATUS, act, actor, let_go);
    assert_true(actor->id > 0);
    actor->other_qemu = scripted_monitor_new();
    say_status(world->qemu, "trigger", "running");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(actor->calls, 1);
}

static void leave(struct actor *actor)
{
    end_listener(actor->world);
    assert_true(actor->freed);
    blockjob_monitor_unref(actor->other);
    scripted_monitor_destroy(actor->other_qemu);
}

static void do_connect(struct actor *actor)
{
    then_negotiate(actor->other_qemu);
    actor->results[0] = blockjob_monitor_new(
        actor->world->listener, scripted_monitor_address(actor->other_qemu), &actor->other);
    actor->results[1] = blockjob_monitor_connect(actor->other, PATIENCE_SECONDS * 1000);
    actor->results[2] = blockjob_monitor_get_state(actor->other);
}

static void connect_another_monitor(void **state)
{
    struct actor actor;

    perform(*state, &actor, do_connect);
    assert_int_equal(actor.results[0], 0);
    assert_int_equal(actor.results[1], 0);
    assert_int_equal(actor.results[2], BLOCKJOB_STATE_CONNECTED);
    leave(&actor);
}

static void do_job(struct actor *actor)
{
    struct scripted_monitor *qemu = actor->world->qemu;
    blockjob_job *job = NULL;

    actor->results[0] = blockjob_job_new(actor->world->monitor, OWNER "-7", 0, &job);
    then_expect(qemu, "\"block-stream\"");
    then_return(qemu);
    say_job(qemu, OWNER "-7");
    then_dismiss(qemu, OWNER "-7");
    actor->results[1] = blockjob_job_start(job, "block-stream", "{\"device\":\"d0\"}",
                                           PATIENCE_SECONDS * 1000);
    actor->results[2] = blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &actor->event);
    actor->results[3] = blockjob_event_get_outcome(actor->event);
    actor->results[4] = blockjob_event_acknowledge(actor->event, PATIENCE_SECONDS * 1000);
    blockjob_event_unref(actor->event);
    blockjob_job_free(job);
}

/* The next job, from start to dismissal. The wait is answered by the reader. */
static void start_a_job_and_wait_for_its_end(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_job);
    assert_int_equal(actor.results[0], 0);
    assert_int_equal(actor.results[1], 0);
    assert_int_equal(actor.results[2], 0);
    assert_int_equal(actor.results[3], BLOCKJOB_OUTCOME_SUCCEEDED);
    assert_int_equal(actor.results[4], 0);
    script_done(world->qemu);
    leave(&actor);
}

static void do_remove_self(struct actor *actor)
{
    actor->results[0] = blockjob_callback_remove(actor->world->listener, actor->id, 0);
    actor->results[1] = blockjob_callback_remove(actor->world->listener, actor->id, 0);
    actor->results[2] = actor->freed;
}

static void remove_itself(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_remove_self);
    assert_int_equal(actor.results[0], 0);
    assert_int_equal(actor.results[1], -ENOENT);
    assert_int_equal(actor.results[2], 0);
    assert_true(actor.freed); /* when it had returned, still inside dispatch */
    assert_false(actor.freed_inside);
    say_status(world->qemu, "trigger", "ready");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 0);
    assert_int_equal(actor.calls, 1);
    leave(&actor);
}

static void do_add(struct actor *actor)
{
    actor->results[0] = (int)record(actor->world->listener, actor->world->monitor,
                                    actor->world->recorder);
}

static void add_another(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_add);
    assert_true(actor.results[0] > 0);
    say_completed(world->qemu, "job");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "job");
    leave(&actor);
}

static void do_close(struct actor *actor)
{
    actor->results[0] = blockjob_monitor_close(actor->world->monitor);
    actor->results[1] = blockjob_monitor_get_state(actor->world->monitor);
}

static void close_its_monitor(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_close);
    assert_int_equal(actor.results[0], 0);
    assert_int_equal(actor.results[1], BLOCKJOB_STATE_CLOSED);
    /* CLOSED, perhaps in that dispatch already, is nobody's, and ends the registration. */
    while (!actor.freed) {
        wait_until_readable(blockjob_listener_get_fd(world->listener));
        assert_result(blockjob_listener_dispatch(world->listener), 0);
    }
    assert_false(actor.freed_inside);
    leave(&actor);
}

static void do_free(struct actor *actor)
{
    actor->results[0] = blockjob_listener_free(actor->world->listener);
    actor->results[1] = blockjob_listener_set_delivery(actor->world->listener,
                                                       BLOCKJOB_DELIVERY_LOOP);
}

static void free_its_listener_is_refused(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_free);
    assert_int_equal(actor.results[0], -EDEADLK);
    assert_int_equal(actor.results[1], -EBUSY);
    say_status(world->qemu, "trigger", "ready");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(actor.calls, 2);
    leave(&actor);
}

static void do_stop(struct actor *actor)
{
    actor->results[0] = blockjob_listener_stop(actor->world->listener);
    actor->results[1] = blockjob_listener_dispatch(actor->world->listener);
    actor->results[2] = blockjob_monitor_connect(actor->world->monitor, -1);
}

/* The dispatch that runs returns what it has done; the next one is told. */
static void stop_its_listener(void **state)
{
    struct world *world = *state;
    struct actor actor;

    perform(world, &actor, do_stop);
    assert_int_equal(actor.results[0], 0);
    assert_int_equal(actor.results[1], -ESHUTDOWN);
    assert_int_equal(actor.results[2], -ESHUTDOWN);
    assert_true(is_readable(blockjob_listener_get_fd(world->listener)));
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    leave(&actor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_loop(connect_another_monitor),
        test_loop(start_a_job_and_wait_for_its_end),
        test_loop(remove_itself),
        test_loop(add_another),
        test_loop(close_its_monitor),
        test_loop(free_its_listener_is_refused),
        test_loop(stop_its_listener),
    };

    return run_all(tests);
}
