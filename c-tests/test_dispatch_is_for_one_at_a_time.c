/*
 * One delivery at a time: a dispatch beside another gives -EBUSY, one inside another -EDEADLK, and
 * the other is not disturbed. Removing and freeing wait for a callback that runs in a dispatch.
 */
#include "harness.h"

struct nested {
    blockjob_listener *listener, *other;
    int result, other_result, again;
    char words[256];
};

static int dispatch_it(void *argument)
{
    return blockjob_listener_dispatch(argument);
}

/* Dispatches in another thread, which stands in a callback at the world's gate. */
static void stand_in_callback(struct world *world, struct call *call, int64_t *id)
{
    *id = blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                gate_callback, world->gate, NULL);
    assert_true(*id > 0);
    say_status(world->qemu, "job", "running");
    say_status(world->qemu, "job", "ready");
    wait_until_read(world);
    call_start(call, dispatch_it, world->listener);
    gate_wait_entered(world->gate);
}

static void beside_another_it_is_busy(void **state)
{
    struct world *world = *state;
    struct call call;
    int64_t id;

    stand_in_callback(world, &call, &id);
    assert_result(blockjob_listener_dispatch(world->listener), -EBUSY);
    assert_non_null(strstr(blockjob_last_error(), "another thread"));
    assert_false(is_readable(blockjob_listener_get_fd(world->listener)));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 2);
    assert_result(blockjob_listener_dispatch(world->listener), 0);
}

static void call_again(blockjob_event *event, void *opaque)
{
    struct nested *nested = opaque;

    (void)event;
    nested->result = blockjob_listener_dispatch(nested->listener);
    snprintf(nested->words, sizeof nested->words, "%s", blockjob_last_error());
    if (nested->other != NULL) {
        nested->other_result = blockjob_listener_dispatch(nested->other);
    }
}

static void inside_itself_it_would_wait_for_itself(void **state)
{
    struct world *world = *state;
    struct nested nested = { .listener = world->listener };

    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                      call_again, &nested, NULL) > 0);
    say_status(world->qemu, "job", "running");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(nested.result, -EDEADLK);
    assert_int_not_equal(strlen(nested.words), 0);
    assert_result(blockjob_listener_dispatch(world->listener), 0);
}

/* A callback may dispatch another listener, whose callbacks may not dispatch the first one. */
static void inside_another_listeners_it_works(void **state)
{
    struct world *world = *state;
    void *other_state;
    struct world *other;
    struct nested outer = { .listener = world->listener }, inner = { .listener = world->listener };

    loop_begin(&other_state);
    other = other_state;
    outer.other = other->listener;
    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                      call_again, &outer, NULL) > 0);
    assert_true(blockjob_callback_add(other->listener, other->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                      call_again, &inner, NULL) > 0);
    say_status(other->qemu, "job", "running");
    wait_until_read(other);
    say_status(world->qemu, "job", "running");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(outer.result, -EDEADLK);
    assert_int_equal(outer.other_result, 1);
    assert_int_equal(inner.result, -EDEADLK);
    delivered_end(&other_state);
}

static void dispatch_in_free(void *opaque)
{
    struct nested *nested = opaque;

    nested->result = blockjob_listener_dispatch(nested->listener);
}

static void remove_self(blockjob_event *event, void *opaque)
{
    (void)event;
    ((struct nested *)opaque)->again++;
}

/* A free function that a dispatch runs is inside it; one that a removal runs is not. */
static void inside_a_free_function_it_depends_on_whose(void **state)
{
    struct world *world = *state;
    struct nested nested = { .listener = world->listener };
    int64_t id;

    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_CLOSED,
                                      remove_self, &nested, dispatch_in_free) > 0);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    dispatch(world, 1);
    assert_int_equal(nested.again, 1);
    assert_int_equal(nested.result, -EDEADLK);

    id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_CLOSED, remove_self,
                               &nested, dispatch_in_free);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(nested.result, 0);
}

struct removal {
    struct world *world;
    int64_t id;
    uint32_t flags;
};

static int remove_it(void *argument)
{
    struct removal *removal = argument;

    return blockjob_callback_remove(removal->world->listener, removal->id, removal->flags);
}

static void a_removal_waits_for_the_callback(void **state)
{
    struct world *world = *state;
    struct removal removal = { .world = world };
    struct call call, removing;

    stand_in_callback(world, &call, &removal.id);
    call_start(&removing, remove_it, &removal);
    call_settle(&removing);
    assert_false(atomic_load(&removing.returned));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 1); /* the second event found nobody */
    assert_int_equal(call_join(&removing), 0);
}

static void free_it(void *opaque)
{
    *(pthread_t *)opaque = pthread_self();
}

/* Without waiting the free function runs where the callback does. */
static void a_removal_without_waiting_leaves_the_free_to_it(void **state)
{
    struct world *world = *state;
    struct removal removal = { .world = world, .flags = BLOCKJOB_REMOVE_NOWAIT };
    pthread_t freed_on = pthread_self();
    struct call call;
    int64_t other;

    other = blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                  gate_callback, world->gate, NULL);
    assert_true(other > 0);
    say_status(world->qemu, "job", "running");
    wait_until_read(world);
    call_start(&call, dispatch_it, world->listener);
    gate_wait_entered(world->gate);
    removal.id = other;
    assert_int_equal(remove_it(&removal), 1);
    /* One that does not run is freed at once, and here. */
    other = blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                  gate_callback, &freed_on, free_it);
    memset(&freed_on, 0, sizeof freed_on);
    removal.id = other;
    assert_int_equal(remove_it(&removal), 0);
    assert_true(pthread_equal(freed_on, pthread_self()));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 1);
}

