/*
 * A fault of the library's own: a panic in a call, on the reader's thread, where callbacks run, or
 * in a helper. It never leaves the library and nobody waits for ever: the call that has it gives
 * -ENOTRECOVERABLE, a helper's work has failed, and after a thread's the listener is as stopped.
 * For a library with planted.patch, which panics where it meets one of the words below.
 */
#include "harness.h"
#include "log_keeper.h"

#include <fcntl.h>

/* All that the process writes to standard error meanwhile is kept. */
static int held_stderr = -1, kept_stderr = -1;

static void hold_stderr(void)
{
    char path[] = "/tmp/blockjob-stderr-XXXXXX";

    held_stderr = dup(STDERR_FILENO);
    kept_stderr = mkstemp(path);
    assert_true(held_stderr >= 0 && kept_stderr >= 0);
    unlink(path);
    dup2(kept_stderr, STDERR_FILENO);
}

static void assert_stderr_said(const char *words)
{
    char text[4096] = "";

    dup2(held_stderr, STDERR_FILENO);
    close(held_stderr);
    assert_true(pread(kept_stderr, text, sizeof text - 1, 0) >= 0);
    close(kept_stderr);
    if (strstr(text, words) == NULL) {
        fail_msg("standard error should say \"%s\", and says \"%s\"", words, text);
    }
}

static struct log_keeper *keep_log(struct world *world)
{
    struct log_keeper *log = log_keeper_new();

    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_ERROR, log_keeper_take,
                                            log, log_keeper_release), 0);
    return log;
}

static void end_log(struct world *world, struct log_keeper *log)
{
    end_listener(world);
    assert_int_equal(log_keeper_freed(log), 1);
    log_keeper_destroy(log);
}

static void assert_logged(struct log_keeper *log, const char *words)
{
    char *line = log_keeper_find(log, words);

    assert_int_equal(line[0] - '0', BLOCKJOB_LOG_ERROR);
    free(line);
}

/* Nothing can be had of the listener any more, at once, and it can be freed. */
static void assert_as_stopped(struct world *world)
{
    blockjob_monitor *monitor = NULL;
    blockjob_job *job = NULL;

    wait_until(blockjob_monitor_get_state(world->monitor) == BLOCKJOB_STATE_CLOSED);
    assert_result(blockjob_monitor_connect(world->monitor, -1), -ESHUTDOWN);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL), -ESHUTDOWN);
    assert_result(blockjob_monitor_new(world->listener, "unix:/x", &monitor), -ESHUTDOWN);
    assert_result(blockjob_job_new(world->monitor, "later", 0, &job), -ESHUTDOWN);
    wait_until(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                     gate_callback, world->gate, NULL) == -ESHUTDOWN);
}

static int execute(void *monitor)
{
    return blockjob_monitor_execute(monitor, "stop", NULL, 0, -1, NULL);
}

static int wait_for_job(void *job)
{
    blockjob_event *event = NULL;
    int result = blockjob_job_wait(job, -1, &event);

    if (result == 0 && blockjob_event_get_loss(event) != BLOCKJOB_LOSS_CLOSED) {
        result = -EBADMSG;
    }
    blockjob_event_unref(event);
    return result;
}

/* The call says so, frees what it was given, and all else goes on. */
static void in_a_call(void **state)
{
    struct world *world = *state;
    struct recorder *never = recorder_new();
    int result;

    hold_stderr();
    result = blockjob_monitor_set_name(world->monitor, "planted-in-a-call");
    assert_stderr_said("planted");
    assert_int_equal(result, -ENOTRECOVERABLE);
    assert_non_null(strstr(blockjob_last_error(), "a fault inside libblockjob"));
    assert_non_null(strstr(blockjob_last_error(), "planted"));
    assert_result(blockjob_callback_add(world->listener, NULL, "planted-in-a-call",
                                        BLOCKJOB_EVENT_ALL, recorder_callback, never,
                                        recorder_release), -ENOTRECOVERABLE);
    assert_int_equal(recorder_freed(never), 1);
    recorder_destroy(never);
    say_completed(world->qemu, "job");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "job");
}

