/*
 * A callback may take its time. Meanwhile all monitors are read, its own among them; commands are
 * answered, connections made, jobs waited for. What is told by callbacks follows when it returns.
 */
#include "harness.h"

static int wait_for_job(void *job)
{
    blockjob_event *event = NULL;
    int result = blockjob_job_wait(job, -1, &event);

    blockjob_event_unref(event);
    return result;
}

static void everything_else_goes_on(void **state)
{
    enum { SAID = 300 };
    struct world *world = *state;
    struct scripted_monitor *other_qemu = scripted_monitor_new();
    blockjob_monitor *other;
    blockjob_job *job;
    struct call call;

    assert_true(blockjob_callback_add(world->listener, NULL, "slow", BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    say_completed(world->qemu, "slow");
    gate_wait_entered(world->gate);

    other = connected_monitor(world->listener, other_qemu);
    for (int i = 0; i < SAID; i++) {
        say_status(world->qemu, "a", i % 2 == 0 ? "running" : "paused");
        say_status(other_qemu, "b", i % 2 == 0 ? "running" : "paused");
    }
    then_wait_read(world->qemu);
    then_wait_read(other_qemu);
    script_done(world->qemu);
    script_done(other_qemu);
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL), 0);
    job = handle_of(world, "waited-for", 0);
    call_start(&call, wait_for_job, job);
    say_completed(world->qemu, "waited-for");
    assert_int_equal(call_join(&call), 0);
    assert_int_equal(recorder_count(world->recorder), 2); /* CONNECTED, and of the slow one */

    gate_open(world->gate);
    for (int i = 0; i < SAID; i++) {
        recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    }
    blockjob_job_free(job);
    blockjob_monitor_unref(other);
    scripted_monitor_destroy(other_qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(everything_else_goes_on),
    };

    return run_all(tests);
}
