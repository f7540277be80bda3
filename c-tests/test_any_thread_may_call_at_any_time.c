/*
 * Several threads register and remove, make and close monitors, all at once and while events come
 * without end. Whoever is told by remove that nothing runs any more may rely on it each time.
 */
#include "harness.h"

#include <sched.h>

enum { THREADS = 4, ROUNDS = 120 };

/* Told by all threads; whatever must not happen is counted, and asserted on at the end. */
static struct {
    atomic_int adds, frees, calls;
    atomic_int called_after_free, freed_while_called, freed_twice, told_too_early, refused;
} tally;

/* One registration. It is its thread's again when its free has run. */
struct visit {
    atomic_int calls;
    atomic_int running;
    atomic_int freed;
};

static void callback(blockjob_event *event, void *opaque)
{
    struct visit *visit = opaque;

    (void)event;
    atomic_fetch_add(&visit->running, 1);
    if (atomic_load(&visit->freed) > 0) {
        atomic_fetch_add(&tally.called_after_free, 1);
    }
    atomic_fetch_add(&tally.calls, 1);
    atomic_fetch_add(&visit->calls, 1);
    for (int i = 0; i < 10; i++) {
        sched_yield(); /* the removal that waits for the first call is to meet it running */
    }
    atomic_fetch_sub(&visit->running, 1);
}

static void release(void *opaque)
{
    struct visit *visit = opaque;

    if (atomic_load(&visit->running) > 0) {
        atomic_fetch_add(&tally.freed_while_called, 1);
    }
    atomic_fetch_add(&tally.frees, 1);
    if (atomic_fetch_add(&visit->freed, 1) > 0) {
        atomic_fetch_add(&tally.freed_twice, 1);
    }
}

/* Leaves at once, or in the middle of being called. */
static void come_and_go(blockjob_listener *listener, bool stay, bool wait)
{
    struct visit *visit = calloc(1, sizeof *visit);
    struct timespec end = patience_end();
    int64_t id = blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, callback, visit,
                                       release);
    int removed;

    atomic_fetch_add(&tally.adds, 1);
    while (stay && atomic_load(&visit->calls) == 0) {
        sched_yield();
    }
    removed = blockjob_callback_remove(listener, id, wait ? 0 : BLOCKJOB_REMOVE_NOWAIT);
    if (removed == 0 && atomic_load(&visit->freed) != 1) {
        atomic_fetch_add(&tally.told_too_early, 1);
    }
    if (id <= 0 || removed < 0 || (wait && removed != 0)) {
        atomic_fetch_add(&tally.refused, 1);
    }
    while (atomic_load(&visit->freed) == 0 && patience_pause(&end)) {
    }
    free(visit);
}

static void take_line(int level, const char *monitor_name, const char *message, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)message;
    callback(NULL, opaque);
}

/* Everybody's log takes the place of somebody else's. */
static void set_log_and_take_it_away(blockjob_listener *listener)
{
    struct visit *visit = calloc(1, sizeof *visit);
    struct timespec end = patience_end();

    atomic_fetch_add(&tally.adds, 1);
    if (blockjob_listener_set_log(listener, BLOCKJOB_LOG_DEBUG, take_line, visit, release) != 0
        || blockjob_listener_set_log(listener, 0, NULL, NULL, NULL) != 0) {
        atomic_fetch_add(&tally.refused, 1);
    }
    while (atomic_load(&visit->freed) == 0 && patience_pause(&end)) {
    }
    free(visit);
}

static void make_and_close(blockjob_listener *listener)
{
    blockjob_monitor *monitor = NULL;

    if (blockjob_monitor_new(listener, "unix:/nonexistent/qmp.sock", &monitor) != 0
        || blockjob_monitor_set_name(monitor, "short-lived") != 0
        || blockjob_monitor_start(monitor) != 0
        || blockjob_monitor_get_state(monitor) < 0
        || blockjob_monitor_get_stat(monitor, BLOCKJOB_STAT_BYTES_READ) < 0
        || blockjob_monitor_close(monitor) != 0) {
        atomic_fetch_add(&tally.refused, 1);
    }
    blockjob_monitor_unref(monitor);
}

