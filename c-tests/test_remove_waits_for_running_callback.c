/*
 * After blockjob_callback_remove has returned to another thread, neither the callback nor its free
 * runs any more: it waits for both. With NOWAIT it does not, and the free is the last word.
 */
#include "harness.h"

/* One registration whose callback stands at a gate, with ticks of what happened when. */
struct guest {
    blockjob_listener *listener;
    struct gate *gate;
    struct gate *free_gate; /* NULL: the free stands nowhere */
    int64_t id;
    uint32_t flags; /* of the removal */
    atomic_int calls, began, ended, freed, frees;
};

static void stand(blockjob_event *event, void *opaque)
{
    struct guest *guest = opaque;

    (void)event;
    atomic_fetch_add(&guest->calls, 1);
    atomic_store(&guest->began, tick());
    gate_pass(guest->gate);
    atomic_store(&guest->ended, tick());
}

static void release(void *opaque)
{
    struct guest *guest = opaque;

    if (guest->free_gate != NULL) {
        gate_pass(guest->free_gate);
    }
    atomic_fetch_add(&guest->frees, 1);
    atomic_store(&guest->freed, tick());
}

static int remove_guest(void *argument)
{
    struct guest *guest = argument;

    return blockjob_callback_remove(guest->listener, guest->id, guest->flags);
}

static struct guest *guest_of(struct world *world)
{
    struct guest *guest = calloc(1, sizeof *guest);

    assert_non_null(guest);
    guest->listener = world->listener;
    guest->gate = world->gate;
    guest->id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      stand, guest, release);
    assert_true(guest->id > 0);
    return guest;
}

static void waits_for_the_callback_and_its_free(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);
    struct gate *free_gate = gate_new();
    struct call call;

    guest->free_gate = free_gate;
    say_completed(world->qemu, "job");
    gate_wait_entered(world->gate);
    call_start(&call, remove_guest, guest);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));
    assert_int_equal(atomic_load(&guest->frees), 0);

    gate_open(world->gate);
    gate_wait_entered(free_gate);
    call_settle(&call);
    assert_false(atomic_load(&call.returned));

    gate_open(free_gate);
    assert_int_equal(call_join(&call), 0);
    assert_true(guest->ended < guest->freed);
    assert_true(guest->freed < call.returned_at);
    assert_int_equal(guest->frees, 1);
    assert_int_equal(guest->calls, 1);
    gate_destroy(free_gate);
    free(guest);
}

/* The callback has returned, its free has begun (by another's removal) and is still running. */
static void waits_for_a_free_that_runs(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);
    struct gate *free_gate = gate_new();
    struct call first, second;

    guest->free_gate = free_gate;
    call_start(&first, remove_guest, guest);
    gate_wait_entered(free_gate);
    call_start(&second, remove_guest, guest);
    call_settle(&second);
    gate_open(free_gate);
    assert_int_equal(call_join(&first), 0);
    call_join(&second);
    assert_int_equal(guest->frees, 1);
    assert_true(guest->freed < first.returned_at);
    /* Whoever is told 0 may rely on it; who comes too late to be promised that is told -ENOENT. */
    if (second.result == 0) {
        assert_true(guest->freed < second.returned_at);
    } else {
        assert_int_equal(second.result, -ENOENT);
    }
    gate_destroy(free_gate);
    free(guest);
}

static void idle_one_is_removed_and_freed_at_once(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);

    assert_result(blockjob_callback_remove(world->listener, guest->id, 0), 0);
    assert_int_equal(guest->frees, 1);
    say_completed(world->qemu, "job");
    recorder_next(world->recorder);
    say_completed(world->qemu, "fence");
    recorder_next(world->recorder);
    assert_int_equal(guest->calls, 0);
    free(guest);
}

/* Events that were read before the removal but not yet delivered are not delivered after it. */
static void what_was_queued_is_not_delivered_any_more(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);
    struct recorder *after = recorder_new();
    struct call call;

    record(world->listener, NULL, after);
    for (int i = 0; i < 10; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%d", i);
        say_completed(world->qemu, job_id);
    }
    then_wait_read(world->qemu);
    gate_wait_entered(world->gate);
    script_done(world->qemu);
    call_start(&call, remove_guest, guest);
    call_settle(&call);
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 0);
    for (int i = 0; i < 10; i++) {
        recorder_next(after);
    }
    assert_int_equal(guest->calls, 1);
    assert_int_equal(guest->frees, 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(after);
    free(guest);
}

static void nowait_leaves_the_last_word_to_the_free(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);

    say_completed(world->qemu, "job");
    gate_wait_entered(world->gate);
    assert_result(blockjob_callback_remove(world->listener, guest->id, BLOCKJOB_REMOVE_NOWAIT), 1);
    assert_int_equal(atomic_load(&guest->frees), 0);
    say_completed(world->qemu, "another");
    gate_open(world->gate);
    wait_until(atomic_load(&guest->frees) == 1);
    assert_true(guest->ended < guest->freed);

    recorder_next(world->recorder);
    recorder_next(world->recorder);
    say_completed(world->qemu, "fence");
    recorder_next(world->recorder);
    assert_int_equal(guest->calls, 1);
    assert_int_equal(guest->frees, 1);
    free(guest);
}

static void nowait_of_an_idle_one_frees_it_at_once(void **state)
{
    struct world *world = *state;
    struct guest *guest = guest_of(world);

    assert_result(blockjob_callback_remove(world->listener, guest->id, BLOCKJOB_REMOVE_NOWAIT), 0);
    assert_int_equal(guest->frees, 1);
    free(guest);
}

/* It waits for the callback that it removes, not for whichever runs. */
static void does_not_wait_for_another_callback(void **state)
{
    struct world *world = *state;
    struct guest *standing = guest_of(world);
    struct recorder *idle = recorder_new();
    int64_t id = record(world->listener, NULL, idle);

    say_completed(world->qemu, "job");
    gate_wait_entered(world->gate);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(recorder_freed(idle), 1);
    assert_int_equal(recorder_count(idle), 0); /* removed before its turn: skipped */
    assert_int_equal(atomic_load(&standing->ended), 0);
    recorder_destroy(idle);

    gate_open(world->gate);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(standing->frees, 1);
    free(standing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(waits_for_the_callback_and_its_free),
        test_connected(waits_for_a_free_that_runs),
        test_connected(idle_one_is_removed_and_freed_at_once),
        test_connected(what_was_queued_is_not_delivered_any_more),
        test_connected(nowait_leaves_the_last_word_to_the_free),
        test_connected(nowait_of_an_idle_one_frees_it_at_once),
        test_connected(does_not_wait_for_another_callback),
    };

    return run_all(tests);
}
