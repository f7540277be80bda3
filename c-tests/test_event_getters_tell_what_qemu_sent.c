/*
 * Each kind of event, read through every getter: what QEMU sent is there, what it did not send is
 * absent and can be told from what it sent as -1 or as nothing.
 */
#include "harness.h"

/* What all getters give. Members that are not named are absent, except for `has`. */
struct wanted {
    int kind;
    const char *name;
    const char *job_id;
    int outcome;
    int type;
    const char *type_name;
    const int64_t *len, *offset, *speed;
    const char *error;
    int status;
    const char *status_name;
    const char *action;
    const char *operation;
};

static const int64_t zero = 0, minus_one = -1, some = 4194304, more = 8388608, most = INT64_MAX;

static void assert_number(const blockjob_event *event, int member, int64_t got,
                          const int64_t *expected)
{
    assert_int_equal(got, expected == NULL ? -1 : *expected);
    assert_int_equal(blockjob_event_has(event, member), expected != NULL);
}

static void assert_event(blockjob_event *event, struct wanted wanted)
{
    assert_int_equal(blockjob_event_get_kind(event), wanted.kind);
    assert_text(blockjob_event_get_name(event), wanted.name);
    assert_text(blockjob_event_get_job_id(event), wanted.job_id);
    assert_int_equal(blockjob_event_get_outcome(event), wanted.outcome);
    assert_int_equal(blockjob_event_get_type(event), wanted.type);
    assert_text(blockjob_event_get_type_name(event), wanted.type_name);
    assert_number(event, BLOCKJOB_MEMBER_LEN, blockjob_event_get_len(event), wanted.len);
    assert_number(event, BLOCKJOB_MEMBER_OFFSET, blockjob_event_get_offset(event), wanted.offset);
    assert_number(event, BLOCKJOB_MEMBER_SPEED, blockjob_event_get_speed(event), wanted.speed);
    assert_text(blockjob_event_get_error(event), wanted.error);
    assert_int_equal(blockjob_event_has(event, BLOCKJOB_MEMBER_ERROR), wanted.error != NULL);
    assert_int_equal(blockjob_event_get_status(event), wanted.status);
    assert_text(blockjob_event_get_status_name(event), wanted.status_name);
    assert_text(blockjob_event_get_action(event), wanted.action);
    assert_text(blockjob_event_get_operation(event), wanted.operation);
    assert_int_equal(blockjob_event_get_dropped(event), -1);
}

/* Says one event, whose JSON must come back to the letter, and gives what was received. */
static blockjob_event *heard(struct world *world, const char *json)
{
    blockjob_event *event;

    then_send(world->qemu, json);
    then_send(world->qemu, "\r\n");
    event = recorder_next(world->recorder);
    assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
    assert_text(blockjob_event_get_json(event), json);
    assert_null(blockjob_event_get_reason(event));
    return event;
}

static void assert_time(const blockjob_event *event, int64_t wanted_seconds,
                        int64_t wanted_microseconds)
{
    int64_t seconds = 0, microseconds = 0;

    assert_result(blockjob_event_get_timestamp(event, &seconds, &microseconds), 0);
    assert_int_equal(seconds, wanted_seconds);
    assert_int_equal(microseconds, wanted_microseconds);
    assert_int_equal(blockjob_event_has(event, BLOCKJOB_MEMBER_TIMESTAMP), 1);
}

static void completed_without_error_succeeded(void **state)
{
    blockjob_event *event = heard(*state,
        "{\"timestamp\": {\"seconds\": 1763912345, \"microseconds\": 7}, "
        "\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"drive0\", "
        "\"len\": 4194304, \"offset\": 4194304, \"speed\": 9223372036854775807, "
        "\"type\": \"stream\"}}");

    assert_event(event, (struct wanted){
        .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = "drive0",
        .outcome = BLOCKJOB_OUTCOME_SUCCEEDED, .type = BLOCKJOB_TYPE_STREAM,
        .type_name = "stream", .len = &some, .offset = &some, .speed = &most });
    assert_time(event, 1763912345, 7);
}

static void completed_with_error_failed(void **state)
{
    assert_event(heard(*state,
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
        "\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j1\", \"len\": 8388608, "
        "\"offset\": 4194304, \"speed\": 0, \"type\": \"commit\", "
        "\"error\": \"Input/output error\"}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = "j1",
        .outcome = BLOCKJOB_OUTCOME_FAILED, .type = BLOCKJOB_TYPE_COMMIT, .type_name = "commit",
        .len = &more, .offset = &some, .speed = &zero, .error = "Input/output error" });
}

