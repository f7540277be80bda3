/*
 * A program that is too slow loses steps on the way, oldest first and counted, never how a job
 * ended. One OVERFLOW stands where the first was dropped.
 */
#include "harness.h"

enum {
    FLOOD = 20000, /* well over the bound of a monitor's queue */
    EVERY = 1000,  /* among so many status changes one job ends */
};

/* Connected to a QEMU of which more jobs may be known than most have. */
static int begin_with_many_jobs(void **state)
{
    struct world *world;

    world_begin(state);
    world = *state;
    assert_result(blockjob_monitor_set_job_limit(world->monitor, 65536), 0);
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    return 0;
}

#define test_with_many_jobs(f) \
    cmocka_unit_test_setup_teardown(f, begin_with_many_jobs, world_end)

struct slow {
    struct gate *gate;
    struct recorder *recorder;
};

/* Stands at the gate in its first call, and records all. */
static void slowly(blockjob_event *event, void *opaque)
{
    struct slow *slow = opaque;

    gate_pass(slow->gate);
    recorder_callback(event, slow->recorder);
}

/* The number that stands in the event's job id. */
static int number_of(const blockjob_event *event)
{
    return atoi(blockjob_event_get_job_id(event) + 1);
}

static void say_numbered(struct scripted_monitor *qemu, int number)
{
    char job_id[32];

    snprintf(job_id, sizeof job_id, "s%d", number);
    say_status(qemu, job_id, "running");
}

/* Until the reader has done with all that was said: only then does it answer another call. */
static void wait_until_queued(struct world *world, struct scripted_monitor *qemu)
{
    blockjob_monitor *nowhere = NULL;

    then_wait_read(qemu);
    script_done(qemu);
    assert_result(blockjob_monitor_new(world->listener, "unix:/nonexistent", &nowhere), 0);
    assert_result(blockjob_monitor_connect(nowhere, PATIENCE_SECONDS * 1000), -ENOENT);
    blockjob_monitor_unref(nowhere);
}

static void flood(struct world *world, struct scripted_monitor *qemu)
{
    char job_id[32];

    for (int i = 1; i <= FLOOD; i++) {
        say_numbered(qemu, i);
        if (i % EVERY == 0) {
            snprintf(job_id, sizeof job_id, "f%d", i / EVERY);
            say_completed(qemu, job_id);
        }
        if (i == FLOOD / 2) {
            then_say(qemu, "{'event': 'BLOCK_JOB_READY', 'data': {'device': 'm1'}}");
            then_say(qemu, "{'event': 'BLOCK_JOB_PENDING', 'data': {'id': 'm2'}}");
        }
    }
    wait_until_queued(world, qemu);
}

static void steps_are_dropped_and_outcomes_are_not(void **state)
{
    struct world *world = *state;
    struct slow slow = { .gate = world->gate, .recorder = recorder_new() };
    int statuses = 0, finals = 0, ready = 0, pending = 0, overflows = 0, last = 0;
    int64_t dropped = 0;

    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL,
                                      slowly, &slow, NULL) > 0);
    say_numbered(world->qemu, 0);
    gate_wait_entered(world->gate);
    flood(world, world->qemu);
    say_completed(world->qemu, "f0");
    gate_open(world->gate);

    assert_int_equal(number_of(recorder_next(slow.recorder)), 0); /* the one in hand */
    for (bool more = true; more;) {
        blockjob_event *event = recorder_next(slow.recorder);

        switch (blockjob_event_get_kind(event)) {
        case BLOCKJOB_EVENT_STATUS:
            /* The oldest are missing, and between those that are left there is no gap. */
            assert_int_equal(number_of(event), statuses == 0 ? number_of(event) : last + 1);
            last = number_of(event);
            statuses++;
            break;
        case BLOCKJOB_EVENT_COMPLETED:
            more = strcmp(blockjob_event_get_job_id(event), "f0") != 0;
            if (more) {
                assert_int_equal(number_of(event), ++finals);
            }
            break;
        case BLOCKJOB_EVENT_OVERFLOW:
            overflows++;
            dropped = blockjob_event_get_dropped(event);
            assert_text(blockjob_event_get_name(event), "OVERFLOW");
            assert_null(blockjob_event_get_job_id(event));
            assert_null(blockjob_event_get_json(event));
            assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
            assert_int_equal(statuses + finals + ready + pending, 0); /* before all others */
            break;
        case BLOCKJOB_EVENT_READY:
            ready++;
            break;
        case BLOCKJOB_EVENT_PENDING:
            pending++;
            break;
        default:
            fail_msg("%s came, which nobody said", blockjob_event_get_name(event));
        }
    }
    assert_int_equal(overflows, 1);
    assert_true(dropped > 0);
    assert_int_equal(dropped + statuses, FLOOD);
    assert_int_equal(last, FLOOD);
    assert_int_equal(finals, FLOOD / EVERY);
    assert_int_equal(ready, 1);
    assert_int_equal(pending, 1);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(slow.recorder);
}

