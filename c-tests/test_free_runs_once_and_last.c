/*
 * From the call of blockjob_callback_add on, opaque is the library's: its free runs exactly once,
 * after the last callback, also when nothing was registered.
 */
#include "harness.h"

static atomic_int frees; /* of those whose opaque it is */
static atomic_int free_thread; /* where the last one ran */

static void count_free(void *opaque)
{
    if (opaque != &frees) {
        return;
    }
    atomic_store(&free_thread, (int)gettid());
    atomic_fetch_add(&frees, 1);
}

static void nothing(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

/* Each way to fail frees on the caller's thread before it returns. */
static void assert_refused(blockjob_listener *listener, blockjob_monitor *monitor,
                           const char *job_id, uint32_t kinds, blockjob_event_fn callback,
                           int expected)
{
    atomic_store(&frees, 0);
    assert_result(blockjob_callback_add(listener, monitor, job_id, kinds, callback, &frees,
                                        count_free), expected);
    assert_int_equal(atomic_load(&frees), 1);
    assert_int_equal(atomic_load(&free_thread), gettid());
    assert_int_not_equal(strlen(blockjob_last_error()), 0);

    /* Without a free function there is nothing to run, and nothing to trip over. */
    assert_result(blockjob_callback_add(listener, monitor, job_id, kinds, callback, &frees, NULL),
                  expected);
    assert_int_equal(atomic_load(&frees), 1);
}

static void when_registering_failed(void **state)
{
    struct world *world = *state;
    struct recorder *own = recorder_new();
    blockjob_listener *other_listener = NULL;
    blockjob_monitor *other = NULL;
    char long_id[4200];

    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    assert_result(blockjob_listener_new(&other_listener), 0);
    assert_result(blockjob_monitor_new(other_listener, "unix:/nowhere", &other), 0);

    assert_refused(NULL, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing, -EINVAL);
    assert_refused(world->listener, NULL, NULL, 0, nothing, -EINVAL);
    assert_refused(world->listener, NULL, NULL, 0x80000000u, nothing, -EINVAL);
    assert_refused(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, NULL, -EINVAL);
    assert_refused(world->listener, NULL, "\xff", BLOCKJOB_EVENT_ALL, nothing, -EILSEQ);
    assert_refused(world->listener, NULL, long_id, BLOCKJOB_EVENT_ALL, nothing, -ENAMETOOLONG);
    assert_refused(world->listener, other, NULL, BLOCKJOB_EVENT_ALL, nothing, -EINVAL);

    record(world->listener, world->monitor, own);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_wait_freed(own, 1); /* from here on the monitor takes no registration */
    recorder_destroy(own);
    assert_refused(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL, nothing,
                   -ESHUTDOWN);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_refused(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing, -ESHUTDOWN);

    assert_result(blockjob_listener_free(other_listener), 0);
    blockjob_monitor_unref(other);
}

static void when_the_listener_is_freed(void **state)
{
    enum { COUNT = 20 };
    struct world *world = *state;
    struct recorder *recorders[COUNT];

    for (int i = 0; i < COUNT; i++) {
        recorders[i] = recorder_new();
        record(world->listener, i % 2 == 0 ? world->monitor : NULL, recorders[i]);
    }
    say_completed(world->qemu, "job");
    recorder_next(recorders[COUNT - 1]);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(recorder_freed(recorders[i]), 1);
        assert_int_equal(recorder_misuses(recorders[i]), 0);
        assert_int_equal(recorder_count(recorders[i]), 1);
        recorder_destroy(recorders[i]);
    }
}

/* A stopped listener keeps what is registered until it is freed, and delivers nothing more. */
static void when_a_stopped_listener_is_freed(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(recorder_freed(world->recorder), 1);
    assert_int_equal(recorder_misuses(world->recorder), 0);
}

/* CLOSED is the last event; then go the registrations of that monitor, and no others. */
static void when_the_monitor_is_closed(void **state)
{
    struct world *world = *state;
    struct recorder *own = recorder_new();
    blockjob_event *last;

    record(world->listener, world->monitor, own);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    recorder_wait_freed(own, 1);
    last = recorder_get(own, recorder_count(own) - 1);
    assert_int_equal(blockjob_event_get_kind(last), BLOCKJOB_EVENT_CLOSED);
    assert_int_equal(recorder_misuses(own), 0);
    assert_int_equal(recorder_freed(world->recorder), 0);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(recorder_freed(own), 1);
    recorder_destroy(own);
}

static atomic_int callback_thread;

static void note_thread(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
    atomic_store(&callback_thread, (int)gettid());
}

/* A removal frees on the thread that asked for it, a closed monitor where its callbacks ran. */
static void on_the_thread_that_made_it_due(void **state)
{
    struct world *world = *state;
    int64_t id;

    atomic_store(&frees, 0);
    id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, note_thread,
                               &frees, count_free);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(atomic_load(&free_thread), gettid());

    blockjob_callback_add(world->listener, world->monitor, NULL, BLOCKJOB_EVENT_ALL, note_thread,
                          &frees, count_free);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    wait_until(atomic_load(&frees) == 2);
    assert_int_equal(atomic_load(&free_thread), atomic_load(&callback_thread));
    assert_int_not_equal(atomic_load(&callback_thread), gettid());
}

/* What a free function may do: it is foreign code, so anything but wait for itself. */
struct busy {
    struct world *world;
    struct recorder *recorder;
    int64_t added;
    int free_result;
    int state;
    atomic_int frees;
};

static void busy_free(void *opaque)
{
    struct busy *busy = opaque;

    busy->added = blockjob_callback_add(busy->world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                        recorder_callback, busy->recorder, recorder_release);
    busy->free_result = blockjob_listener_free(busy->world->listener);
    busy->state = blockjob_monitor_get_state(busy->world->monitor);
    atomic_fetch_add(&busy->frees, 1);
}

static void free_function_may_call_the_library(void **state)
{
    struct world *world = *state;
    struct recorder *first = recorder_new(), *second = recorder_new();
    struct busy busy = { .world = world, .recorder = first };
    int64_t id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing,
                                       &busy, busy_free);

    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(busy.frees, 1);
    assert_true(busy.added > id);
    assert_int_equal(busy.free_result, -EDEADLK);
    assert_int_equal(busy.state, BLOCKJOB_STATE_CONNECTED);
    say_completed(world->qemu, "job");
    recorder_next(first);

    /* Those that run because the listener ends come too late to add anything. */
    busy.recorder = second;
    blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing, &busy,
                          busy_free);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_int_equal(busy.frees, 2);
    assert_int_equal(busy.added, -ESHUTDOWN);
    assert_int_equal(recorder_freed(first), 1);
    assert_int_equal(recorder_freed(second), 1);
    recorder_destroy(first);
    recorder_destroy(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(when_registering_failed),
        test_connected(when_the_listener_is_freed),
        test_connected(when_a_stopped_listener_is_freed),
        test_connected(when_the_monitor_is_closed),
        test_connected(on_the_thread_that_made_it_due),
        test_connected(free_function_may_call_the_library),
    };

    return run_all(tests);
}