static int busy(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        come_and_go(argument, i % 2 == 0, i % 3 != 0);
        if (i % 4 == 0) {
            make_and_close(argument);
            set_log_and_take_it_away(argument);
        }
    }
    return 0;
}

static void all_at_once(void **state)
{
    struct world *world = *state;
    struct call calls[THREADS];
    char job_id[16];
    int said = 0;

    for (size_t i = 0; i < THREADS; i++) {
        call_start(&calls[i], busy, world->listener);
    }
    for (size_t i = 0; i < THREADS; i++) {
        while (!atomic_load(&calls[i].returned)) {
            /* The one that stays misses nothing, whoever comes and goes beside it. */
            snprintf(job_id, sizeof job_id, "j%d", said++);
            say_completed(world->qemu, job_id);
            say_status(world->qemu, job_id, "null"); /* or there would be too many one day */
            assert_text(blockjob_event_get_job_id(
                            recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED)), job_id);
        }
        assert_int_equal(call_join(&calls[i]), 0);
    }
    assert_int_equal(tally.refused, 0);
    assert_int_equal(tally.told_too_early, 0);
    assert_int_equal(tally.called_after_free, 0);
    assert_int_equal(tally.freed_while_called, 0);
    assert_int_equal(tally.freed_twice, 0);
    assert_true(tally.adds > THREADS * ROUNDS);
    assert_int_equal(tally.frees, tally.adds);
    assert_true(tally.calls >= THREADS * ROUNDS / 2);
    assert_int_equal(recorder_misuses(world->recorder), 0);
}

enum { CROWD_THREADS = 8, CROWD = 400 };

static atomic_int arrived; /* threads whose whole crowd is registered */

/* Registers a crowd, waits until all crowds are there and somebody of its own was called. */
static int crowd(void *listener)
{
    struct visit *visits = calloc(CROWD, sizeof *visits);
    int64_t *ids = calloc(CROWD, sizeof *ids);
    struct timespec end = patience_end();
    int failures = 0;

    for (size_t i = 0; i < CROWD; i++) {
        ids[i] = blockjob_callback_add(listener, NULL, i % 100 == 0 ? NULL : "nobody",
                                       BLOCKJOB_EVENT_COMPLETED, callback, &visits[i], release);
        failures += ids[i] <= 0;
        atomic_fetch_add(&tally.adds, 1);
    }
    atomic_fetch_add(&arrived, 1);
    while ((atomic_load(&arrived) < CROWD_THREADS || atomic_load(&visits[0].calls) == 0)
           && patience_pause(&end)) {
    }
    failures += atomic_load(&visits[0].calls) == 0;
    for (size_t i = 0; i < CROWD; i++) {
        failures += blockjob_callback_remove(listener, ids[i], 0) != 0;
        failures += atomic_load(&visits[i].freed) != 1;
    }
    free(ids);
    free(visits);
    return failures;
}

/* Thousands are registered at a time, while events flow. */
static void thousands_at_a_time(void **state)
{
    struct world *world = *state;
    struct call calls[CROWD_THREADS];
    int said = 0;

    memset(&tally, 0, sizeof tally);
    for (size_t i = 0; i < CROWD_THREADS; i++) {
        call_start(&calls[i], crowd, world->listener);
    }
    for (size_t i = 0; i < CROWD_THREADS; i++) {
        while (!atomic_load(&calls[i].returned)) {
            char job_id[16];

            snprintf(job_id, sizeof job_id, "c%d", said++);
            say_completed(world->qemu, job_id);
            say_status(world->qemu, job_id, "null");
            recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
        }
        assert_int_equal(call_join(&calls[i]), 0);
    }
    assert_int_equal(tally.adds, CROWD_THREADS * CROWD);
    assert_int_equal(tally.frees, tally.adds);
    assert_int_equal(tally.called_after_free, 0);
    assert_int_equal(tally.freed_while_called, 0);
    assert_int_equal(tally.freed_twice, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(all_at_once),
        test_connected(thousands_at_a_time),
    };

    return run_all(tests);
}
