/*
 * A stream has no messages: the same bytes are understood one at a time, in odd pieces, several
 * messages at once, with either line's end, and spread over lines by a monitor with pretty=on.
 */
#include "harness.h"

static void assert_three_jobs(struct world *world)
{
    static const char *const jobs[] = { "first", "second", "third" };

    for (size_t i = 0; i < 3; i++) {
        blockjob_event *event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);

        assert_text(blockjob_event_get_job_id(event), jobs[i]);
        assert_int_equal(blockjob_event_get_len(event), 4096);
    }
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
}

static void in_pieces(void **state, size_t piece)
{
    struct world *world = *state;

    then_cut(world->qemu, piece);
    then_negotiate(world->qemu);
    say_completed(world->qemu, "first");
    say_completed(world->qemu, "second");
    say_completed(world->qemu, "third");
    assert_result(blockjob_monitor_start(world->monitor), 0);
    assert_three_jobs(world);
    script_done(world->qemu);
}

static void one_byte_at_a_time(void **state)
{
    in_pieces(state, 1);
}

static void seven_bytes_at_a_time(void **state)
{
    in_pieces(state, 7);
}

static void a_hundred_bytes_at_a_time(void **state)
{
    in_pieces(state, 100);
}

#define COMPLETED(job)                                                               \
    "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"" job "\", "       \
    "\"len\": 4096, \"offset\": 4096, \"speed\": 0, \"type\": \"stream\"}}"

static void several_in_one_write(void **state)
{
    struct world *world = *state;

    then_send(world->qemu,
              COMPLETED("first") "\r\n" COMPLETED("second") "\r\n" COMPLETED("third") "\r\n");
    assert_three_jobs(world);
}

/* Two and a half, then the other half. */
static void cut_in_the_middle_of_the_third(void **state)
{
    struct world *world = *state;

    then_send(world->qemu, COMPLETED("first") "\r\n" COMPLETED("second") "\r\n"
                           "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"th");
    then_wait_read(world->qemu);
    then_send(world->qemu, "ird\", \"len\": 4096}}\r\n");
    assert_three_jobs(world);
}

static void with_lf_alone_or_with_no_line_end_at_all(void **state)
{
    struct world *world = *state;

    then_send(world->qemu, "\n\r\n \t" COMPLETED("first") "\n" COMPLETED("second")
                           COMPLETED("third"));
    assert_three_jobs(world);
}

/* As QEMU 7.2 writes it: four spaces for each level, and CRLF within the message. */
static void spread_over_lines_by_a_pretty_monitor(void **state)
{
    static const char event[] =
        "{\r\n"
        "    \"timestamp\": {\r\n"
        "        \"seconds\": 1763912345,\r\n"
        "        \"microseconds\": 654321\r\n"
        "    },\r\n"
        "    \"event\": \"BLOCK_JOB_COMPLETED\",\r\n"
        "    \"data\": {\r\n"
        "        \"device\": \"first\",\r\n"
        "        \"len\": 4096,\r\n"
        "        \"offset\": 4096,\r\n"
        "        \"speed\": 0,\r\n"
        "        \"type\": \"stream\"\r\n"
        "    }\r\n"
        "}";
    struct world *world = *state;
    blockjob_event *received;
    int major = 0, minor = 0, micro = 0;

    then_accept(world->qemu);
    then_send(world->qemu,
              "{\r\n"
              "    \"QMP\": {\r\n"
              "        \"version\": {\r\n"
              "            \"qemu\": {\r\n"
              "                \"micro\": 22,\r\n"
              "                \"minor\": 2,\r\n"
              "                \"major\": 7\r\n"
              "            },\r\n"
              "            \"package\": \"\"\r\n"
              "        },\r\n"
              "        \"capabilities\": [\r\n"
              "            \"oob\"\r\n"
              "        ]\r\n"
              "    }\r\n"
              "}\r\n");
    then_expect(world->qemu, "qmp_capabilities");
    then_answer(world->qemu, "{\r\n    \"return\": {\r\n    },\r\n    \"id\": $ID\r\n}\r\n");
    then_list(world->qemu, "", "");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    assert_result(blockjob_monitor_get_qemu_version(world->monitor, &major, &minor, &micro), 0);
    assert_int_equal(major, 7);
    assert_int_equal(minor, 2);
    assert_int_equal(micro, 22);

    then_cut(world->qemu, 3);
    then_send(world->qemu, event);
    then_send(world->qemu, "\r\n");
    received = recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_json(received), event);
    assert_text(blockjob_event_get_job_id(received), "first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(one_byte_at_a_time),
        test_in_world(seven_bytes_at_a_time),
        test_in_world(a_hundred_bytes_at_a_time),
        test_connected(several_in_one_write),
        test_connected(cut_in_the_middle_of_the_third),
        test_connected(with_lf_alone_or_with_no_line_end_at_all),
        test_in_world(spread_over_lines_by_a_pretty_monitor),
    };

    return run_all(tests);
}
