/*
 * A look at a job, and at all jobs: each member that QEMU lists has its getter, what QEMU does not
 * say is NULL or -1, and what QEMU does not have is an error.
 */
#include "harness.h"

static const char jobs[] =
    "{'id': 'm', 'type': 'mirror', 'status': 'standby', 'current-progress': 8, "
    "'total-progress': 8}, "
    "{'id': 'c', 'type': 'create', 'status': 'concluded', 'current-progress': 0, "
    "'total-progress': 1, 'error': 'No space left on device'}";
static const char block_jobs[] =
    "{'device': 'm', 'type': 'mirror', 'status': 'standby', 'len': 8, 'offset': 8, 'speed': 5, "
    "'busy': false, 'paused': true, 'ready': true, 'io-status': 'ok', 'auto-finalize': false, "
    "'auto-dismiss': true}";

static void of_one_job(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "m", 0);
    blockjob_info *info = NULL;

    then_list(world->qemu, jobs, block_jobs);
    assert_result(blockjob_job_get_info(job, -1, &info), 0);
    blockjob_job_free(job);
    assert_text(blockjob_info_get_job_id(info), "m");
    assert_int_equal(blockjob_info_get_type(info), BLOCKJOB_TYPE_MIRROR);
    assert_text(blockjob_info_get_type_name(info), "mirror");
    assert_int_equal(blockjob_info_get_status(info), BLOCKJOB_STATUS_STANDBY);
    assert_text(blockjob_info_get_status_name(info), "standby");
    assert_int_equal(blockjob_info_get_len(info), 8);
    assert_int_equal(blockjob_info_get_offset(info), 8);
    assert_int_equal(blockjob_info_get_speed(info), 5);
    assert_int_equal(blockjob_info_get_paused(info), 1);
    assert_int_equal(blockjob_info_get_ready(info), 1);
    assert_text(blockjob_info_get_error(info), NULL);
    assert_int_equal(blockjob_info_get_auto_finalize(info), 0);
    assert_int_equal(blockjob_info_get_auto_dismiss(info), 1);
    /* It is the program's, and outlives what it came from. */
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    assert_text(blockjob_info_get_job_id(info), "m");
    blockjob_info_free(info);
}

static void of_all_jobs(void **state)
{
    struct world *world = *state;
    blockjob_list *list = NULL;
    const blockjob_info *info;

    then_list(world->qemu, jobs, block_jobs);
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), 0);
    assert_int_equal(blockjob_list_get_count(list), 2);
    assert_text(blockjob_info_get_job_id(blockjob_list_get(list, 0)), "m");
    info = blockjob_list_get(list, 1);
    assert_text(blockjob_info_get_job_id(info), "c");
    assert_int_equal(blockjob_info_get_type(info), BLOCKJOB_TYPE_CREATE);
    assert_int_equal(blockjob_info_get_status(info), BLOCKJOB_STATUS_CONCLUDED);
    assert_text(blockjob_info_get_error(info), "No space left on device");
    assert_int_equal(blockjob_info_get_speed(info), -1);
    assert_int_equal(blockjob_info_get_paused(info), 0);
    assert_int_equal(blockjob_info_get_auto_dismiss(info), -1);
    assert_null(blockjob_list_get(list, 2));
    assert_null(blockjob_list_get(list, -1));
    assert_non_null(strstr(blockjob_last_error(), "index is -1; the list has 2 jobs"));
    blockjob_list_free(list);

    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), 0);
    assert_int_equal(blockjob_list_get_count(list), 0);
    blockjob_list_free(list);
    expect_nothing_sent(world); /* none of them is known by that: nobody asks how it ended */
}

/* QEMU 1.1 has one list, and says little in it. */
static void of_an_old_qemu(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "d", 0);
    blockjob_info *info = NULL;

    then_accept(world->qemu);
    then_send(world->qemu, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 1, "
                           "\"major\": 1}, \"package\": \"\"}, \"capabilities\": []}}\r\n");
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    for (int i = 0; i < 2; i++) {
        then_expect(world->qemu, "query-block-jobs");
        then_answer_list(world->qemu, "{'device': 'd', 'type': 'teleport', 'len': 9}");
    }
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_job_get_info(job, -1, &info), 0);
    assert_int_equal(blockjob_info_get_type(info), BLOCKJOB_TYPE_UNKNOWN);
    assert_text(blockjob_info_get_type_name(info), "teleport");
    assert_int_equal(blockjob_info_get_status(info), BLOCKJOB_STATUS_UNKNOWN);
    assert_text(blockjob_info_get_status_name(info), NULL);
    assert_int_equal(blockjob_info_get_len(info), 9);
    assert_int_equal(blockjob_info_get_offset(info), -1);
    assert_int_equal(blockjob_info_get_paused(info), -1);
    assert_int_equal(blockjob_info_get_ready(info), -1);
    assert_int_equal(blockjob_info_get_auto_finalize(info), -1);
    blockjob_info_free(info);
    blockjob_job_free(job);
}

