/*
 * A program that dispatches or pulls too slowly loses steps on the way, oldest first and counted,
 * never how a job ended: as with a thread of the library's.
 */
#include "harness.h"

enum {
    FLOOD = 4000, /* well over the bound of a monitor's queue */
    EVERY = 200,   /* among so many status changes one job ends */
};

/* What came, in order. */
struct heard {
    int statuses, finals, overflows, others;
    int before; /* how many of the first two came before OVERFLOW */
    int gaps;
    int last;
    int64_t dropped;
    bool closed;
};

static void hear(blockjob_event *event, void *opaque)
{
    struct heard *heard = opaque;
    const char *job_id = blockjob_event_get_job_id(event);
    int number = job_id == NULL ? 0 : atoi(job_id + 1);

    switch (blockjob_event_get_kind(event)) {
    case BLOCKJOB_EVENT_STATUS:
        heard->gaps += heard->statuses > 0 && number != heard->last + 1;
        heard->last = number;
        heard->statuses++;
        break;
    case BLOCKJOB_EVENT_COMPLETED:
        heard->finals++;
        heard->gaps += number != heard->finals;
        break;
    case BLOCKJOB_EVENT_OVERFLOW:
        heard->overflows++;
        heard->before = heard->statuses + heard->finals;
        heard->dropped = blockjob_event_get_dropped(event);
        break;
    case BLOCKJOB_EVENT_CLOSED:
        heard->closed = true;
        break;
    default:
        heard->others++;
    }
}

/* Takes all that waits. */
static void take_all(struct world *world, struct heard *heard)
{
    blockjob_event *event = NULL;
    int result = blockjob_listener_dispatch(world->listener);

    while (result > 0) {
        result = blockjob_listener_dispatch(world->listener);
    }
    if (result == 0) {
        return;
    }
    assert_result(result, -EINVAL);
    while ((result = blockjob_listener_next_event(world->listener, 0, &event)) == 0) {
        hear(event, heard);
        blockjob_event_unref(event);
    }
    assert_result(result, -ETIMEDOUT);
}

/* A registration or subscription for all kinds, by what the listener takes. */
static void listen_to_all(struct world *world, struct heard *heard)
{
    if (blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL, hear,
                              heard, NULL) < 0) {
        subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    }
}

static void flood(struct world *world)
{
    char job_id[32];

    for (int i = 1; i <= FLOOD; i++) {
        snprintf(job_id, sizeof job_id, "s%d", i);
        say_status(world->qemu, job_id, "running");
        if (i % EVERY == 0) {
            snprintf(job_id, sizeof job_id, "f%d", i / EVERY);
            say_completed(world->qemu, job_id);
        }
    }
    wait_until_read(world);
}

static void steps_are_dropped_and_ends_are_not(void **state)
{
    struct world *world = *state;
    struct heard heard = { 0 };

    listen_to_all(world, &heard);
    flood(world);
    take_all(world, &heard);
    assert_int_equal(heard.overflows, 1);
    assert_int_equal(heard.before, 0); /* it stands where the first one was dropped */
    assert_true(heard.dropped > 0);
    assert_int_equal(heard.dropped + heard.statuses, FLOOD);
    assert_int_equal(heard.last, FLOOD);
    assert_int_equal(heard.gaps, 0);
    assert_int_equal(heard.finals, FLOOD / EVERY);
    assert_int_equal(heard.others, 0);
    take_all(world, &heard);
    assert_int_equal(heard.overflows, 1);
}

/* What was taken before the flood stands before it, and what was not is not dropped twice. */
static void overflow_stands_behind_what_is_older(void **state)
{
    struct world *world = *state;
    struct heard heard = { 0 };

    listen_to_all(world, &heard);
    say_completed(world->qemu, "f1");
    for (int i = 1; i <= FLOOD; i++) {
        char job_id[32];

        snprintf(job_id, sizeof job_id, "s%d", i);
        say_status(world->qemu, job_id, "running");
    }
    wait_until_read(world);
    take_all(world, &heard);
    assert_int_equal(heard.overflows, 1);
    assert_int_equal(heard.before, 1);
    assert_int_equal(heard.dropped + heard.statuses, FLOOD);
}

/* Rather than lose an end the monitor is closed, behind all that were read. */
static void too_many_ends_close_the_monitor(void **state)
{
    enum { ENDS = 10000 };
    struct world *world = *state;
    struct heard heard = { 0 };

    listen_to_all(world, &heard);
    for (int i = 1; i <= ENDS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "f%d", i);
        say_completed(world->qemu, job_id);
    }
    wait_until(blockjob_monitor_get_state(world->monitor) == BLOCKJOB_STATE_CLOSED);
    while (!heard.closed) {
        wait_until_readable(blockjob_listener_get_fd(world->listener));
        take_all(world, &heard);
    }
    assert_in_range(heard.finals, 1000, ENDS - 1);
    assert_int_equal(heard.gaps, 0);
}

/* Nobody takes anything: how it ends is the same. */
static void what_is_never_taken_goes_with_the_listener(void **state)
{
    struct world *world = *state;
    struct heard heard = { 0 };

    listen_to_all(world, &heard);
    flood(world);
    end_listener(world);
    assert_int_equal(heard.statuses + heard.finals + heard.overflows, 0);
}

static int begin_with_many_jobs(void **state, int how)
{
    struct world *world;

    if (how == BLOCKJOB_DELIVERY_LOOP) {
        loop_begin(state);
    } else {
        pull_begin(state);
    }
    world = *state;
    /* More jobs may be known than of most monitors: a monitor of its own. */
    blockjob_monitor_close(world->monitor);
    blockjob_monitor_unref(world->monitor);
    then_expect_hang_up(world->qemu);
    script_done(world->qemu);
    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(world->qemu),
                                       &world->monitor), 0);
    stay_down(world->monitor);
    assert_result(blockjob_monitor_set_job_limit(world->monitor, 65536), 0);
    connect_to(world->monitor, world->qemu);
    return 0;
}

static int loop_with_many_jobs(void **state)
{
    return begin_with_many_jobs(state, BLOCKJOB_DELIVERY_LOOP);
}

static int pull_with_many_jobs(void **state)
{
    return begin_with_many_jobs(state, BLOCKJOB_DELIVERY_PULL);
}

#define both(f)                                                             \
    cmocka_unit_test_setup_teardown(f, loop_with_many_jobs, delivered_end), \
    cmocka_unit_test_setup_teardown(f, pull_with_many_jobs, delivered_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        both(steps_are_dropped_and_ends_are_not),
        both(overflow_stands_behind_what_is_older),
        both(too_many_ends_close_the_monitor),
        both(what_is_never_taken_goes_with_the_listener),
    };

    return run_all(tests);
}
