/*
 * A newer QEMU, a broken one, and one that a guest has taken over: whatever comes, the next good
 * event is delivered on the same connection, and nothing of the bad message is.
 */
#include "harness.h"

/* Sends the bytes and then a good event, which must be the very next to be delivered. */
static void survive_bytes(struct world *world, const char *what, const void *bytes, size_t size)
{
    static int round;
    char job_id[32];
    blockjob_event *event;

    snprintf(job_id, sizeof job_id, "good-%d", ++round);
    then_send_bytes(world->qemu, bytes, size);
    say_completed(world->qemu, job_id);
    event = recorder_next(world->recorder);
    if (blockjob_event_get_kind(event) != BLOCKJOB_EVENT_COMPLETED
        || strcmp(blockjob_event_get_job_id(event), job_id) != 0) {
        fail_msg("after %s came %s, not COMPLETED of %s", what, blockjob_event_get_name(event),
                 job_id);
    }
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

static void survive(struct world *world, const char *what, const char *text)
{
    survive_bytes(world, what, text, strlen(text));
}

static void unknown_events(void **state)
{
    survive(*state, "an event of a newer QEMU",
            "{\"event\": \"BLOCK_JOB_TELEPORTED\", \"data\": {\"device\": \"j\"}}\r\n");
    survive(*state, "an event without data",
            "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n");
    survive(*state, "an event of the guest",
            "{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"operation\": "
            "\"read\", \"action\": \"report\", \"__com.redhat_reason\": \"eio\"}}\r\n");
}

static void messages_of_no_known_shape(void **state)
{
    survive(*state, "an empty object", "{}\r\n");
    survive(*state, "an object of strangers", "{\"hello\": {\"event\": \"x\"}}\r\n");
    survive(*state, "an event whose name is a number", "{\"event\": 7, \"data\": {}}\r\n");
    survive(*state, "an event of a job without a job",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"len\": 1, \"offset\": 1}}\r\n");
    survive(*state, "an event of a job without data", "{\"event\": \"BLOCK_JOB_READY\"}\r\n");
    survive(*state, "data that is a list",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": [\"device\"]}\r\n");
    survive(*state, "a second greeting", "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
}

static void invalid_json(void **state)
{
    survive(*state, "QEMU's own invalid number", "{\"return\": {}, \"id\": inf}\r\n");
    survive(*state, "NaN in an event of a job",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", "
            "\"data\": {\"device\": \"j\", \"len\": NaN}}\r\n");
    survive(*state, "a member twice",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"event\": \"BLOCK_JOB_CANCELLED\", "
            "\"data\": {\"device\": \"j\"}}\r\n");
    survive(*state, "single quotes", "{'event': 'BLOCK_JOB_COMPLETED'}\r\n");
    survive(*state, "a line of prose", "qemu-system-x86_64: warning: TCG is slow\r\n");
    survive(*state, "a list", "[1, 2, {\"event\": \"BLOCK_JOB_READY\"}]\r\n");
    survive(*state, "a closing brace too many", "}}}]\r\n");
    survive(*state, "empty lines", "\r\n\r\n\n\n");
    survive(*state, "a string that never ends",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\r\n");
    survive(*state, "an object that never ends",
            "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\",\r\n");
    survive(*state, "a lone surrogate in a job's id",
            "{\"event\": \"BLOCK_JOB_ERROR\", \"data\": {\"device\": \"\\ud800\"}}\r\n");
}

static void bytes_that_are_no_text(void **state)
{
    static const char invalid[] =
        "{\"event\": \"JOB_TELEPORTED\", \"data\": {\"id\": \"\xff\xc0\x80\"}}\r\n";
    static const char nul[] = "{\"event\": \"JOB_\0TELEPORTED\"}\r\n";
    static const char control[] = "\x01\x02\x1b[2J\x7f\r\n";

    survive_bytes(*state, "invalid UTF-8", invalid, sizeof invalid - 1);
    survive_bytes(*state, "a NUL inside", nul, sizeof nul - 1);
    survive_bytes(*state, "control characters", control, sizeof control - 1);
}

static void nesting_without_end(void **state)
{
    const size_t depth = 100000;
    char *text = malloc(2 * depth + 64);
    size_t size;

    assert_non_null(text);
    size = (size_t)sprintf(text, "{\"return\": ");
    memset(text + size, '[', depth);
    memset(text + size + depth, ']', depth);
    size += 2 * depth;
    size += (size_t)sprintf(text + size, ", \"id\": 1}\r\n");
    survive_bytes(*state, "100,000 brackets", text, size);
    free(text);
}

/* A longer message than the limit is skipped, not fatal; one that just fits is not skipped. */
static void a_message_over_the_limit(void **state)
{
    enum { LIMIT = 8192 };
    struct world *world = *state;
    char text[3 * LIMIT];
    int size;

    assert_result(blockjob_monitor_set_line_limit(world->monitor, LIMIT), 0);
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);

    size = sprintf(text, "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"long\", "
                         "\"error\": \"%0*d\"}}\r\n", 2 * LIMIT, 7);
    survive_bytes(world, "a message over the limit", text, (size_t)size);
    then_cut(world->qemu, 1000);
    survive_bytes(world, "a message over the limit in pieces", text, (size_t)size);

    size = sprintf(text, "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"long\", "
                         "\"error\": \"%0*d\"}}\r\n", LIMIT - 200, 7);
    then_send_bytes(world->qemu, text, (size_t)size);
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "long");
}

/* Larger than the 64 kB at which other clients give up, smaller than the default limit. */
static void a_large_reply_is_no_bad_message(void **state)
{
    const size_t filler = 1 << 20;
    char *text = malloc(filler + 64);
    size_t size;

    assert_non_null(text);
    size = (size_t)sprintf(text, "{\"return\": [\"");
    memset(text + size, 'q', filler);
    size += filler;
    size += (size_t)sprintf(text + size, "\"], \"id\": 3}\r\n");
    survive_bytes(*state, "a reply of a megabyte", text, size);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(unknown_events),
        test_connected(messages_of_no_known_shape),
        test_connected(invalid_json),
        test_connected(bytes_that_are_no_text),
        test_connected(nesting_without_end),
        test_in_world(a_message_over_the_limit),
        test_connected(a_large_reply_is_no_bad_message),
    };

    return run_all(tests);
}