static void of_a_job_that_has_ended_until_it_is_dismissed(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, NULL, 0);
    blockjob_info *info = NULL;
    blockjob_event *event = NULL;
    char concluded[256];

    start_job(world, job);
    say_ended(world->qemu, blockjob_job_get_id(job));
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    snprintf(concluded, sizeof concluded, "{'id': '%s', 'status': 'concluded'}",
             blockjob_job_get_id(job));
    then_list(world->qemu, concluded, "");
    assert_result(blockjob_job_get_info(job, -1, &info), 0);
    assert_int_equal(blockjob_info_get_status(info), BLOCKJOB_STATUS_CONCLUDED);
    blockjob_info_free(info);
    info = NULL;
    blockjob_event_unref(event);
    then_dismiss(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
    assert_result(blockjob_job_dismiss(job, -1), 0);
    assert_result(blockjob_job_get_info(job, -1, &info), -ENOENT);
    assert_null(info);
    blockjob_job_free(job);
}

static int look(void *job)
{
    blockjob_info *untouched = NULL;
    int result = blockjob_job_get_info(job, -1, &untouched);

    return untouched == NULL ? result : 1;
}

static int list(void *monitor)
{
    blockjob_list *untouched = NULL;
    int result = blockjob_monitor_list_jobs(monitor, -1, &untouched);

    if (untouched == NULL) {
        return result;
    }
    blockjob_list_free(untouched);
    return 1;
}

static void refuse_listing(struct world *world, const char *command)
{
    then_expect(world->qemu, command);
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"CommandNotFound\", "
                             "\"desc\": \"there is none\"}}\r\n");
}

static void or_why_there_is_none(void **state)
{
    struct world *world = *state;
    blockjob_job *job = NULL;
    blockjob_info *info = NULL;
    blockjob_list *all = NULL;
    void *both[2];

    assert_result(list(world->monitor), -ENOTCONN);
    job = handle_of(world, "j", 0);
    both[0] = job;
    both[1] = world->monitor;
    assert_result(look(job), -ENOTCONN);
    connect_to(world->monitor, world->qemu);
    then_list(world->qemu, jobs, block_jobs);
    assert_result(look(job), -ENOENT);

    for (int i = 0; i < 2; i++) {
        int (*ask)(void *) = i == 0 ? look : list;

        refuse_listing(world, "query-jobs");
        refuse_listing(world, "query-block-jobs");
        assert_result(ask(both[i]), -EREMOTEIO);
        assert_non_null(strstr(blockjob_last_error(), "CommandNotFound: there is none"));
        then_expect(world->qemu, "query-jobs");
        then_answer(world->qemu, "{\"id\": $ID, \"return\": 7}\r\n");
        then_expect(world->qemu, "query-block-jobs");
        then_answer(world->qemu, "{\"id\": $ID, \"return\": {}}\r\n");
        assert_result(ask(both[i]), -EPROTO);
    }
    assert_result(blockjob_job_get_info(job, 0, &info), -ETIMEDOUT);
    assert_result(blockjob_monitor_list_jobs(world->monitor, 0, &all), -ETIMEDOUT);
    then_list(world->qemu, jobs, block_jobs);
    then_list(world->qemu, jobs, block_jobs);
    script_done(world->qemu);

    then_expect(world->qemu, "query-jobs");
    then_hang_up(world->qemu);
    assert_result(list(world->monitor), -ECONNRESET);
    connect_to(world->monitor, world->qemu);
    blockjob_job_free(job);
    job = both[0] = handle_of(world, "j", 0);
    then_expect(world->qemu, "query-jobs");
    then_hang_up(world->qemu);
    assert_result(look(job), -ECONNRESET);

    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_result(look(job), -ESHUTDOWN);
    assert_result(list(world->monitor), -ESHUTDOWN);
    blockjob_job_free(job);
}

struct inside {
    blockjob_job *job;
    blockjob_monitor *monitor;
    int looked, listed;
    atomic_bool done;
};