/* Who waits is answered, who listens is told that the monitor is closed, and what is lost by it. */
static void on_the_readers_thread(void **state)
{
    struct world *world = *state;
    struct log_keeper *log = keep_log(world);
    struct recorder *ends = recorder_new();
    struct answers *answers = answers_new();
    blockjob_job *job = handle_of(world, "job", 0);
    struct call waits, executes;
    blockjob_event *event;

    assert_true(blockjob_callback_add(world->listener, world->monitor, "job", BLOCKJOB_EVENT_FINAL,
                                      recorder_callback, ends, recorder_release) > 0);
    say_status(world->qemu, "job", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    call_start(&waits, wait_for_job, job);
    call_settle(&waits);
    call_start(&executes, execute, world->monitor);
    then_expect(world->qemu, "\"stop\"");
    script_done(world->qemu);
    assert_true(blockjob_monitor_execute_async(world->monitor, "cont", NULL, 0, -1,
                                               answers_callback, answers, answers_release) > 0);
    hold_stderr();
    then_say(world->qemu, "{'event': 'planted-in-the-reader'}");
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_stderr_said("blockjob-read");
    assert_non_null(strstr(blockjob_event_get_reason(event), "a fault inside libblockjob"));
    assert_int_equal(call_join(&waits), 0);
    assert_int_equal(call_join(&executes), -ECONNRESET);
    assert_int_equal(blockjob_event_get_loss(recorder_next(ends)), BLOCKJOB_LOSS_CLOSED);
    assert_logged(log, "a fault inside libblockjob");
    assert_as_stopped(world);
    recorder_wait_freed(ends, 1); /* it was for this monitor alone */
    blockjob_job_free(job);
    end_log(world, log);
    answers_wait_freed(answers, 1);
    assert_int_equal(answers_count(answers), 1);
    answers_destroy(answers);
    recorder_destroy(ends);
}

/* The monitor cannot be closed as others are: CLOSED alone is told, and nothing of its jobs. */
static void on_the_readers_thread_and_again(void **state)
{
    struct world *world = *state;
    struct log_keeper *log = keep_log(world);
    blockjob_job *job = handle_of(world, "job", 0);
    struct call waits;

    call_start(&waits, wait_for_job, job);
    call_settle(&waits);
    then_say(world->qemu, "{'event': 'planted-twice'}");
    assert_int_equal(call_join(&waits), -ESHUTDOWN);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_logged(log, "a fault inside libblockjob");
    assert_as_stopped(world);
    blockjob_job_free(job);
    end_log(world, log);
}

/* What there is can be taken; then there is nothing to wait for. */
static void on_the_readers_thread_of_a_loop(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener), count;

    record(world->listener, NULL, world->recorder);
    then_say(world->qemu, "{'event': 'planted-in-the-reader'}");
    do {
        wait_until_readable(fd);
        count = blockjob_listener_dispatch(world->listener);
    } while (count >= 0);
    assert_int_equal(count, -ESHUTDOWN);
    assert_true(is_readable(fd));
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_as_stopped(world);
    end_listener(world);
}

static void on_the_readers_thread_of_a_program_that_pulls(void **state)
{
    struct world *world = *state;
    blockjob_event *event = NULL;
    int kind = 0, result;

    subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    then_say(world->qemu, "{'event': 'planted-in-the-reader'}");
    while ((result = blockjob_listener_next_event(world->listener, -1, &event)) == 0) {
        kind = blockjob_event_get_kind(event);
        blockjob_event_unref(event);
    }
    assert_int_equal(result, -ESHUTDOWN);
    assert_int_equal(kind, BLOCKJOB_EVENT_CLOSED);
    end_listener(world);
}

/* Nobody is called any more: the log has it, and the calls that wait return. */
static void where_callbacks_run(void **state)
{
    struct world *world = *state;
    struct log_keeper *log = keep_log(world);
    blockjob_job *job = handle_of(world, "job", 0);
    struct call waits;

    call_start(&waits, wait_for_job, job);
    call_settle(&waits);
    hold_stderr();
    say_completed(world->qemu, "planted-before");
    wait_until(blockjob_monitor_get_state(world->monitor) == BLOCKJOB_STATE_CLOSED);
    assert_stderr_said("blockjob-call");
    assert_int_equal(call_join(&waits), -ESHUTDOWN);
    assert_logged(log, "a fault inside libblockjob");
    assert_as_stopped(world);
    blockjob_job_free(job);
    end_log(world, log);
    assert_int_equal(recorder_freed(world->recorder), 1);
}

