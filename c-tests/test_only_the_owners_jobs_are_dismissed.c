/*
 * Jobs found concluded when a monitor is connected are told as recovered. Those whose ids begin
 * with the owner's name are the program's and dismissed when they were taken; others are left to
 * whoever started them, unless the program adopts them. Without an owner nothing found is ours.
 */
#include "harness.h"

#define CONCLUDED(id)                                                                        \
    "{'id': '" id "', 'type': 'stream', 'status': 'concluded', 'current-progress': 9, "      \
    "'total-progress': 9}"

static void find(struct world *world, const char *jobs)
{
    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, jobs, "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
}

static void the_foreign_one_is_untouched(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    taker_add(taker, world->listener, NULL, NULL, 0);
    find(world, CONCLUDED("libvirt-7") ", " CONCLUDED(OWNER "-1") ", "
                CONCLUDED("testerly-1"));
    for (int i = 0; i < 3; i++) {
        struct end end = taker_next(taker);

        assert_int_equal(end.kind, BLOCKJOB_EVENT_COMPLETED);
        assert_int_equal(end.outcome, BLOCKJOB_OUTCOME_SUCCEEDED);
        assert_int_equal(end.origin, BLOCKJOB_ORIGIN_RECOVERED);
        assert_int_equal(end.loss, BLOCKJOB_LOSS_NONE);
    }
    then_dismiss(world->qemu, OWNER "-1");
    script_done(world->qemu);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

static void unless_it_is_adopted(void **state)
{
    struct world *world = *state;
    blockjob_job *job;
    blockjob_event *event = NULL;

    job = handle_of(world, "libvirt-7", BLOCKJOB_JOB_EXISTS | BLOCKJOB_JOB_ADOPT);
    find(world, CONCLUDED("libvirt-7") ", " CONCLUDED("libvirt-8"));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_RECOVERED);
    expect_nothing_sent(world);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, "libvirt-7");
    script_done(world->qemu);
    blockjob_job_free(job);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
}

/* Taken without being the program's, it stays; adopted then, it is dismissed when taken again. */
static void also_after_it_was_found(void **state)
{
    struct world *world = *state;
    blockjob_job *job;
    blockjob_event *event = NULL;

    find(world, CONCLUDED("libvirt-7"));
    pass_fence(world, world->qemu);
    job = handle_of(world, "libvirt-7", BLOCKJOB_JOB_ADOPT);
    assert_result(blockjob_job_wait(job, 0, &event), 0);
    blockjob_event_unref(event);
    then_dismiss(world->qemu, "libvirt-7");
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void without_an_owner_nothing_found_is_ours(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    assert_result(blockjob_callback_remove(world->listener, world->recording, 0), 0);
    taker_add(taker, world->listener, NULL, NULL, 0);
    find(world, CONCLUDED(OWNER "-1") ", " CONCLUDED("blockjob-1"));
    taker_next(taker);
    taker_next(taker);
    pass_fence(world, world->qemu);
    expect_nothing_sent(world);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    taker_destroy(taker);
}

static void the_owner_is_named_before_the_first_monitor(void **state)
{
    struct world *world = *state;
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    blockjob_job *job = NULL;

    assert_result(blockjob_listener_set_owner(world->listener, "other"), -EBUSY);
    assert_result(blockjob_listener_new(&listener), 0);
    assert_result(blockjob_listener_set_owner(listener, "one"), 0);
    assert_result(blockjob_listener_set_owner(listener, "A.b_c-9"), 0);
    assert_result(blockjob_monitor_new(listener, "unix:/x", &monitor), 0);
    assert_result(blockjob_job_new(monitor, NULL, 0, &job), 0);
    assert_int_equal(strncmp(blockjob_job_get_id(job), "A.b_c-9-", 8), 0);
    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    assert_result(blockjob_listener_free(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(the_foreign_one_is_untouched),
        test_owned(unless_it_is_adopted),
        test_owned(also_after_it_was_found),
        test_in_world(without_an_owner_nothing_found_is_ours),
        test_owned(the_owner_is_named_before_the_first_monitor),
    };

    return run_all(tests);
}