static void look_inside(blockjob_event *event, void *opaque)
{
    struct inside *inside = opaque;

    (void)event;
    inside->looked = look(inside->job);
    inside->listed = list(inside->monitor);
    atomic_store(&inside->done, true);
}

static void also_inside_a_callback(void **state)
{
    struct world *world = *state;
    struct inside inside = { .job = handle_of(world, "m", 0), .monitor = world->monitor };

    assert_true(blockjob_callback_add(world->listener, NULL, "m", BLOCKJOB_EVENT_STATUS,
                                      look_inside, &inside, NULL) > 0);
    say_status(world->qemu, "m", "created");
    then_expect(world->qemu, "query-jobs");
    then_answer_list(world->qemu, "");
    then_expect(world->qemu, "query-block-jobs");
    then_answer_list(world->qemu, "");
    then_list(world->qemu, "7", "");
    wait_until(atomic_load(&inside.done));
    assert_int_equal(inside.looked, -ENOENT);
    assert_int_equal(inside.listed, 1); /* an empty list is a list */
    script_done(world->qemu);
    blockjob_job_free(inside.job);
}

/* A look that waits is woken when the listener is stopped. */
static void until_the_listener_is_stopped(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "m", 0);
    struct call looking, listing;

    call_start(&looking, look, job);
    call_start(&listing, list, world->monitor);
    call_settle(&looking);
    call_settle(&listing);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_int_equal(call_join(&looking), -ESHUTDOWN);
    assert_int_equal(call_join(&listing), -ESHUTDOWN);
    assert_int_equal(list(world->monitor), -ESHUTDOWN);
    blockjob_job_free(job);
}

static void too_many_without_an_answer_are_refused(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);
    blockjob_list *all = NULL;
    int result;

    /* Each takes two commands, and no time, so that a refusal may come to it or too late. */
    for (int i = 0; i < 8192; i++) {
        result = blockjob_monitor_list_jobs(world->monitor, 0, &all);
        assert_true(result == -ETIMEDOUT || result == -ENOBUFS);
    }
    assert_result(list(world->monitor), -ENOBUFS);
    assert_result(look(job), -ENOBUFS);
    blockjob_job_free(job);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);
    blockjob_info *info = NULL;
    blockjob_list *all = NULL;

    assert_result(blockjob_job_get_info(NULL, -1, &info), -EINVAL);
    assert_result(blockjob_job_get_info(job, -1, NULL), -EINVAL);
    assert_result(blockjob_job_get_info(job, -2, &info), -EINVAL);
    assert_result(blockjob_monitor_list_jobs(NULL, -1, &all), -EINVAL);
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, NULL), -EINVAL);
    assert_result(blockjob_monitor_list_jobs(world->monitor, -2, &all), -EINVAL);
    assert_result(blockjob_info_get_type(NULL), -EINVAL);
    assert_result(blockjob_info_get_status(NULL), -EINVAL);
    assert_null(blockjob_info_get_job_id(NULL));
    assert_null(blockjob_info_get_type_name(NULL));
    assert_null(blockjob_info_get_status_name(NULL));
    assert_null(blockjob_info_get_error(NULL));
    assert_int_equal(blockjob_info_get_len(NULL), -1);
    assert_int_equal(blockjob_info_get_offset(NULL), -1);
    assert_int_equal(blockjob_info_get_speed(NULL), -1);
    assert_int_equal(blockjob_info_get_paused(NULL), -1);
    assert_int_equal(blockjob_info_get_ready(NULL), -1);
    assert_int_equal(blockjob_info_get_auto_finalize(NULL), -1);
    assert_int_equal(blockjob_info_get_auto_dismiss(NULL), -1);
    assert_result(blockjob_list_get_count(NULL), -EINVAL);
    assert_null(blockjob_list_get(NULL, 0));
    blockjob_info_free(NULL);
    blockjob_list_free(NULL);
    blockjob_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(of_one_job),
        test_owned_connected(of_all_jobs),
        test_owned(of_an_old_qemu),
        test_owned_connected(of_a_job_that_has_ended_until_it_is_dismissed),
        test_owned(or_why_there_is_none),
        test_owned_connected(also_inside_a_callback),
        test_owned_connected(until_the_listener_is_stopped),
        test_owned_connected(too_many_without_an_answer_are_refused),
        test_owned_connected(what_makes_no_sense_is_refused),
    };

    return run_all(tests);
}
