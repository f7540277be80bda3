/*
 * A job that runs is paused, resumed, limited, finalized and cancelled by the command that this
 * QEMU has; each call returns QEMU's answer, or says why there is none.
 */
#include "harness.h"

/* One deed of each kind, to be refused alike. */
static int pause_job(void *job) { return blockjob_job_pause(job, -1); }
static int resume_job(void *job) { return blockjob_job_resume(job, -1); }
static int limit_job(void *job) { return blockjob_job_set_speed(job, 1 << 20, -1); }
static int complete_job(void *job) { return blockjob_job_complete(job, -1); }
static int cancel_job(void *job) { return blockjob_job_cancel(job, 0, -1); }
static int force_job(void *job) { return blockjob_job_cancel(job, BLOCKJOB_CANCEL_FORCE, -1); }
static int finalize_job(void *job) { return blockjob_job_finalize(job, -1); }

static const struct deed {
    int (*ask)(void *job);
    const char *command; /* of QEMU 7.2 */
    int of_1_1;          /* what a QEMU 1.1 makes of it: an errno, or 0 when it is asked */
} deeds[] = {
    { pause_job, "'job-pause','arguments':{'id':'j'}", -EOPNOTSUPP },
    { resume_job, "'job-resume','arguments':{'id':'j'}", -EOPNOTSUPP },
    { limit_job, "'block-job-set-speed','arguments':{'device':'j','speed':1048576}", 0 },
    { complete_job, "'job-complete','arguments':{'id':'j'}", -EOPNOTSUPP },
    { cancel_job, "'block-job-cancel','arguments':{'device':'j'}", 0 },
    { force_job, "'block-job-cancel','arguments':{'device':'j','force':true}", -EOPNOTSUPP },
    { finalize_job, "'job-finalize','arguments':{'id':'j'}", -EOPNOTSUPP },
};
enum { DEEDS = sizeof deeds / sizeof *deeds };