/* The bound is each monitor's own. */
static void another_monitor_loses_nothing(void **state)
{
    enum { STEPS = 20 };
    struct world *world = *state;
    struct scripted_monitor *quiet_qemu = scripted_monitor_new();
    blockjob_monitor *quiet = connected_monitor(world->listener, quiet_qemu);
    struct recorder *recorder = recorder_new();
    struct slow slow = { .gate = world->gate, .recorder = recorder };

    assert_true(blockjob_callback_add(world->listener, quiet, NULL, BLOCKJOB_EVENT_ALL, slowly,
                                      &slow, NULL) > 0);
    say_numbered(quiet_qemu, 0);
    gate_wait_entered(world->gate);
    for (int i = 1; i < STEPS / 2; i++) {
        say_numbered(quiet_qemu, i);
    }
    wait_until_queued(world, quiet_qemu);
    flood(world, world->qemu);
    for (int i = STEPS / 2; i < STEPS; i++) {
        say_numbered(quiet_qemu, i);
    }
    gate_open(world->gate);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(number_of(recorder_next_of(recorder, BLOCKJOB_EVENT_STATUS)), i);
    }
    assert_int_equal(recorder_count(recorder), STEPS);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    blockjob_monitor_unref(quiet);
    recorder_destroy(recorder);
    scripted_monitor_destroy(quiet_qemu);
}

/*
 * What may never be dropped has a bound as well. Rather than lose one in silence the monitor is
 * closed, behind all outcomes that were read: the program knows where its knowledge ends. Another
 * monitor's wait in the same line and are told.
 */
static void too_many_outcomes_close_the_monitor(void **state)
{
    enum { OUTCOMES = 10000, BOUND = 8192, OF_ONE_READ = 64 };
    struct world *world = *state;
    struct scripted_monitor *quiet_qemu = scripted_monitor_new();
    blockjob_monitor *quiet = connected_monitor(world->listener, quiet_qemu);
    struct slow slow = { .gate = world->gate, .recorder = recorder_new() };
    struct recorder *others = recorder_new();
    int finals = 0, kind;

    assert_true(blockjob_callback_add(world->listener, quiet, NULL, BLOCKJOB_EVENT_FINAL,
                                      recorder_callback, others, NULL) > 0);
    assert_true(blockjob_callback_add(world->listener, world->monitor, NULL,
                                      BLOCKJOB_EVENT_ALL, slowly, &slow, NULL) > 0);
    for (int i = 0; i < OUTCOMES; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "f%d", i);
        say_completed(world->qemu, job_id);
    }
    gate_wait_entered(world->gate);
    wait_until(blockjob_monitor_get_state(world->monitor) == BLOCKJOB_STATE_CLOSED);
    say_completed(quiet_qemu, "quiet");
    gate_open(world->gate);
    do {
        blockjob_event *event = recorder_next(slow.recorder);

        kind = blockjob_event_get_kind(event);
        if (kind == BLOCKJOB_EVENT_COMPLETED) {
            assert_int_equal(number_of(event), finals++);
        } else {
            assert_non_null(strstr(blockjob_event_get_reason(event), "too many outcomes"));
        }
    } while (kind != BLOCKJOB_EVENT_CLOSED);
    /* All that were read by then, with those of the last read: none of them is thrown away. */
    assert_in_range(finals, BOUND, BOUND + OF_ONE_READ);
    assert_text(blockjob_event_get_job_id(recorder_next(others)), "quiet");
    assert_int_equal(blockjob_monitor_get_state(quiet), BLOCKJOB_STATE_CONNECTED);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    blockjob_monitor_unref(quiet);
    recorder_destroy(others);
    recorder_destroy(slow.recorder);
    scripted_monitor_destroy(quiet_qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_many_jobs(steps_are_dropped_and_outcomes_are_not),
        test_with_many_jobs(another_monitor_loses_nothing),
        test_with_many_jobs(too_many_outcomes_close_the_monitor),
    };

    return run_all(tests);
}
