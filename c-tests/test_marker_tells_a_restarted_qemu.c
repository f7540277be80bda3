/*
 * Where the kernel cannot tell one process of QEMU from the next (this test's monitor is a thread of
 * the program itself), a marker left in QEMU can: one that has it no more was restarted, and its
 * former jobs are gone. Without being asked the library leaves nothing in QEMU.
 */
#include "harness.h"

static void connection_with(struct scripted_monitor *qemu, const char *objects)
{
    then_accept(qemu);
    then_greet(qemu);
    then_expect(qemu, "qmp_capabilities");
    then_return(qemu);
    then_expect(qemu, "\"qom-list\"");
    then_answer(qemu, objects);
    then_list(qemu, "", "");
}

static const char no_marker[] =
    "{\"return\": [{\"name\": \"type\", \"type\": \"string\"}], \"id\": $ID}\r\n";

static void a_qemu_that_has_it_no_more_was_restarted(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    assert_result(blockjob_monitor_set_marker(world->monitor, 1), 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    connection_with(world->qemu, no_marker);
    then_expect(world->qemu, "\"object-add\"");
    then_return(world->qemu);
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_FIRST);
    say_status(world->qemu, "drive0", "created");
    say_status(world->qemu, "drive0", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    then_hang_up(world->qemu);
    connection_with(world->qemu, no_marker);
    then_expect(world->qemu, "\"object-add\"");
    then_return(world->qemu);

    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_LOST);
    assert_text(blockjob_event_get_job_id(event), "drive0");
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_QEMU_RESTARTED);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_RESTARTED);
    script_done(world->qemu);
}

/* The first command after the negotiation asks for jobs. */
static void nothing_is_left_without_being_asked_for(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_marker(world->monitor, 1), 0);
    assert_result(blockjob_monitor_set_marker(world->monitor, 0), 0);
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_expect(world->qemu, "\"query-jobs\"");
    then_answer(world->qemu, "{\"return\": [], \"id\": $ID}\r\n");
    then_expect(world->qemu, "\"query-block-jobs\"");
    then_answer(world->qemu, "{\"return\": [], \"id\": $ID}\r\n");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_monitor_set_marker(world->monitor, 1), -EBUSY);
    script_done(world->qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(a_qemu_that_has_it_no_more_was_restarted),
        test_in_world(nothing_is_left_without_being_asked_for),
    };

    return run_all(tests);
}
