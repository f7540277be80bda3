/*
 * Callbacks run one at a time; those of one event in the order of their registration, the events
 * of one monitor in the order in which QEMU sent them.
 */
#include "harness.h"

enum { LOG_MAX = 4096 };

/* Who was called with which job; written by callbacks, read when they have finished. */
struct log {
    atomic_int running;
    atomic_int overlaps;
    atomic_int count;
    int who[LOG_MAX];
    char job_id[LOG_MAX][16];
};

struct caller {
    struct log *log;
    int number;
};

static void note(blockjob_event *event, void *opaque)
{
    struct caller *caller = opaque;
    struct log *log = caller->log;
    int at;

    if (atomic_fetch_add(&log->running, 1) > 0) {
        atomic_fetch_add(&log->overlaps, 1);
    }
    at = atomic_load(&log->count);
    if (at < LOG_MAX) {
        log->who[at] = caller->number;
        snprintf(log->job_id[at], sizeof log->job_id[at], "%s", blockjob_event_get_job_id(event));
    }
    atomic_fetch_sub(&log->running, 1);
    atomic_store(&log->count, at + 1);
}

static void add(struct world *world, blockjob_monitor *monitor, struct caller *caller)
{
    assert_true(blockjob_callback_add(world->listener, monitor, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      note, caller, NULL) > 0);
}

/* Whether they ask for all monitors or for one makes no difference to their turn. */
static void registrations_take_turns_as_they_were_added(void **state)
{
    enum { CALLERS = 8, EVENTS = 5 };
    struct world *world = *state;
    struct log *log = calloc(1, sizeof *log);
    struct caller callers[CALLERS];

    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){ log, i };
        add(world, i % 2 == 0 ? NULL : world->monitor, &callers[i]);
    }
    for (int i = 0; i < EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%d", i);
        say_completed(world->qemu, job_id);
    }
    wait_until(atomic_load(&log->count) == CALLERS * EVENTS);
    for (int i = 0; i < CALLERS * EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%d", i / CALLERS);
        assert_int_equal(log->who[i], i % CALLERS);
        assert_text(log->job_id[i], job_id);
    }
    assert_int_equal(atomic_load(&log->overlaps), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    free(log);
}

/* Between monitors there is no order to promise, but still one callback at a time. */
static void events_of_each_monitor_stay_in_order(void **state)
{
    enum { MONITORS = 3, EVENTS = 200 };
    struct world *world = *state;
    struct log *log = calloc(1, sizeof *log);
    struct scripted_monitor *qemus[MONITORS];
    blockjob_monitor *monitors[MONITORS];
    struct caller callers[MONITORS];
    int next[MONITORS] = { 0 };

    for (int i = 0; i < MONITORS; i++) {
        qemus[i] = scripted_monitor_new();
        monitors[i] = connected_monitor(world->listener, qemus[i]);
        callers[i] = (struct caller){ log, i };
        add(world, monitors[i], &callers[i]);
    }
    for (int event = 0; event < EVENTS; event++) {
        for (int i = 0; i < MONITORS; i++) {
            char job_id[16];

            snprintf(job_id, sizeof job_id, "job-%d", event);
            say_completed(qemus[i], job_id);
        }
    }
    wait_until(atomic_load(&log->count) == MONITORS * EVENTS);
    for (int i = 0; i < MONITORS * EVENTS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%d", next[log->who[i]]++);
        assert_text(log->job_id[i], job_id);
    }
    assert_int_equal(atomic_load(&log->overlaps), 0);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    for (int i = 0; i < MONITORS; i++) {
        blockjob_monitor_unref(monitors[i]);
        scripted_monitor_destroy(qemus[i]);
    }
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(registrations_take_turns_as_they_were_added),
        test_connected(events_of_each_monitor_stay_in_order),
    };

    return run_all(tests);
}