static void cancelled_was_cancelled(void **state)
{
    assert_event(heard(*state,
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
        "\"event\": \"BLOCK_JOB_CANCELLED\", \"data\": {\"device\": \"j2\", \"len\": 8388608, "
        "\"offset\": 0, \"speed\": 4194304, \"type\": \"mirror\"}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_CANCELLED, .name = "BLOCK_JOB_CANCELLED", .job_id = "j2",
        .outcome = BLOCKJOB_OUTCOME_CANCELLED, .type = BLOCKJOB_TYPE_MIRROR,
        .type_name = "mirror", .len = &more, .offset = &zero, .speed = &some });
}

static void ready_has_no_outcome_yet(void **state)
{
    assert_event(heard(*state,
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
        "\"event\": \"BLOCK_JOB_READY\", \"data\": {\"device\": \"j3\", \"len\": 4194304, "
        "\"offset\": 4194304, \"speed\": 0, \"type\": \"mirror\"}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_READY, .name = "BLOCK_JOB_READY", .job_id = "j3",
        .type = BLOCKJOB_TYPE_MIRROR, .type_name = "mirror", .len = &some, .offset = &some,
        .speed = &zero });
}

static void pending_names_its_job_by_id(void **state)
{
    assert_event(heard(*state,
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
        "\"event\": \"BLOCK_JOB_PENDING\", \"data\": {\"type\": \"backup\", \"id\": \"j4\"}}"),
        (struct wanted){
        .kind = BLOCKJOB_EVENT_PENDING, .name = "BLOCK_JOB_PENDING", .job_id = "j4",
        .type = BLOCKJOB_TYPE_BACKUP, .type_name = "backup" });
}

static void error_has_action_and_operation(void **state)
{
    assert_event(heard(*state,
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
        "\"event\": \"BLOCK_JOB_ERROR\", \"data\": {\"device\": \"j5\", "
        "\"operation\": \"write\", \"action\": \"stop\"}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_ERROR, .name = "BLOCK_JOB_ERROR", .job_id = "j5",
        .action = "stop", .operation = "write" });
}

static void status_is_a_number_and_a_word(void **state)
{
    static const struct {
        const char *word;
        int number;
    } all[] = {
        { "undefined", BLOCKJOB_STATUS_UNDEFINED }, { "created", BLOCKJOB_STATUS_CREATED },
        { "running", BLOCKJOB_STATUS_RUNNING },     { "paused", BLOCKJOB_STATUS_PAUSED },
        { "ready", BLOCKJOB_STATUS_READY },         { "standby", BLOCKJOB_STATUS_STANDBY },
        { "waiting", BLOCKJOB_STATUS_WAITING },     { "pending", BLOCKJOB_STATUS_PENDING },
        { "aborting", BLOCKJOB_STATUS_ABORTING },   { "concluded", BLOCKJOB_STATUS_CONCLUDED },
        { "null", BLOCKJOB_STATUS_NULL },           { "dreaming", BLOCKJOB_STATUS_UNKNOWN },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char json[256], job_id[16];

        snprintf(job_id, sizeof job_id, "j%zu", i);
        snprintf(json, sizeof json,
                 "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
                 "\"event\": \"JOB_STATUS_CHANGE\", "
                 "\"data\": {\"status\": \"%s\", \"id\": \"%s\"}}", all[i].word, job_id);
        assert_event(heard(*state, json), (struct wanted){
            .kind = BLOCKJOB_EVENT_STATUS, .name = "JOB_STATUS_CHANGE", .job_id = job_id,
            .status = all[i].number, .status_name = all[i].word });
    }
}

static void type_is_a_number_and_a_word(void **state)
{
    static const struct {
        const char *word;
        int number;
    } all[] = {
        { "stream", BLOCKJOB_TYPE_STREAM }, { "commit", BLOCKJOB_TYPE_COMMIT },
        { "mirror", BLOCKJOB_TYPE_MIRROR }, { "backup", BLOCKJOB_TYPE_BACKUP },
        { "create", BLOCKJOB_TYPE_CREATE }, { "amend", BLOCKJOB_TYPE_AMEND },
        { "snapshot-save", BLOCKJOB_TYPE_SNAPSHOT_SAVE },
        { "snapshot-load", BLOCKJOB_TYPE_SNAPSHOT_LOAD },
        { "snapshot-delete", BLOCKJOB_TYPE_SNAPSHOT_DELETE },
        { "teleport", BLOCKJOB_TYPE_UNKNOWN }, { "", BLOCKJOB_TYPE_UNKNOWN },
    };
    static const char *const job_ids[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k" };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char json[256];

        snprintf(json, sizeof json,
                 "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"type\": \"%s\", "
                 "\"device\": \"%s\", \"len\": 0, \"offset\": 0, \"speed\": 0}}",
                 all[i].word, job_ids[i]);
        assert_event(heard(*state, json), (struct wanted){
            .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = job_ids[i],
            .outcome = BLOCKJOB_OUTCOME_SUCCEEDED, .type = all[i].number,
            .type_name = all[i].word, .len = &zero, .offset = &zero, .speed = &zero });
    }
}

