/*
 * In a forked child the threads are gone and the descriptors are shared: every call on an inherited
 * handle says -ECHILD, no free function runs, and nothing the child does or leaves undone touches
 * the parent's connection. The child may have a listener of its own.
 */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

/* A job handle of the parent's, in the tests that make one. */
static blockjob_job *inherited;
static blockjob_list *inherited_list;
static const blockjob_info *inherited_info; /* in it */

static void touch_everything(void *argument)
{
    struct world *world = argument;
    struct recorder *recorder = world->recorder;
    blockjob_monitor *monitor = (blockjob_monitor *)&monitor;
    blockjob_monitor *untouched = monitor;
    blockjob_job *made = NULL;
    blockjob_info *look = NULL;
    blockjob_list *list = NULL;
    blockjob_event *event = NULL;
    int major = 5, minor = 6, micro = 7;

    child_check(blockjob_monitor_new(world->listener, "unix:/x", &monitor) == -ECHILD);
    child_check(monitor == untouched);
    child_check(strlen(blockjob_last_error()) > 0);
    child_check(blockjob_monitor_set_name(world->monitor, "child") == -ECHILD);
    child_check(blockjob_monitor_set_connect_timeout(world->monitor, 1) == -ECHILD);
    child_check(blockjob_monitor_set_line_limit(world->monitor, 4096) == -ECHILD);
    child_check(blockjob_monitor_start(world->monitor) == -ECHILD);
    child_check(blockjob_monitor_connect(world->monitor, -1) == -ECHILD);
    child_check(blockjob_monitor_get_state(world->monitor) == -ECHILD);
    child_check(blockjob_monitor_get_name(world->monitor) == NULL);
    child_check(blockjob_monitor_get_address(world->monitor) == NULL);
    child_check(blockjob_monitor_ref(world->monitor) == NULL);
    child_check(blockjob_monitor_get_qemu_version(world->monitor, &major, &minor, &micro)
                == -ECHILD);
    child_check(major == 5 && minor == 6 && micro == 7);
    child_check(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                      recorder_callback, recorder, recorder_release) == -ECHILD);
    child_check(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_INFO, NULL, recorder,
                                          recorder_release) == -ECHILD);
    child_check(blockjob_monitor_get_stat(world->monitor, BLOCKJOB_STAT_EVENTS) == -ECHILD);
    child_check(blockjob_callback_remove(world->listener, world->recording, 0) == -ECHILD);
    child_check(blockjob_monitor_close(world->monitor) == -ECHILD);
    child_check(blockjob_listener_stop(world->listener) == -ECHILD);
    child_check(blockjob_listener_free(world->listener) == -ECHILD);
    child_check(blockjob_listener_set_owner(world->listener, "child") == -ECHILD);
    child_check(blockjob_monitor_set_reconnect(world->monitor, -1, -1) == -ECHILD);
    child_check(blockjob_monitor_set_lost_after(world->monitor, 1) == -ECHILD);
    child_check(blockjob_monitor_set_keepalive(world->monitor, 1, 1) == -ECHILD);
    child_check(blockjob_monitor_set_marker(world->monitor, 1) == -ECHILD);
    child_check(blockjob_monitor_set_peer(world->monitor, -1, -1) == -ECHILD);
    child_check(blockjob_monitor_set_job_limit(world->monitor, 1) == -ECHILD);
    child_check(blockjob_monitor_set_journal(world->monitor, "/x", NULL) == -ECHILD);
    child_check(blockjob_job_new(world->monitor, NULL, 0, &made) == -ECHILD);
    child_check(made == NULL);
    child_check(blockjob_monitor_set_progress(world->monitor, 1) == -ECHILD);
    child_check(blockjob_monitor_list_jobs(world->monitor, -1, &list) == -ECHILD);
    child_check(list == NULL);
    if (inherited_list != NULL) {
        child_check(blockjob_list_get_count(inherited_list) == -ECHILD);
        child_check(blockjob_list_get(inherited_list, 0) == NULL);
        child_check(blockjob_info_get_type(inherited_info) == -ECHILD);
        child_check(blockjob_info_get_job_id(inherited_info) == NULL);
        child_check(blockjob_info_get_len(inherited_info) == -1);
        blockjob_list_free(inherited_list);
    }
    if (inherited != NULL) {
        child_check(blockjob_job_get_id(inherited) == NULL);
        child_check(blockjob_job_start(inherited, "block-stream", "{}", -1) == -ECHILD);
        child_check(blockjob_job_wait(inherited, -1, &event) == -ECHILD);
        child_check(event == NULL);
        child_check(blockjob_job_complete(inherited, -1) == -ECHILD);
        child_check(blockjob_job_cancel(inherited, 0, -1) == -ECHILD);
        child_check(blockjob_job_pause(inherited, -1) == -ECHILD);
        child_check(blockjob_job_resume(inherited, -1) == -ECHILD);
        child_check(blockjob_job_finalize(inherited, -1) == -ECHILD);
        child_check(blockjob_job_dismiss(inherited, -1) == -ECHILD);
        child_check(blockjob_job_set_speed(inherited, 1, -1) == -ECHILD);
        child_check(blockjob_job_get_info(inherited, -1, &look) == -ECHILD);
        child_check(look == NULL);
        blockjob_job_free(inherited);
    }
    blockjob_monitor_unref(world->monitor);
    child_check(recorder_freed(recorder) == 0);
}

