/*
 * A claim that is withdrawn before it was served takes nothing: removing a registration, freeing a
 * handle, closing the monitor, stopping or freeing the listener with ends that nobody has got yet
 * never dismisses a job. Whoever comes later gets them.
 */
#include "harness.h"

static const char ours[] = OWNER "-1";

/* Delivery stands at the gate with another job's end, and ours waits behind it. */
static int64_t queue_behind_a_standing_callback(struct world *world, struct taker *taker)
{
    int64_t id;

    assert_true(blockjob_callback_add(world->listener, NULL, "standing", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    id = taker_add(taker, world->listener, NULL, ours, 0);
    say_completed(world->qemu, "standing");
    gate_wait_entered(world->gate);
    say_job(world->qemu, ours);
    expect_nothing_sent(world);
    return id;
}

static void by_removing_the_registration(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new(), *later = taker_new();
    int64_t id = queue_behind_a_standing_callback(world, taker);

    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    gate_open(world->gate);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_int_equal(taker_count(taker), 0);

    taker_add(later, world->listener, NULL, ours, 0);
    assert_text(taker_next(later).job_id, ours);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
    taker_destroy(later);
}

/* But one that was served is enough, when the others have left. */
static void unless_another_was_served(void **state)
{
    struct world *world = *state;
    struct taker *served = taker_new(), *leaving = taker_new();
    int64_t id;

    taker_stand_at(served, world->gate);
    taker_add(served, world->listener, NULL, ours, 0);
    id = taker_add(leaving, world->listener, NULL, ours, 0);
    say_job(world->qemu, ours);
    gate_wait_entered(world->gate);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    expect_nothing_sent(world);
    gate_open(world->gate);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
    assert_int_equal(taker_count(leaving), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(served);
    taker_destroy(leaving);
}

struct self {
    struct world *world;
    int64_t id;
};

static void remove_myself(blockjob_event *event, void *opaque)
{
    struct self *self = opaque;

    (void)event;
    (void)blockjob_callback_remove(self->world->listener, self->id, 0);
}

/* A callback that removes itself has been served all the same. */
static void a_callback_that_removes_itself_has_taken_it(void **state)
{
    struct world *world = *state;
    struct self self = { .world = world };

    self.id = blockjob_callback_add(world->listener, NULL, ours, BLOCKJOB_EVENT_FINAL,
                                    remove_myself, &self, NULL);
    assert_true(self.id > 0);
    say_job(world->qemu, ours);
    then_dismiss(world->qemu, ours);
    script_done(world->qemu);
}

static void by_freeing_the_handle(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);

    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    pass_fence(world, world->qemu);
    blockjob_job_free(job);
    expect_nothing_sent(world);
}

static void by_closing_the_monitor(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    queue_behind_a_standing_callback(world, taker);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    gate_open(world->gate);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    then_expect_end(world->qemu);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

static void by_stopping_the_listener(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    queue_behind_a_standing_callback(world, taker);
    assert_result(blockjob_listener_stop(world->listener), 0);
    gate_open(world->gate);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    then_expect_end(world->qemu);
    script_done(world->qemu);
    assert_int_equal(taker_count(taker), 0);
    taker_destroy(taker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(by_removing_the_registration),
        test_owned_connected(unless_another_was_served),
        test_owned_connected(a_callback_that_removes_itself_has_taken_it),
        test_owned_connected(by_freeing_the_handle),
        test_owned_connected(by_closing_the_monitor),
        test_owned_connected(by_stopping_the_listener),
    };

    return run_all(tests);
}
