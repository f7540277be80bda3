/* The small world of harness.h: built before a test, taken down after it. */
#include "harness.h"

void check_text(const char *call, const char *got, const char *expected, const char *file,
                int line)
{
    bool same = got == NULL || expected == NULL ? got == expected : strcmp(got, expected) == 0;

    if (!same) {
        print_error("%s is \"%s\", not \"%s\"\n", call, got == NULL ? "(null)" : got,
                    expected == NULL ? "(null)" : expected);
        _fail(file, line);
    }
}

static struct world *world_of(const char *owner)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->gate = gate_new();
    world->recorder = recorder_new();
    world->qemu = scripted_monitor_new();
    assert_result(blockjob_listener_new(&world->listener), 0);
    if (owner != NULL) {
        assert_result(blockjob_listener_set_owner(world->listener, owner), 0);
    }
    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(world->qemu),
                                       &world->monitor), 0);
    stay_down(world->monitor);
    return world;
}

int world_begin(void **state)
{
    struct world *world = world_of(NULL);

    world->recording = record(world->listener, NULL, world->recorder);
    *state = world;
    return 0;
}

int world_begin_owned(void **state)
{
    struct world *world = world_of(OWNER);

    world->recording = blockjob_callback_add(world->listener, NULL, NULL,
                                             BLOCKJOB_EVENT_ALL & ~BLOCKJOB_EVENT_FINAL,
                                             recorder_callback, world->recorder,
                                             recorder_release);
    assert_true(world->recording > 0);
    *state = world;
    return 0;
}

int world_begin_owned_connected(void **state)
{
    struct world *world;

    world_begin_owned(state);
    world = *state;
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    return 0;
}

int world_begin_connected(void **state)
{
    struct world *world;

    world_begin(state);
    world = *state;
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    return 0;
}

int world_end(void **state)
{
    struct world *world = *state;

    gate_open(world->gate); /* a failed test may have left a callback standing there */
    assert_result(blockjob_listener_free(world->listener), 0);
    blockjob_monitor_unref(world->monitor);
    assert_int_equal(recorder_freed(world->recorder), 1);
    recorder_destroy(world->recorder);
    scripted_monitor_destroy(world->qemu);
    gate_destroy(world->gate);
    free(world);
    return 0;
}

void connect_to(blockjob_monitor *monitor, struct scripted_monitor *qemu)
{
    then_negotiate(qemu);
    assert_result(blockjob_monitor_connect(monitor, PATIENCE_SECONDS * 1000), 0);
    script_done(qemu);
}

blockjob_monitor *connected_monitor(blockjob_listener *listener, struct scripted_monitor *qemu)
{
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_monitor_new(listener, scripted_monitor_address(qemu), &monitor), 0);
    stay_down(monitor);
    connect_to(monitor, qemu);
    return monitor;
}

void stay_down(blockjob_monitor *monitor)
{
    assert_result(blockjob_monitor_set_reconnect(monitor, -1, -1), 0);
}

int64_t record(blockjob_listener *listener, blockjob_monitor *monitor, struct recorder *recorder)
{
    int64_t id = blockjob_callback_add(listener, monitor, NULL, BLOCKJOB_EVENT_ALL,
                                       recorder_callback, recorder, recorder_release);

    if (id <= 0) {
        fail_msg("no recorder could be added: %s", blockjob_last_error());
    }
    return id;
}

void pass_fence(struct world *world, struct scripted_monitor *qemu)
{
    static int fences; /* no id ends twice */
    struct recorder *fence = recorder_new();
    char job_id[32];
    int64_t id;

    snprintf(job_id, sizeof job_id, "fence-%d", ++fences);
    id = blockjob_callback_add(world->listener, NULL, job_id, BLOCKJOB_EVENT_COMPLETED,
                               recorder_callback, fence, recorder_release);
    say_completed(qemu, job_id);
    recorder_next(fence);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    recorder_destroy(fence);
}

void say_completed(struct scripted_monitor *qemu, const char *job_id)
{
    then_say(qemu,
             "{'timestamp': {'seconds': 1700000000, 'microseconds': 123456}, "
             "'event': 'BLOCK_JOB_COMPLETED', 'data': {'type': 'stream', 'device': '%s', "
             "'len': 4096, 'offset': 4096, 'speed': 0}}", job_id);
}

void say_status(struct scripted_monitor *qemu, const char *job_id, const char *status)
{
    then_say(qemu,
             "{'timestamp': {'seconds': 1700000000, 'microseconds': 123456}, "
             "'event': 'JOB_STATUS_CHANGE', 'data': {'status': '%s', 'id': '%s'}}",
             status, job_id);
}