static void calls_in_the_child_give_echild(void **state)
{
    struct world *world = *state;

    child_run(touch_everything, world);

    /* The parent has noticed nothing. */
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTED);
    say_completed(world->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "after");
    assert_int_equal(recorder_freed(world->recorder), 0);
}

/* The parent waits for a job, and has an end that is not acknowledged yet. */
static int wait_for_job(void *event)
{
    return blockjob_job_wait(inherited, -1, event);
}

static void job_handles_give_echild_and_the_parents_still_work(void **state)
{
    struct world *world = *state;
    blockjob_event *event = NULL;
    struct call call;

    then_list(world->qemu, "{'id': 'other', 'total-progress': 9}", "");
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &inherited_list), 0);
    inherited_info = blockjob_list_get(inherited_list, 0);
    assert_result(blockjob_job_new(world->monitor, "job", 0, &inherited), 0);
    call_start(&call, wait_for_job, &event);
    call_settle(&call);
    child_run(touch_everything, world);
    say_completed(world->qemu, "job");
    assert_int_equal(call_join(&call), 0);
    child_run(touch_everything, world);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_COMPLETED);
    blockjob_event_unref(event);
    blockjob_job_free(inherited);
    inherited = NULL;
    assert_int_equal(blockjob_info_get_len(inherited_info), 9);
    blockjob_list_free(inherited_list);
    inherited_list = NULL;
}

static void do_nothing(void *argument)
{
    (void)argument;
}

static void a_child_that_only_exits_is_harmless(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 5; i++) {
        child_run(do_nothing, NULL);
    }
    say_completed(world->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "after");
}

/* The fork takes a copy of whatever the library's threads held at that moment: no lock may stay. */
static void fork_in_the_middle_of_a_flood(void **state)
{
    struct world *world = *state;

    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 200; i++) {
            say_status(world->qemu, "busy", i % 2 == 0 ? "running" : "paused");
        }
        child_run(touch_everything, world);
    }
    say_completed(world->qemu, "after");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED);
}

/* A callback is running, so its listener is as busy as it can be. */
static void fork_while_a_callback_runs(void **state)
{
    struct world *world = *state;

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      gate_callback, world->gate, NULL) > 0);
    say_completed(world->qemu, "job");
    gate_wait_entered(world->gate);
    child_run(touch_everything, world);
    gate_open(world->gate);
    recorder_next(world->recorder);
    say_completed(world->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "after");
}

/* The fork that a callback does itself, as a daemon that runs a hook at the end of a job would. */
struct forker {
    struct world *world;
    atomic_int status;
};

static void fork_inside(blockjob_event *event, void *opaque)
{
    struct forker *forker = opaque;
    pid_t child = fork();
    int status = -1;

    (void)event;
    if (child == 0) {
        child_begin();
        touch_everything(forker->world);
        child_end();
    }
    if (child > 0) {
        waitpid(child, &status, 0);
    }
    atomic_store(&forker->status, status);
}