static void remove_elsewhere(blockjob_event *event, void *opaque)
{
    struct removal *removal = opaque;

    (void)event;
    removal->flags = 0;
    removal->flags = (uint32_t)remove_it(removal);
}

/* Inside a callback, of any listener, a removal never waits: two loops could wait for each other. */
static void a_removal_inside_another_listeners_callback_never_waits(void **state)
{
    struct world *world = *state;
    void *other_state;
    struct world *other;
    struct removal removal = { .world = world };
    struct call call;

    loop_begin(&other_state);
    other = other_state;
    stand_in_callback(world, &call, &removal.id);
    assert_true(blockjob_callback_add(other->listener, other->monitor, NULL, BLOCKJOB_EVENT_STATUS,
                                      remove_elsewhere, &removal, NULL) > 0);
    say_status(other->qemu, "job", "running");
    wait_until_read(other);
    assert_result(blockjob_listener_dispatch(other->listener), 1);
    assert_int_equal(removal.flags, 1); /* it runs elsewhere */
    assert_false(atomic_load(&call.returned));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 1);
    assert_result(blockjob_callback_remove(world->listener, removal.id, 0), -ENOENT);
    delivered_end(&other_state);
}

/* The stop waits for nothing; the callback may finish, and is the last. */
static void a_stop_does_not_wait_for_it(void **state)
{
    struct world *world = *state;
    struct call call;
    int64_t id;

    stand_in_callback(world, &call, &id);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_false(atomic_load(&call.returned));
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    assert_true(is_readable(blockjob_listener_get_fd(world->listener)));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 1);
}

static int free_listener(void *argument)
{
    return blockjob_listener_free(argument);
}

static void the_listeners_end_waits_for_it(void **state)
{
    struct world *world = *state;
    struct call call, freeing;
    int64_t id;

    stand_in_callback(world, &call, &id);
    call_start(&freeing, free_listener, world->listener);
    call_settle(&freeing);
    assert_false(atomic_load(&freeing.returned));
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 1); /* after the stop no callback begins any more */
    assert_int_equal(call_join(&freeing), 0);
    assert_true(call.returned_at > 0 && freeing.returned_at > 0);
    world->listener = NULL;
}

/* Of a monitor all events, whoever dispatches them. */
struct shift {
    blockjob_listener *listener;
    atomic_bool over;
    atomic_int dispatched, busy, others;
};

static int dispatch_until_over(void *argument)
{
    struct shift *shift = argument;

    while (!atomic_load(&shift->over)) {
        int result = blockjob_listener_dispatch(shift->listener);

        if (result >= 0) {
            atomic_fetch_add(&shift->dispatched, result);
        } else {
            atomic_fetch_add(result == -EBUSY ? &shift->busy : &shift->others, 1);
        }
    }
    return 0;
}

static void add_and_remove(struct world *world, int times)
{
    for (int i = 0; i < times; i++) {
        struct recorder *recorder = recorder_new();
        int64_t id = record(world->listener, NULL, recorder);

        assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
        assert_int_equal(recorder_freed(recorder), 1);
        assert_int_equal(recorder_misuses(recorder), 0);
        recorder_destroy(recorder);
    }
}

/* Several threads may try at any time: each event is delivered once, and in order. */
static void threads_may_take_turns(void **state)
{
    enum { THREADS = 3, EVENTS = 1000 };
    struct world *world = *state;
    struct shift shift = { .listener = world->listener };
    struct call calls[THREADS];

    record(world->listener, world->monitor, world->recorder);
    for (int i = 0; i < THREADS; i++) {
        call_start(&calls[i], dispatch_until_over, &shift);
    }
    for (int i = 0; i < EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "j%d", i);
        say_completed(world->qemu, job_id);
    }
    add_and_remove(world, 200);
    wait_until(recorder_count(world->recorder) == EVENTS);
    atomic_store(&shift.over, true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(call_join(&calls[i]), 0);
    }
    assert_int_equal(atomic_load(&shift.others), 0);
    assert_true(atomic_load(&shift.dispatched) >= EVENTS); /* ends also for those that came late */
    for (int i = 0; i < EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "j%d", i);
        assert_text(blockjob_event_get_job_id(recorder_get(world->recorder, (size_t)i)), job_id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_loop(beside_another_it_is_busy),
        test_loop(inside_itself_it_would_wait_for_itself),
        test_loop(inside_another_listeners_it_works),
        test_loop(inside_a_free_function_it_depends_on_whose),
        test_loop(a_removal_waits_for_the_callback),
        test_loop(a_removal_without_waiting_leaves_the_free_to_it),
        test_loop(a_removal_inside_another_listeners_callback_never_waits),
        test_loop(a_stop_does_not_wait_for_it),
        test_loop(the_listeners_end_waits_for_it),
        test_loop(threads_may_take_turns),
    };

    return run_all(tests);
}
