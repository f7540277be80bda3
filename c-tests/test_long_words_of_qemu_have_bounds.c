/*
 * What QEMU says may be as long as a line, and what is kept of it is not: the text of an error is
 * cut, a job whose id is too long is passed over, and a list of too many jobs is no list.
 */
#include "harness.h"

enum { ERROR_MAX = 65536, ID_MAX = 1024, JOBS_MAX = 2 };

static char *repeated(char letter, size_t times)
{
    char *text = malloc(times + 1);

    assert_non_null(text);
    memset(text, letter, times);
    text[times] = '\0';
    return text;
}

static void say_failed(struct scripted_monitor *qemu, const char *error)
{
    then_send(qemu, "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\", "
                    "\"error\": \"");
    then_send(qemu, error);
    then_send(qemu, "\"}}\r\n");
}

static void error_is_cut(void **state)
{
    struct world *world = *state;
    char *error = repeated('e', ERROR_MAX + 1);
    const char *told;
    blockjob_event *event;

    say_failed(world->qemu, error);
    event = recorder_next(world->recorder);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_FAILED);
    told = blockjob_event_get_error(event);
    assert_true(strlen(told) <= ERROR_MAX);
    assert_text(told + strlen(told) - 5, "ee...");
    assert_true(strlen(blockjob_event_get_json(event)) > ERROR_MAX);
    free(error);
}

static void error_that_is_as_long_as_it_may_be_is_whole(void **state)
{
    struct world *world = *state;
    char *error = repeated('e', ERROR_MAX - 2);

    say_failed(world->qemu, error);
    assert_text(blockjob_event_get_error(recorder_next(world->recorder)), error);
    free(error);
}

static void job_of_too_long_an_id_is_passed_over(void **state)
{
    struct world *world = *state;
    char *id = repeated('j', ID_MAX + 1);
    blockjob_job *job = NULL;
    blockjob_event *event;

    assert_result(blockjob_job_new(world->monitor, id, 0, &job), -ENAMETOOLONG);
    say_completed(world->qemu, id);
    id[ID_MAX] = '\0';
    say_completed(world->qemu, id);
    event = recorder_next(world->recorder);
    assert_text(blockjob_event_get_job_id(event), id);
    assert_int_equal(blockjob_monitor_get_stat(world->monitor, BLOCKJOB_STAT_MALFORMED), 1);
    free(id);
}

static int begin_with_few_jobs(void **state)
{
    struct world *world;

    if (world_begin(state) != 0) {
        return -1;
    }
    world = *state;
    assert_result(blockjob_monitor_set_job_limit(world->monitor, JOBS_MAX), 0);
    connect_to(world->monitor, world->qemu);
    recorder_next(world->recorder);
    return 0;
}

static void list_of_too_many_jobs_is_none(void **state)
{
    struct world *world = *state;
    blockjob_list *list = NULL;

    then_list(world->qemu, "{'id': 'a'}, {'id': 'b'}, {'id': 'c'}", "");
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), -ENOBUFS);
    assert_null(list);
    assert_non_null(strstr(blockjob_last_error(), "more jobs than 2"));

    then_list(world->qemu, "{'id': 'a'}, {'id': 'b'}", "");
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), 0);
    assert_int_equal(blockjob_list_get_count(list), 2);
    blockjob_list_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(error_is_cut),
        test_connected(error_that_is_as_long_as_it_may_be_is_whole),
        test_connected(job_of_too_long_an_id_is_passed_over),
        cmocka_unit_test_setup_teardown(list_of_too_many_jobs_is_none, begin_with_few_jobs,
                                        world_end),
    };

    return run_all(tests);
}
