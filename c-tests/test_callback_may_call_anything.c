/*
 * Inside a callback every function may be called; what would wait for the callback itself gives
 * -EDEADLK at once. Nothing here hangs, whichever thread waits for whom.
 */
#include "harness.h"

/* A callback that does one deed, once, and keeps what came of it. */
struct actor {
    struct world *world;
    void (*deed)(struct actor *actor);
    struct recorder *recorder;
    struct scripted_monitor *other_qemu;
    blockjob_monitor *other;
    int64_t result;
    int64_t more[4];
    char words[256];
    atomic_bool done;
};

static void act(blockjob_event *event, void *opaque)
{
    struct actor *actor = opaque;

    (void)event;
    if (!atomic_load(&actor->done)) {
        actor->deed(actor);
        atomic_store(&actor->done, true);
    }
}

static struct actor *perform(struct world *world, void (*deed)(struct actor *actor))
{
    struct actor *actor = calloc(1, sizeof *actor);

    assert_non_null(actor);
    actor->world = world;
    actor->deed = deed;
    actor->recorder = recorder_new();
    actor->other_qemu = scripted_monitor_new();
    then_negotiate(actor->other_qemu);
    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED, act,
                                      actor, NULL) > 0);
    say_completed(world->qemu, "action");
    wait_until(atomic_load(&actor->done));
    return actor;
}

static void leave(struct actor *actor)
{
    assert_result(blockjob_listener_free(actor->world->listener), 0);
    actor->world->listener = NULL;
    blockjob_monitor_unref(actor->other);
    scripted_monitor_destroy(actor->other_qemu);
    recorder_destroy(actor->recorder);
    free(actor);
}

static void do_register(struct actor *actor)
{
    actor->result = blockjob_callback_add(actor->world->listener, NULL, NULL,
                                          BLOCKJOB_EVENT_ALL, recorder_callback, actor->recorder,
                                          recorder_release);
}

/* It sees what is read after the call returned, so not the event in hand. */
static void register_another(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_register);

    assert_true(actor->result > 0);
    say_completed(world->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(actor->recorder)), "after");
    leave(actor);
}

/* Each call adds a registration for the very event in hand, which came before it. */
struct adder {
    struct world *world;
    atomic_int calls;
    atomic_int too_early;
};

static void count_too_early(blockjob_event *event, void *opaque)
{
    struct adder *adder = opaque;

    (void)event;
    atomic_fetch_add(&adder->too_early, 1);
}

static void add_for_this_job(blockjob_event *event, void *opaque)
{
    struct adder *adder = opaque;

    (void)blockjob_callback_add(adder->world->listener, NULL, blockjob_event_get_job_id(event),
                                BLOCKJOB_EVENT_COMPLETED, count_too_early, adder, NULL);
    atomic_fetch_add(&adder->calls, 1);
}

/* It could otherwise go round and round with one event, adding for ever. */
static void register_another_never_for_the_event_in_hand(void **state)
{
    enum { EVENTS = 500 };
    struct world *world = *state;
    struct adder adder = { .world = world };

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      add_for_this_job, &adder, NULL) > 0);
    for (int i = 0; i < EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%d", i);
        say_completed(world->qemu, job_id);
    }
    wait_until(atomic_load(&adder.calls) == EVENTS);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(atomic_load(&adder.too_early), 0);
}

static void do_connect(struct actor *actor)
{
    blockjob_listener *listener = actor->world->listener;

    actor->more[0] = blockjob_monitor_new(listener, scripted_monitor_address(actor->other_qemu),
                                          &actor->other);
    actor->result = blockjob_monitor_connect(actor->other, PATIENCE_SECONDS * 1000);
    actor->more[1] = blockjob_monitor_get_state(actor->other);
    actor->more[2] = blockjob_monitor_start(actor->other);
}

/* The reader answers, not the delivery that is busy with this callback. */
static void connect_another_monitor_and_wait(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_connect);

    assert_int_equal(actor->more[0], 0);
    assert_int_equal(actor->result, 0);
    assert_int_equal(actor->more[1], BLOCKJOB_STATE_CONNECTED);
    assert_int_equal(actor->more[2], -EALREADY);
    say_completed(actor->other_qemu, "there");
    assert_text(blockjob_event_get_job_id(recorder_next_of(world->recorder,
                                                           BLOCKJOB_EVENT_COMPLETED)), "action");
    assert_text(blockjob_event_get_job_id(recorder_next_of(world->recorder,
                                                           BLOCKJOB_EVENT_COMPLETED)), "there");
    leave(actor);
}

