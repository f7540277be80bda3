/*
 * Removing inside a callback never waits. Its own registration is gone at once and freed once it
 * has returned; an idle one is freed right there; one that runs elsewhere is freed when it ends.
 */
#include "harness.h"

/* Its first call removes a registration (by default its own) and notes what it was told. */
struct remover {
    struct world *world;
    blockjob_listener *target_listener;
    int64_t target;
    struct recorder *watched; /* the target's, if it is another's */
    int64_t own;
    int times; /* how often it removes within one call */
    int results[3];
    size_t freed_inside; /* frees of the target, seen right after the removal */
    atomic_int calls, frees, returned, freed;
};

static void remove_it(blockjob_event *event, void *opaque)
{
    struct remover *remover = opaque;

    (void)event;
    if (atomic_fetch_add(&remover->calls, 1) > 0) {
        return;
    }
    for (int i = 0; i < remover->times; i++) {
        remover->results[i] = blockjob_callback_remove(remover->target_listener, remover->target,
                                                       0);
    }
    remover->freed_inside = remover->watched != NULL ? recorder_freed(remover->watched)
                                                     : (size_t)atomic_load(&remover->frees);
    atomic_store(&remover->returned, tick());
}

static void release(void *opaque)
{
    struct remover *remover = opaque;

    atomic_fetch_add(&remover->frees, 1);
    atomic_store(&remover->freed, tick());
}

static struct remover *remover_of(struct world *world)
{
    struct remover *remover = calloc(1, sizeof *remover);

    assert_non_null(remover);
    remover->world = world;
    remover->times = 1;
    remover->target_listener = world->listener;
    remover->own = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                         remove_it, remover, release);
    assert_true(remover->own > 0);
    remover->target = remover->own;
    return remover;
}

static void own_one_takes_effect_at_once(void **state)
{
    struct world *world = *state;
    struct remover *remover = remover_of(world);

    remover->times = 2;
    say_completed(world->qemu, "one");
    say_completed(world->qemu, "two");
    pass_fence(world, world->qemu);
    assert_int_equal(remover->calls, 1);
    assert_int_equal(remover->results[0], 0);
    assert_int_equal(remover->results[1], -ENOENT);
    assert_int_equal(remover->freed_inside, 0);
    assert_int_equal(remover->frees, 1);
    assert_true(remover->returned < remover->freed);
    free(remover);
}

static void idle_one_is_freed_right_there(void **state)
{
    struct world *world = *state;
    struct remover *remover = remover_of(world);
    struct recorder *idle = recorder_new();

    remover->times = 2;
    remover->watched = idle;
    remover->target = record(world->listener, NULL, idle); /* its turn would be after ours */
    say_completed(world->qemu, "one");
    pass_fence(world, world->qemu);
    assert_int_equal(remover->results[0], 0);
    assert_int_equal(remover->freed_inside, 1);
    assert_int_equal(remover->results[1], -ENOENT);
    assert_int_equal(recorder_count(idle), 0);
    assert_int_equal(recorder_freed(idle), 1);
    recorder_destroy(idle);

    assert_result(blockjob_callback_remove(world->listener, remover->own, 0), 0);
    free(remover);
}

static atomic_int stand_frees;

static void stand_release(void *opaque)
{
    (void)opaque;
    atomic_fetch_add(&stand_frees, 1);
}

/* Two listeners could otherwise wait for each other for ever. */
static void one_that_runs_on_another_listener_is_not_waited_for(void **state)
{
    struct world *world = *state;
    struct remover *remover = remover_of(world);
    struct scripted_monitor *other_qemu = scripted_monitor_new();
    blockjob_listener *other_listener = NULL;
    blockjob_monitor *other;

    atomic_store(&stand_frees, 0);
    assert_result(blockjob_listener_new(&other_listener), 0);
    other = connected_monitor(other_listener, other_qemu);
    remover->target_listener = other_listener;
    remover->target = blockjob_callback_add(other_listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                            gate_callback, world->gate, stand_release);
    assert_true(remover->target > 0);

    say_completed(other_qemu, "standing");
    gate_wait_entered(world->gate);
    say_completed(world->qemu, "remove");
    wait_until(atomic_load(&remover->returned) != 0);
    assert_int_equal(remover->results[0], 1);
    assert_int_equal(atomic_load(&stand_frees), 0);
    gate_open(world->gate);
    wait_until(atomic_load(&stand_frees) == 1);

    assert_result(blockjob_callback_remove(world->listener, remover->own, 0), 0);
    free(remover);
    assert_result(blockjob_listener_free(other_listener), 0);
    assert_int_equal(atomic_load(&stand_frees), 1);
    blockjob_monitor_unref(other);
    scripted_monitor_destroy(other_qemu);
}

/* The free function is foreign code like a callback: a removal inside it never waits either. */
struct chain {
    blockjob_listener *listener;
    int64_t next;
    atomic_int result;
    atomic_int frees;
};

static void nothing(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void release_chain(void *opaque)
{
    struct chain *chain = opaque;

    atomic_store(&chain->result, blockjob_callback_remove(chain->listener, chain->next, 0));
    atomic_fetch_add(&chain->frees, 1);
}

static void free_function_may_remove_another(void **state)
{
    struct world *world = *state;
    struct chain chain = { .listener = world->listener };
    struct chain standing = { .listener = world->listener };
    int64_t first, second;

    atomic_store(&stand_frees, 0);
    chain.next = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                       nothing, NULL, NULL);
    first = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED, nothing,
                                  &chain, release_chain);
    assert_result(blockjob_callback_remove(world->listener, first, 0), 0);
    assert_int_equal(chain.frees, 1);
    assert_int_equal(chain.result, 0);

    standing.next = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                          gate_callback, world->gate, stand_release);
    second = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED, nothing,
                                   &standing, release_chain);
    say_completed(world->qemu, "standing");
    gate_wait_entered(world->gate);
    assert_result(blockjob_callback_remove(world->listener, second, 0), 0);
    assert_int_equal(standing.frees, 1);
    assert_int_equal(standing.result, 1);
    assert_int_equal(atomic_load(&stand_frees), 0);
    gate_open(world->gate);
    wait_until(atomic_load(&stand_frees) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(own_one_takes_effect_at_once),
        test_connected(idle_one_is_freed_right_there),
        test_connected(one_that_runs_on_another_listener_is_not_waited_for),
        test_connected(free_function_may_remove_another),
    };

    return run_all(tests);
}