static void expect_command(struct world *world, const char *command)
{
    char wanted[256];

    snprintf(wanted, sizeof wanted, "%s", command);
    for (char *c = wanted; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    then_expect(world->qemu, wanted);
}

static void refuse_with(struct world *world, const char *class)
{
    char answer[256];

    snprintf(answer, sizeof answer,
             "{\"id\": $ID, \"error\": {\"class\": \"%s\", \"desc\": \"not now\"}}\r\n", class);
    then_answer(world->qemu, answer);
}

static void by_the_command_that_qemu_has(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    say_begun(world->qemu, "j");
    for (size_t i = 0; i < DEEDS; i++) {
        expect_command(world, deeds[i].command);
        then_return(world->qemu);
        assert_result(deeds[i].ask(job), 0);
        expect_command(world, deeds[i].command);
        refuse_with(world, "GenericError");
        assert_result(deeds[i].ask(job), -EREMOTEIO);
        assert_non_null(strstr(blockjob_last_error(), "job j: GenericError: not now"));
    }
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void and_an_old_one_that_lacks_it_is_named(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    then_accept(world->qemu);
    then_send(world->qemu, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 1, "
                           "\"major\": 1}, \"package\": \"\"}, \"capabilities\": []}}\r\n");
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_expect(world->qemu, "query-block-jobs");
    then_answer_list(world->qemu, "{'device': 'j', 'type': 'stream', 'len': 9, 'offset': 1, "
                                  "'speed': 0}");
    assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
    for (size_t i = 0; i < DEEDS; i++) {
        if (deeds[i].of_1_1 == 0) {
            expect_command(world, deeds[i].command);
            then_return(world->qemu);
        }
        assert_result(deeds[i].ask(job), deeds[i].of_1_1);
        if (deeds[i].of_1_1 != 0) {
            assert_non_null(strstr(blockjob_last_error(), "QEMU 1.1 has no command to "));
        }
    }
    script_done(world->qemu);
    blockjob_job_free(job);
}

/* Whether it is none QEMU tells by not knowing it, unless it was listed. */
static void a_job_that_is_no_block_job_has_no_speed(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    say_begun(world->qemu, "j");
    expect_command(world, deeds[2].command);
    refuse_with(world, "DeviceNotActive");
    assert_result(limit_job(job), -EOPNOTSUPP);
    assert_non_null(strstr(blockjob_last_error(), "no block job"));
    expect_command(world, deeds[4].command);
    refuse_with(world, "DeviceNotActive");
    expect_command(world, "'job-cancel','arguments':{'id':'j'}");
    then_return(world->qemu);
    assert_result(cancel_job(job), 0);
    script_done(world->qemu);
    blockjob_job_free(job);
}

static void unless_it_has_ended(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);
    blockjob_event *event = NULL;

    say_job(world->qemu, "j");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    for (size_t i = 0; i < DEEDS; i++) {
        assert_result(deeds[i].ask(job), -ENOENT);
    }
    expect_nothing_sent(world);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

static void without_a_connection_nothing_is_sent(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    for (size_t i = 0; i < DEEDS; i++) {
        assert_result(deeds[i].ask(job), -ENOTCONN);
    }
    for (size_t i = 0; i < DEEDS; i++) {
        then_accept(world->qemu);
        then_greet(world->qemu);
        then_expect(world->qemu, "qmp_capabilities");
        then_return(world->qemu);
        then_list(world->qemu, "{'id': 'j', 'status': 'running'}", "");
        assert_result(blockjob_monitor_connect(world->monitor, -1), 0);
        expect_command(world, deeds[i].command);
        then_hang_up(world->qemu);
        assert_result(deeds[i].ask(job), -ECONNRESET);
        script_done(world->qemu);
    }
    assert_result(blockjob_monitor_close(world->monitor), 0);
    for (size_t i = 0; i < DEEDS; i++) {
        assert_result(deeds[i].ask(job), -ESHUTDOWN);
    }
    blockjob_job_free(job);
}

static void an_answer_that_is_late_harms_nothing(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    say_begun(world->qemu, "j");
    assert_result(blockjob_job_pause(job, 0), -ETIMEDOUT);
    assert_result(blockjob_job_resume(job, 0), -ETIMEDOUT);
    assert_result(blockjob_job_set_speed(job, 0, 0), -ETIMEDOUT);
    assert_result(blockjob_job_finalize(job, 0), -ETIMEDOUT);
    for (size_t i = 0; i < 4; i++) {
        then_expect(world->qemu, "\"arguments\":");
        then_return(world->qemu);
    }
    expect_nothing_sent(world);
    blockjob_job_free(job);
}

static void too_many_without_an_answer_are_refused(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    say_begun(world->qemu, "j");
    for (int i = 0; i < 8192; i++) {
        assert_result(blockjob_job_pause(job, 0), -ETIMEDOUT);
    }
    for (size_t i = 0; i < DEEDS; i++) {
        assert_result(deeds[i].ask(job), -ENOBUFS);
    }
    blockjob_job_free(job);
}

static void until_the_listener_is_stopped(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);
    struct call calls[DEEDS];

    for (size_t i = 0; i < DEEDS; i++) {
        call_start(&calls[i], deeds[i].ask, job);
    }
    for (size_t i = 0; i < DEEDS; i++) {
        call_settle(&calls[i]);
    }
    assert_result(blockjob_listener_stop(world->listener), 0);
    for (size_t i = 0; i < DEEDS; i++) {
        assert_int_equal(call_join(&calls[i]), -ESHUTDOWN);
    }
    blockjob_job_free(job);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct world *world = *state;
    blockjob_job *job = handle_of(world, "j", 0);

    for (size_t i = 0; i < DEEDS; i++) {
        assert_result(deeds[i].ask(NULL), -EINVAL);
    }
    assert_result(blockjob_job_dismiss(NULL, -1), -EINVAL);
    assert_result(blockjob_job_set_speed(job, -1, -1), -EINVAL);
    assert_non_null(strstr(blockjob_last_error(), "speed is -1"));
    assert_result(blockjob_job_set_speed(job, 1, -2), -EINVAL);
    assert_result(blockjob_job_pause(job, -2), -EINVAL);
    assert_result(blockjob_job_resume(job, -2), -EINVAL);
    assert_result(blockjob_job_finalize(job, -2), -EINVAL);
    assert_result(blockjob_job_dismiss(job, -2), -EINVAL);
    blockjob_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(by_the_command_that_qemu_has),
        test_owned(and_an_old_one_that_lacks_it_is_named),
        test_owned_connected(a_job_that_is_no_block_job_has_no_speed),
        test_owned_connected(unless_it_has_ended),
        test_owned(without_a_connection_nothing_is_sent),
        test_owned_connected(an_answer_that_is_late_harms_nothing),
        test_owned_connected(until_the_listener_is_stopped),
        test_owned_connected(too_many_without_an_answer_are_refused),
        test_owned_connected(what_makes_no_sense_is_refused),
    };

    return run_all(tests);
}
