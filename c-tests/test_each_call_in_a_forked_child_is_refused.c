/*
 * Each function that takes a handle, with what it gives for one that was made before the fork:
 * -ECHILD, or NULL, or -1 of those getters that give it for none. Nothing is written or freed.
 * tests/exports.rs asks whether each function of the library stands here.
 */
#include "harness.h"
#include "log_keeper.h"

static struct {
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
    blockjob_event *event;
    blockjob_reply *reply;
    blockjob_info *info;
    blockjob_list *list;
} their; /* the parent's */

/* Freed by nobody in the child. */
static atomic_int freed;

static void count_free(void *opaque)
{
    (void)opaque;
    atomic_fetch_add(&freed, 1);
}

static void on_event(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void on_reply(blockjob_reply *reply, void *opaque)
{
    (void)reply;
    (void)opaque;
}

#define refuses(call) child_check((call) == -ECHILD)
#define is_null(call) child_check((call) == NULL)
#define is_none(call) child_check((call) == -1)

static void on_a_listener(void *argument)
{
    blockjob_listener *listener = their.listener;
    blockjob_monitor *monitor = NULL;
    blockjob_event *event = NULL;

    (void)argument;
    refuses(blockjob_listener_set_owner(listener, "child"));
    refuses(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP));
    refuses(blockjob_listener_get_fd(listener));
    refuses(blockjob_listener_dispatch(listener));
    refuses(blockjob_listener_next_event(listener, -1, &event));
    refuses(blockjob_listener_set_log(listener, BLOCKJOB_LOG_INFO, log_keeper_take, NULL,
                                      count_free));
    refuses(blockjob_callback_add(listener, their.monitor, "job", BLOCKJOB_EVENT_ALL, on_event,
                                  NULL, count_free));
    refuses(blockjob_callback_add_raw(listener, NULL, NULL, on_event, NULL, count_free));
    refuses(blockjob_callback_remove(listener, 1, 0));
    refuses(blockjob_monitor_new(listener, "unix:/x", &monitor));
    refuses(blockjob_listener_stop(listener));
    refuses(blockjob_listener_free(listener));
    child_check(monitor == NULL && event == NULL);
}

static void on_a_monitor(void *argument)
{
    blockjob_monitor *monitor = their.monitor;
    blockjob_reply *reply = NULL;
    blockjob_job *job = NULL;
    blockjob_list *list = NULL;
    int major = 5, minor = 6, micro = 7;

    (void)argument;
    is_null(blockjob_monitor_ref(monitor));
    is_null(blockjob_monitor_get_name(monitor));
    is_null(blockjob_monitor_get_address(monitor));
    refuses(blockjob_monitor_start(monitor));
    refuses(blockjob_monitor_connect(monitor, -1));
    refuses(blockjob_monitor_close(monitor));
    refuses(blockjob_monitor_get_state(monitor));
    refuses(blockjob_monitor_get_qemu_version(monitor, &major, &minor, &micro));
    refuses(blockjob_monitor_get_stat(monitor, BLOCKJOB_STAT_EVENTS));
    refuses(blockjob_monitor_set_name(monitor, "child"));
    refuses(blockjob_monitor_set_connect_timeout(monitor, 1));
    refuses(blockjob_monitor_set_line_limit(monitor, 4096));
    refuses(blockjob_monitor_set_reconnect(monitor, -1, -1));
    refuses(blockjob_monitor_set_lost_after(monitor, 1));
    refuses(blockjob_monitor_set_keepalive(monitor, 1, 1));
    refuses(blockjob_monitor_set_peer(monitor, -1, -1));
    refuses(blockjob_monitor_set_progress(monitor, 1));
    refuses(blockjob_monitor_set_marker(monitor, 1));
    refuses(blockjob_monitor_set_job_limit(monitor, 1));
    refuses(blockjob_monitor_set_oob(monitor, 1));
    refuses(blockjob_monitor_set_journal(monitor, "/x", NULL));
    refuses(blockjob_monitor_execute(monitor, "stop", NULL, 0, -1, &reply));
    refuses(blockjob_monitor_execute_with_fd(monitor, "getfd", NULL, 0, 0, -1, &reply));
    refuses(blockjob_monitor_execute_async(monitor, "stop", NULL, 0, -1, on_reply, NULL,
                                           count_free));
    refuses(blockjob_monitor_list_jobs(monitor, -1, &list));
    refuses(blockjob_job_new(monitor, NULL, 0, &job));
    blockjob_monitor_unref(monitor);
    child_check(reply == NULL && job == NULL && list == NULL);
    child_check(major == 5 && minor == 6 && micro == 7);
}

static void on_a_job(void *argument)
{
    blockjob_job *job = their.job;
    blockjob_event *event = NULL;
    blockjob_info *info = NULL;

    (void)argument;
    is_null(blockjob_job_get_id(job));
    refuses(blockjob_job_start(job, "block-stream", "{}", -1));
    refuses(blockjob_job_wait(job, -1, &event));
    refuses(blockjob_job_pause(job, -1));
    refuses(blockjob_job_resume(job, -1));
    refuses(blockjob_job_set_speed(job, 1, -1));
    refuses(blockjob_job_complete(job, -1));
    refuses(blockjob_job_cancel(job, 0, -1));
    refuses(blockjob_job_finalize(job, -1));
    refuses(blockjob_job_dismiss(job, -1));
    refuses(blockjob_job_get_info(job, -1, &info));
    blockjob_job_free(job);
    child_check(event == NULL && info == NULL);
}