/* An action or an operation that only a newer QEMU has is read like any other. */
static void unknown_words_and_members_survive(void **state)
{
    assert_event(heard(*state,
        "{\"event\": \"BLOCK_JOB_ERROR\", \"severity\": {\"a\": [1, {}]}, "
        "\"data\": {\"device\": \"j8\", \"operation\": \"discard\", \"action\": \"retry\", "
        "\"qom-path\": \"/machine\", \"nospace\": false}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_ERROR, .name = "BLOCK_JOB_ERROR", .job_id = "j8",
        .action = "retry", .operation = "discard" });
}

static void what_is_absent_or_mistyped_is_told_from_minus_one(void **state)
{
    int64_t seconds = 11, microseconds = 22;
    blockjob_event *event = heard(*state,
        "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j9\"}}");

    assert_event(event, (struct wanted){
        .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = "j9",
        .outcome = BLOCKJOB_OUTCOME_SUCCEEDED });
    assert_int_equal(blockjob_event_has(event, BLOCKJOB_MEMBER_TIMESTAMP), 0);
    assert_result(blockjob_event_get_timestamp(event, &seconds, &microseconds), -ENODATA);
    assert_int_equal(seconds, 11);
    assert_int_equal(microseconds, 22);

    assert_event(heard(*state,
        "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j10\", \"len\": -1, "
        "\"offset\": \"7\", \"speed\": null, \"type\": 3}}"), (struct wanted){
        .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = "j10",
        .outcome = BLOCKJOB_OUTCOME_SUCCEEDED, .len = &minus_one });

    /* Beyond 64 bits, and as QEMU writes what overflowed. */
    assert_event(heard(*state,
        "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j11\", "
        "\"len\": 18446744073709551616, \"offset\": 1.8446744073709552e+19, \"speed\": 0.5}}"),
        (struct wanted){
        .kind = BLOCKJOB_EVENT_COMPLETED, .name = "BLOCK_JOB_COMPLETED", .job_id = "j11",
        .outcome = BLOCKJOB_OUTCOME_SUCCEEDED });
}

/* A QEMU that could not tell the time writes -1 twice; that is no time. */
static void timestamp_of_minus_one_is_absent(void **state)
{
    int64_t seconds, microseconds;
    blockjob_event *event = heard(*state,
        "{\"timestamp\": {\"seconds\": -1, \"microseconds\": -1}, "
        "\"event\": \"BLOCK_JOB_READY\", \"data\": {\"device\": \"j\"}}");

    assert_int_equal(blockjob_event_has(event, BLOCKJOB_MEMBER_TIMESTAMP), 0);
    assert_result(blockjob_event_get_timestamp(event, &seconds, &microseconds), -ENODATA);
}

/* For people: when, where, what, and nothing in it that could steer their terminal. */
static void line_tells_all_and_is_safe_to_show(void **state)
{
    struct world *world = *state;
    char wanted[512];
    blockjob_event *event = heard(world,
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 42}, "
        "\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"type\": \"str eam\", "
        "\"device\": \"j0\", \"len\": 9, \"offset\": -1, \"speed\": 0, "
        "\"error\": \"a\\u001b[2J\\r\\n\\u009b\\u202e\\\"\\u00fc\"}}");

    snprintf(wanted, sizeof wanted,
             "2023-11-14T22:13:20.000042Z %s BLOCK_JOB_COMPLETED job=j0 type=\"str eam\" "
             "outcome=failed len=9 offset=-1 speed=0 "
             "error=\"a\\x1b[2J\\x0d\\x0a\\u009b\\u202e\\\"\xc3\xbc\"",
             blockjob_monitor_get_name(world->monitor));
    assert_text(blockjob_event_get_line(event), wanted);
    assert_ptr_equal(blockjob_event_get_line(event), blockjob_event_get_line(event));
}