static void fork_inside_a_callback(void **state)
{
    struct world *world = *state;
    struct forker forker = { .world = world };

    atomic_store(&forker.status, -2);
    assert_true(blockjob_callback_add(world->listener, NULL, "fork", BLOCKJOB_EVENT_COMPLETED,
                                      fork_inside, &forker, NULL) > 0);
    say_completed(world->qemu, "fork");
    wait_until(atomic_load(&forker.status) != -2);
    assert_int_equal(atomic_load(&forker.status), 0);
    recorder_next(world->recorder);
    say_completed(world->qemu, "after");
    assert_text(blockjob_event_get_job_id(recorder_next(world->recorder)), "after");
}

/* Of the whole library only what needs no handle works on: the version, and the last error. */
static void read_an_event(void *argument)
{
    blockjob_event *event = argument;
    int64_t seconds = 1, microseconds = 2;

    child_check(blockjob_event_ref(event) == NULL);
    child_check(blockjob_event_get_kind(event) == -ECHILD);
    child_check(blockjob_event_get_log_level(event) == -ECHILD);
    child_check(blockjob_event_get_outcome(event) == -ECHILD);
    child_check(blockjob_event_get_type(event) == -ECHILD);
    child_check(blockjob_event_get_status(event) == -ECHILD);
    child_check(blockjob_event_has(event, BLOCKJOB_MEMBER_LEN) == -ECHILD);
    child_check(blockjob_event_get_timestamp(event, &seconds, &microseconds) == -ECHILD);
    child_check(seconds == 1 && microseconds == 2);
    child_check(blockjob_event_get_len(event) == -1);
    child_check(blockjob_event_get_job_id(event) == NULL);
    child_check(blockjob_event_get_outcome_name(event) == NULL);
    child_check(blockjob_event_get_line(event) == NULL);
    child_check(blockjob_event_get_monitor(event) == NULL);
    blockjob_event_unref(event);
    child_check(strcmp(blockjob_version(), "") != 0);
    child_check(strstr(blockjob_last_error(), "fork") != NULL);
}

static void events_of_the_parent_are_refused_too(void **state)
{
    struct world *world = *state;
    blockjob_event *event;

    say_completed(world->qemu, "kept");
    event = recorder_next(world->recorder);
    child_run(read_an_event, event);
    assert_text(blockjob_event_get_job_id(event), "kept");
}

/* The scripted monitor lives in the parent; the child's listener connects to it like any other. */
static void listen_anew(void *argument)
{
    struct scripted_monitor *qemu = argument;
    struct recorder *recorder = recorder_new();
    struct timespec end = patience_end();
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;

    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_callback_add(listener, NULL, "for-the-child", BLOCKJOB_EVENT_COMPLETED,
                                      recorder_callback, recorder, recorder_release) > 0);
    child_check(blockjob_monitor_new(listener, scripted_monitor_address(qemu), &monitor) == 0);
    child_check(blockjob_monitor_connect(monitor, PATIENCE_SECONDS * 1000) == 0);
    while (recorder_count(recorder) == 0) {
        child_check(patience_pause(&end));
    }
    child_check(blockjob_listener_free(listener) == 0);
    child_check(recorder_freed(recorder) == 1);
    blockjob_monitor_unref(monitor);
    recorder_destroy(recorder);
}

/*
 * Several times, because what the parent's threads were at when it forked is a matter of chance: a
 * flood keeps all of them busy.
 */
static void the_child_may_have_its_own(void **state)
{
    enum { CHILDREN = 60 };
    struct world *world = *state;
    struct scripted_monitor *qemu = scripted_monitor_new();

    for (int i = 0; i < CHILDREN; i++) {
        then_negotiate(qemu);
        say_completed(qemu, "for-the-child");
        for (int j = 0; j < 100; j++) {
            say_status(world->qemu, "busy", j % 2 == 0 ? "running" : "paused");
        }
        child_run(listen_anew, qemu);
        script_done(qemu);
    }
    say_completed(world->qemu, "for-the-parent");
    assert_text(blockjob_event_get_job_id(
                    recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED)),
                "for-the-parent");
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(calls_in_the_child_give_echild),
        test_connected(job_handles_give_echild_and_the_parents_still_work),
        test_connected(a_child_that_only_exits_is_harmless),
        test_connected(fork_in_the_middle_of_a_flood),
        test_connected(fork_while_a_callback_runs),
        test_connected(fork_inside_a_callback),
        test_connected(events_of_the_parent_are_refused_too),
        test_connected(the_child_may_have_its_own),
    };

    return run_all(tests);
}