struct removal {
    blockjob_listener *listener;
    int64_t id;
};

static int remove_it(void *argument)
{
    struct removal *removal = argument;

    return blockjob_callback_remove(removal->listener, removal->id, 0);
}

/* Who waits for the callback that ran then does not wait for ever either. */
static void where_callbacks_run_while_one_is_removed(void **state)
{
    struct world *world = *state;
    struct removal removal = { .listener = world->listener };
    struct call call;

    assert_result(blockjob_callback_remove(world->listener, world->recording, 0), 0);
    removal.id = blockjob_callback_add(world->listener, NULL, "planted-after",
                                       BLOCKJOB_EVENT_COMPLETED, gate_callback, world->gate, NULL);
    assert_true(removal.id > 0);
    say_completed(world->qemu, "planted-after");
    gate_wait_entered(world->gate);
    call_start(&call, remove_it, &removal);
    call_settle(&call);
    gate_open(world->gate);
    assert_int_equal(call_join(&call), 0);
    assert_as_stopped(world);
    end_listener(world);
}

/* What was in hand is lost with it, so the listener does not go on as if nothing were. */
static void where_the_program_runs_callbacks(void **state)
{
    struct world *world = *state;
    int fd = blockjob_listener_get_fd(world->listener);

    record(world->listener, NULL, world->recorder);
    say_completed(world->qemu, "planted-before");
    wait_until_readable(fd);
    assert_result(blockjob_listener_dispatch(world->listener), -ENOTRECOVERABLE);
    assert_true(is_readable(fd));
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    assert_as_stopped(world);
    end_listener(world);
}

static void where_the_program_pulls(void **state)
{
    struct world *world = *state;
    blockjob_event *event = NULL;

    subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    say_completed(world->qemu, "planted-before");
    assert_result(blockjob_listener_next_event(world->listener, -1, &event), -ENOTRECOVERABLE);
    assert_null(event);
    assert_result(blockjob_listener_next_event(world->listener, -1, &event), -ESHUTDOWN);
    end_listener(world);
}

/* A job that only the journal could tell of is lost, and the log says why. */
static void where_a_journal_is_read(void **state)
{
    struct world *world = *state;
    struct log_keeper *log = log_keeper_new();
    blockjob_job *job;
    blockjob_event *event = NULL;
    char path[128], *line;
    int file;

    snprintf(path, sizeof path, "%s/planted", scripted_monitor_directory(world->qemu));
    file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(write(file, "{}\n", 3) == 3);
    close(file);
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_INFO, log_keeper_take,
                                            log, log_keeper_release), 0);
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    job = handle_of(world, "before", BLOCKJOB_JOB_EXISTS);
    connect_to(world->monitor, world->qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    line = log_keeper_find(log, "a fault inside libblockjob");
    assert_non_null(strstr(line, path));
    free(line);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    unlink(path);
    end_log(world, log);
}

static void where_a_host_is_looked_up(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_monitor_new(world->listener, "tcp:planted:1", &monitor), 0);
    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -ENOTRECOVERABLE);
    say_completed(world->qemu, "job");
    assert_text(blockjob_event_get_job_id(
                    recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED)), "job");
    blockjob_monitor_unref(monitor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(in_a_call),
        test_connected(on_the_readers_thread),
        test_connected(on_the_readers_thread_and_again),
        test_loop(on_the_readers_thread_of_a_loop),
        test_pull(on_the_readers_thread_of_a_program_that_pulls),
        test_connected(where_callbacks_run),
        test_connected(where_callbacks_run_while_one_is_removed),
        test_loop(where_the_program_runs_callbacks),
        test_pull(where_the_program_pulls),
        test_in_world(where_a_journal_is_read),
        test_connected(where_a_host_is_looked_up),
    };

    return run_all(tests);
}
