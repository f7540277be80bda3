/*
 * Of a monitor with a journal, a job that has gone while nobody was connected has the end that the
 * journal tells; a stored position keeps what was told from being told again.
 */
#include "harness.h"

#define AT(seconds) "{\"timestamp\": {\"seconds\": " #seconds ", \"microseconds\": 0}, \"event\": "

static const char before[] =
    AT(1001) "\"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"created\", \"id\": \"" OWNER "-1\"}}\n"
    AT(1002) "\"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"running\", \"id\": \"" OWNER "-1\"}}\n";
static const char failed[] =
    AT(1003) "\"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"" OWNER "-1\", \"len\": 9, "
    "\"offset\": 4, \"speed\": 0, \"type\": \"stream\", \"error\": \"Input/output error\"}}\n";
static const char later[] =
    AT(1009) "\"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"" OWNER "-2\", \"len\": 5, "
    "\"offset\": 5, \"speed\": 0, \"type\": \"backup\"}}\n";

/* An empty one; whoever has it unlinks it. */
static char *new_journal(void)
{
    char *path = strdup("/tmp/blockjob-journal-XXXXXX");
    int file = mkstemp(path);

    assert_int_not_equal(file, -1);
    assert_int_equal(close(file), 0);
    return path;
}

static void discard(char *path)
{
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void append(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");

    assert_non_null(file);
    assert_int_not_equal(fputs(text, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void the_end_of_a_gap_is_what_the_journal_says(void **state)
{
    struct world *world = *state;
    char *path = new_journal();
    struct recorder *all = recorder_new();
    blockjob_event *event;

    append(path, before);
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    record(world->listener, NULL, all);
    connect_to(world->monitor, world->qemu);
    then_say(world->qemu, "{'timestamp': {'seconds': 1001, 'microseconds': 0}, 'event': "
                          "'JOB_STATUS_CHANGE', 'data': {'status': 'created', 'id': '" OWNER "-1'}}");
    recorder_next_of(all, BLOCKJOB_EVENT_STATUS);
    append(path, failed);
    then_hang_up(world->qemu);
    then_negotiate(world->qemu);

    event = recorder_next_of(all, BLOCKJOB_EVENT_COMPLETED);
    assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_RECOVERED);
    assert_int_equal(blockjob_event_get_outcome(event), BLOCKJOB_OUTCOME_FAILED);
    assert_text(blockjob_event_get_error(event), "Input/output error");
    assert_int_equal(blockjob_event_get_offset(event), 4);
    event = recorder_next_of(all, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_recovered(event), 1);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    recorder_destroy(all);
    discard(path);
}

/* What is no regular file is as good as none: the monitor is usable, and the job lost. */
static void a_journal_that_cannot_be_read_is_none(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    assert_result(blockjob_monitor_set_journal(world->monitor, "/dev/zero", NULL), 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    connect_to(world->monitor, world->qemu);
    say_status(world->qemu, "foreign", "created");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    then_hang_up(world->qemu);
    then_negotiate(world->qemu);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_LOST);
    assert_text(blockjob_event_get_job_id(event), "foreign");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
}

/* Run by run: each tells what was added since the position that the one before has kept. */
static void a_position_goes_on_where_the_program_had_come_to(void **state)
{
    struct world *world = *state;
    char *path = new_journal();
    char *position;
    blockjob_event *event;

    append(path, before);
    append(path, failed);
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    connect_to(world->monitor, world->qemu);
    say_status(world->qemu, "foreign", "created");
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_non_null(blockjob_event_get_position(event));
    position = strdup(blockjob_event_get_position(event));
    world_end(state);

    append(path, later);
    assert_int_equal(world_begin_owned(state), 0);
    world = *state;
    assert_result(blockjob_monitor_set_journal(world->monitor, path, position), 0);
    {
        struct taker *taker = taker_new();
        struct end end;

        taker_add(taker, world->listener, NULL, NULL, 0);
        connect_to(world->monitor, world->qemu);
        end = taker_next(taker);
        assert_text(end.job_id, OWNER "-2");
        assert_int_equal(end.origin, BLOCKJOB_ORIGIN_RECOVERED);
        assert_int_equal(end.outcome, BLOCKJOB_OUTCOME_SUCCEEDED);
        assert_result(blockjob_listener_free(world->listener), 0);
        world->listener = NULL;
        assert_int_equal(taker_count(taker), 1);
        taker_destroy(taker);
    }
    free(position);
    discard(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(the_end_of_a_gap_is_what_the_journal_says),
        test_in_world(a_journal_that_cannot_be_read_is_none),
        test_owned(a_position_goes_on_where_the_program_had_come_to),
    };

    return run_all(tests);
}