static void on_an_info(void *argument)
{
    const blockjob_info *info = their.info;

    (void)argument;
    is_null(blockjob_info_get_job_id(info));
    is_null(blockjob_info_get_type_name(info));
    is_null(blockjob_info_get_status_name(info));
    is_null(blockjob_info_get_error(info));
    refuses(blockjob_info_get_type(info));
    refuses(blockjob_info_get_status(info));
    is_none(blockjob_info_get_len(info));
    is_none(blockjob_info_get_offset(info));
    is_none(blockjob_info_get_speed(info));
    is_none(blockjob_info_get_paused(info));
    is_none(blockjob_info_get_ready(info));
    is_none(blockjob_info_get_auto_finalize(info));
    is_none(blockjob_info_get_auto_dismiss(info));
    blockjob_info_free(their.info);
    refuses(blockjob_list_get_count(their.list));
    is_null(blockjob_list_get(their.list, 0));
    blockjob_list_free(their.list);
}

static void on_an_event(void *argument)
{
    blockjob_event *event = their.event;
    int64_t seconds = 1, microseconds = 2;

    (void)argument;
    is_null(blockjob_event_ref(event));
    is_null(blockjob_event_get_name(event));
    is_null(blockjob_event_get_monitor(event));
    is_null(blockjob_event_get_job_id(event));
    is_null(blockjob_event_get_type_name(event));
    is_null(blockjob_event_get_error(event));
    is_null(blockjob_event_get_status_name(event));
    is_null(blockjob_event_get_action(event));
    is_null(blockjob_event_get_operation(event));
    is_null(blockjob_event_get_reason(event));
    is_null(blockjob_event_get_position(event));
    is_null(blockjob_event_get_json(event));
    is_null(blockjob_event_get_line(event));
    is_null(blockjob_event_get_outcome_name(event));
    is_null(blockjob_event_get_reply(event));
    refuses(blockjob_event_get_kind(event));
    refuses(blockjob_event_get_type(event));
    refuses(blockjob_event_get_status(event));
    refuses(blockjob_event_get_process(event));
    refuses(blockjob_event_get_timestamp(event, &seconds, &microseconds));
    refuses(blockjob_event_has(event, BLOCKJOB_MEMBER_LEN));
    refuses(blockjob_event_get_outcome(event));
    refuses(blockjob_event_get_origin(event));
    refuses(blockjob_event_get_pivoted(event));
    refuses(blockjob_event_get_loss(event));
    refuses(blockjob_event_get_log_level(event));
    refuses(blockjob_event_acknowledge(event, -1));
    is_none(blockjob_event_get_len(event));
    is_none(blockjob_event_get_offset(event));
    is_none(blockjob_event_get_speed(event));
    is_none(blockjob_event_get_dropped(event));
    is_none(blockjob_event_get_recovered(event));
    blockjob_event_unref(event);
    child_check(seconds == 1 && microseconds == 2);
}

static void on_a_reply(void *argument)
{
    blockjob_reply *reply = their.reply;

    (void)argument;
    is_null(blockjob_reply_ref(reply));
    is_null(blockjob_reply_get_json(reply));
    is_null(blockjob_reply_get_error_class(reply));
    is_null(blockjob_reply_get_error_text(reply));
    refuses(blockjob_reply_get_result(reply));
    refuses(blockjob_reply_get_number(reply));
    blockjob_reply_unref(reply);
}

/* What needs no handle works on, and says why the others do not. */
static void on_nothing(void *argument)
{
    (void)argument;
    refuses(blockjob_listener_stop(their.listener));
    child_check(strstr(blockjob_last_error(), "fork") != NULL);
    is_null(blockjob_last_error_class());
    child_check(strcmp(blockjob_version(), "") != 0);
    child_check(atomic_load(&freed) == 0);
}

/* In this order, for the listener outlives what is had of it. */
static void on_everything(void *argument)
{
    on_an_event(argument);
    on_a_reply(argument);
    on_an_info(argument);
    on_a_job(argument);
    on_a_monitor(argument);
    on_a_listener(argument);
    on_nothing(argument);
}

/* In the parent each handle is as good as before. */
static void each_of_them_is_refused_and_the_parents_work(void **state)
{
    struct world *world = *state;

    their.listener = world->listener;
    their.monitor = world->monitor;
    their.job = handle_of(world, OWNER "-1", 0);
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, &their.reply), 0);
    then_list(world->qemu, "{'id': 'other', 'total-progress': 9}", "");
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &their.list), 0);
    start_job(world, their.job);
    then_list(world->qemu, "{'id': '" OWNER "-1', 'total-progress': 8}", "");
    assert_result(blockjob_job_get_info(their.job, -1, &their.info), 0);
    say_ended(world->qemu, OWNER "-1");
    assert_result(blockjob_job_wait(their.job, -1, &their.event), 0);

    child_run(on_everything, NULL);

    assert_int_equal(blockjob_event_get_kind(their.event), BLOCKJOB_EVENT_COMPLETED);
    assert_int_equal(blockjob_info_get_len(their.info), 8);
    assert_int_equal(blockjob_list_get_count(their.list), 1);
    assert_int_equal(blockjob_reply_get_result(their.reply), 0);
    /* The child's releases were none: the end is still to be acknowledged. */
    expect_nothing_sent(world);
    then_dismiss(world->qemu, OWNER "-1");
    blockjob_event_unref(their.event);
    blockjob_job_free(their.job);
    script_done(world->qemu);
    blockjob_info_free(their.info);
    blockjob_list_free(their.list);
    blockjob_reply_unref(their.reply);
    assert_int_equal(atomic_load(&freed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(each_of_them_is_refused_and_the_parents_work),
    };

    return run_all(tests);
}