/* The numbers prove nothing: the presence of an error decides, and nothing else. */
static void only_an_error_member_means_failed(void **state)
{
    static const struct {
        const char *event, *data;
        int outcome;
        const char *error;
    } all[] = {
        { "COMPLETED", "\"len\": 9, \"offset\": 9, \"error\": \"late\"", BLOCKJOB_OUTCOME_FAILED,
          "late" },
        { "COMPLETED", "\"len\": 0, \"offset\": 0, \"error\": \"early\"", BLOCKJOB_OUTCOME_FAILED,
          "early" },
        { "COMPLETED", "\"len\": 9, \"offset\": 1", BLOCKJOB_OUTCOME_SUCCEEDED, NULL },
        { "COMPLETED", "\"len\": 9, \"offset\": 9, \"error\": \"\"", BLOCKJOB_OUTCOME_FAILED, "" },
        { "CANCELLED", "\"len\": 9, \"offset\": 9", BLOCKJOB_OUTCOME_CANCELLED, NULL },
        /* QEMU up to 2.0 may send one; the job was cancelled all the same. */
        { "CANCELLED", "\"len\": 9, \"offset\": 1, \"error\": \"Operation canceled\"",
          BLOCKJOB_OUTCOME_CANCELLED, "Operation canceled" },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        blockjob_event *event;
        char json[256];

        snprintf(json, sizeof json, "{\"event\": \"BLOCK_JOB_%s\", \"data\": {\"type\": "
                 "\"stream\", \"device\": \"j%zu\", %s}}", all[i].event, i, all[i].data);
        event = heard(*state, json);
        assert_int_equal(blockjob_event_get_outcome(event), all[i].outcome);
        assert_text(blockjob_event_get_outcome_name(event),
                    all[i].outcome == BLOCKJOB_OUTCOME_SUCCEEDED ? "succeeded"
                    : all[i].outcome == BLOCKJOB_OUTCOME_FAILED  ? "failed"
                                                                 : "cancelled");
        assert_text(blockjob_event_get_error(event), all[i].error);
        assert_int_equal(blockjob_event_has(event, BLOCKJOB_MEMBER_ERROR), all[i].error != NULL);
    }
}

/* Strings are UTF-8 with escapes resolved; U+0000, which would end them early, is U+FFFD. */
static void escapes_are_resolved_and_a_nul_does_not_end_a_string(void **state)
{
    blockjob_event *event = heard(*state,
        "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"a\\u0000b\", "
        "\"error\": \"Datei \\\"\\u00fc\\\" \\\\ \\ud83d\\ude00\\n\\u0000 \\/end\", "
        "\"type\": \"\\u0073tream\"}}");

    assert_text(blockjob_event_get_error(event),
                "Datei \"\xc3\xbc\" \\ \xf0\x9f\x98\x80\n\xef\xbf\xbd /end");
    assert_text(blockjob_event_get_job_id(event), "a\xef\xbf\xbd" "b");
    assert_text(blockjob_event_get_type_name(event), "stream");
    assert_int_equal(blockjob_event_get_type(event), BLOCKJOB_TYPE_STREAM);
}

static void connected_carries_the_greeting(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    connect_to(world->monitor, world->qemu);
    event = recorder_next(world->recorder);
    assert_event(event, (struct wanted){ .kind = BLOCKJOB_EVENT_CONNECTED, .name = "CONNECTED" });
    assert_text(blockjob_event_get_json(event), scripted_greeting);
    assert_null(blockjob_event_get_reason(event));
    assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
}

static void disconnected_says_why(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    then_hang_up(world->qemu);
    event = recorder_next(world->recorder);
    assert_event(event, (struct wanted){ .kind = BLOCKJOB_EVENT_DISCONNECTED,
                                         .name = "DISCONNECTED" });
    assert_non_null(blockjob_event_get_reason(event));
    assert_int_not_equal(strlen(blockjob_event_get_reason(event)), 0);
    assert_null(blockjob_event_get_json(event));
    assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
}

static void closed_says_why_and_is_the_last(void **state)
{
    struct world *world = *state;
    struct recorder *own = recorder_new();
    blockjob_event *event;

    record(world->listener, world->monitor, own);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_event(event, (struct wanted){ .kind = BLOCKJOB_EVENT_CLOSED, .name = "CLOSED" });
    assert_non_null(blockjob_event_get_reason(event));
    assert_null(blockjob_event_get_json(event));

    recorder_wait_freed(own, 1);
    event = recorder_get(own, recorder_count(own) - 1);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_CLOSED);
    recorder_destroy(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(completed_without_error_succeeded),
        test_connected(completed_with_error_failed),
        test_connected(cancelled_was_cancelled),
        test_connected(ready_has_no_outcome_yet),
        test_connected(pending_names_its_job_by_id),
        test_connected(error_has_action_and_operation),
        test_connected(status_is_a_number_and_a_word),
        test_connected(type_is_a_number_and_a_word),
        test_connected(unknown_words_and_members_survive),
        test_connected(what_is_absent_or_mistyped_is_told_from_minus_one),
        test_connected(timestamp_of_minus_one_is_absent),
        test_connected(line_tells_all_and_is_safe_to_show),
        test_connected(only_an_error_member_means_failed),
        test_connected(escapes_are_resolved_and_a_nul_does_not_end_a_string),
        test_in_world(connected_carries_the_greeting),
        test_connected(disconnected_says_why),
        test_connected(closed_says_why_and_is_the_last),
    };

    return run_all(tests);
}