static void do_connect_fails(struct actor *actor)
{
    actor->more[0] = blockjob_monitor_new(actor->world->listener, "unix:/nonexistent/qmp.sock",
                                          &actor->other);
    actor->result = blockjob_monitor_connect(actor->other, PATIENCE_SECONDS * 1000);
    snprintf(actor->words, sizeof actor->words, "%s", blockjob_last_error());
}

static void connect_in_vain(void **state)
{
    struct actor *actor = perform(*state, do_connect_fails);

    assert_int_equal(actor->more[0], 0);
    assert_int_equal(actor->result, -ENOENT);
    assert_non_null(strstr(actor->words, "/nonexistent/qmp.sock"));
    leave(actor);
}

static void do_start(struct actor *actor)
{
    actor->more[0] = blockjob_monitor_new(actor->world->listener,
                                          scripted_monitor_address(actor->other_qemu),
                                          &actor->other);
    actor->more[1] = blockjob_monitor_set_name(actor->other, "second");
    actor->more[2] = blockjob_monitor_set_connect_timeout(actor->other, 10000);
    actor->more[3] = blockjob_monitor_set_line_limit(actor->other, 1 << 20);
    actor->result = blockjob_monitor_start(actor->other);
}

static void start_another_monitor(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_start);
    blockjob_event *event;

    assert_int_equal(actor->result, 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(actor->more[i], 0);
    }
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_text(blockjob_monitor_get_name(blockjob_event_get_monitor(event)), "second");
    leave(actor);
}

static void do_close(struct actor *actor)
{
    actor->result = blockjob_monitor_close(actor->world->monitor);
    actor->more[0] = blockjob_monitor_get_state(actor->world->monitor);
    actor->more[1] = blockjob_monitor_start(actor->world->monitor);
}

static void close_its_own_monitor(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_close);

    assert_int_equal(actor->result, 0);
    assert_int_equal(actor->more[1], -ESHUTDOWN);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CLOSED);
    leave(actor);
}

static void do_unref(struct actor *actor)
{
    blockjob_monitor_unref(blockjob_monitor_ref(actor->world->monitor));
    blockjob_monitor_unref(actor->world->monitor);
    actor->world->monitor = NULL;
}

/* A started monitor is kept by its listener, whoever lets go of it. */
static void let_go_of_its_own_monitor(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_unref);
    blockjob_event *event;

    say_completed(world->qemu, "after");
    recorder_next(world->recorder);
    event = recorder_next(world->recorder);
    assert_text(blockjob_event_get_job_id(event), "after");
    assert_text(blockjob_monitor_get_address(blockjob_event_get_monitor(event)),
                scripted_monitor_address(world->qemu));
    leave(actor);
}

static void do_free_listener(struct actor *actor)
{
    actor->result = blockjob_listener_free(actor->world->listener);
    snprintf(actor->words, sizeof actor->words, "%s", blockjob_last_error());
    actor->more[0] = blockjob_monitor_get_state(actor->world->monitor);
}

/* It does nothing but refuse: all goes on as before. */
static void free_its_listener_is_refused(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_free_listener);

    assert_int_equal(actor->result, -EDEADLK);
    assert_int_not_equal(strlen(actor->words), 0);
    assert_int_equal(actor->more[0], BLOCKJOB_STATE_CONNECTED);
    say_completed(world->qemu, "after");
    recorder_next(world->recorder);
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "after");
    leave(actor);
}

static void do_stop(struct actor *actor)
{
    actor->result = blockjob_listener_stop(actor->world->listener);
    actor->more[0] = blockjob_listener_stop(actor->world->listener);
    actor->more[1] = blockjob_monitor_new(actor->world->listener, "unix:/x", &actor->other);
    actor->more[2] = blockjob_monitor_start(actor->world->monitor);
}

static void stop_its_listener(void **state)
{
    struct world *world = *state;
    struct actor *actor = perform(world, do_stop);

    assert_int_equal(actor->result, 0);
    assert_int_equal(actor->more[0], 0);
    assert_int_equal(actor->more[1], -ESHUTDOWN);
    assert_null(actor->other);
    assert_int_equal(actor->more[2], -ESHUTDOWN);
    leave(actor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(register_another),
        test_connected(register_another_never_for_the_event_in_hand),
        test_connected(connect_another_monitor_and_wait),
        test_connected(connect_in_vain),
        test_connected(start_another_monitor),
        test_connected(close_its_own_monitor),
        test_connected(let_go_of_its_own_monitor),
        test_connected(free_its_listener_is_refused),
        test_connected(stop_its_listener),
    };

    return run_all(tests);
}
