/*
 * A registration marked OBSERVE is told what it asks for and takes nothing: a logger beside the
 * program does not make a job's end count as taken, nor keep it from being taken.
 */
#include "harness.h"

static const char ours[] = OWNER "-1";

static void alone_it_takes_nothing(void **state)
{
    struct world *world = *state;
    struct taker *observer = taker_new();

    taker_add(observer, world->listener, NULL, NULL, BLOCKJOB_OBSERVE);
    say_job(world->qemu, ours);
    assert_text(taker_next(observer).job_id, ours);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(observer);
}

static void beside_it_others_take(void **state)
{
    struct world *world = *state;
    struct taker *observer = taker_new(), *taker = taker_new();

    taker_add(observer, world->listener, NULL, NULL, BLOCKJOB_OBSERVE);
    taker_add(taker, world->listener, NULL, NULL, 0);
    say_job(world->qemu, ours);
    then_dismiss(world->qemu, ours);
    assert_text(taker_next(observer).job_id, ours);
    assert_text(taker_next(taker).job_id, ours);
    script_done(world->qemu);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(observer);
    taker_destroy(taker);
}

/* It may come late, too, and is told what nobody has taken. */
static void a_late_one_is_told_and_takes_nothing(void **state)
{
    struct world *world = *state;
    struct taker *observer = taker_new();

    say_job(world->qemu, ours);
    pass_fence(world, world->qemu);
    taker_add(observer, world->listener, NULL, NULL, BLOCKJOB_OBSERVE);
    assert_text(taker_next(observer).job_id, ours);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(observer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(alone_it_takes_nothing),
        test_owned_connected(beside_it_others_take),
        test_owned_connected(a_late_one_is_told_and_takes_nothing),
    };

    return run_all(tests);
}
