/*
 * Inside a callback, a log function and every free function each function of the library does what
 * the header says: it works, or it returns -EDEADLK at once where it would wait for itself. Every
 * deed of the table below is done at every place, in a world of its own.
 */
#include "harness.h"
#include "log_keeper.h"

/* What a deed has to work with; made before, taken down after. */
struct scene {
    struct world *world;
    blockjob_job *job;         /* a handle of a job that was not started */
    blockjob_job *running;     /* one whose job runs */
    blockjob_event *end;       /* how a job ended, which nobody has taken yet */
    struct taker *taker;       /* whose claim and reference that was */
    int64_t other;             /* a registration that does nothing */
    struct recorder *recorder; /* its recorder */
    struct scripted_monitor *second_qemu;
    blockjob_monitor *second;
    /* Filled in where it is done. */
    const struct deed *deed;
    int64_t own; /* the registration whose callback or free it is done in */
    bool takes_itself_away;
    int64_t result;
    atomic_int done;
};

struct deed {
    const char *name;
    int64_t (*act)(struct scene *scene);
    int64_t expected; /* SOME: any number above 0 */
};

#define SOME INT64_MAX
#define LONG_ENOUGH (PATIENCE_SECONDS * 1000)

static int64_t start_a_job(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"block-stream\"");
    then_return(scene->world->qemu);
    return blockjob_job_start(scene->job, "block-stream", "{\"device\":\"d1\"}", LONG_ENOUGH);
}

static int64_t wait_for_a_job(struct scene *scene)
{
    blockjob_event *event = NULL;
    int result;

    say_ended(scene->world->qemu, blockjob_job_get_id(scene->running));
    result = blockjob_job_wait(scene->running, LONG_ENOUGH, &event);
    blockjob_event_unref(event);
    return result;
}

static int64_t wait_in_vain(struct scene *scene)
{
    blockjob_event *event = NULL;

    return blockjob_job_wait(scene->job, 5, &event);
}

static int64_t cancel_a_job(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"block-job-cancel\"");
    then_return(scene->world->qemu);
    return blockjob_job_cancel(scene->running, 0, LONG_ENOUGH);
}

static int64_t complete_a_job(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"job-complete\"");
    then_return(scene->world->qemu);
    return blockjob_job_complete(scene->running, LONG_ENOUGH);
}

static int64_t pause_a_job(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"job-pause\"");
    then_return(scene->world->qemu);
    return blockjob_job_pause(scene->running, LONG_ENOUGH);
}

static int64_t list_jobs(struct scene *scene)
{
    blockjob_list *list = NULL;
    int result;

    then_list(scene->world->qemu, "", "");
    result = blockjob_monitor_list_jobs(scene->world->monitor, LONG_ENOUGH, &list);
    blockjob_list_free(list);
    return result;
}

static int64_t execute(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"query-status\"");
    then_return(scene->world->qemu);
    return blockjob_monitor_execute(scene->world->monitor, "query-status", NULL, 0, LONG_ENOUGH,
                                    NULL);
}

static int64_t execute_for_nobody(struct scene *scene)
{
    then_expect(scene->world->qemu, "\"query-status\"");
    then_return(scene->world->qemu);
    return blockjob_monitor_execute_async(scene->world->monitor, "query-status", NULL, 0, -1, NULL,
                                          NULL, NULL);
}

static int64_t add_a_raw_callback(struct scene *scene)
{
    return blockjob_callback_add_raw(scene->world->listener, NULL, "SHUTDOWN", recorder_callback,
                                     scene->world->recorder, NULL);
}

static int64_t make_and_free_a_job(struct scene *scene)
{
    blockjob_job *job = NULL;
    int result = blockjob_job_new(scene->world->monitor, NULL, 0, &job);

    blockjob_job_free(job);
    return result;
}

static int64_t acknowledge_an_end(struct scene *scene)
{
    then_dismiss(scene->world->qemu, blockjob_event_get_job_id(scene->end));
    return blockjob_event_acknowledge(scene->end, LONG_ENOUGH);
}

static int64_t add_a_callback(struct scene *scene)
{
    return blockjob_callback_add(scene->world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                 recorder_callback, scene->world->recorder, NULL);
}

static int64_t remove_a_callback(struct scene *scene)
{
    return blockjob_callback_remove(scene->world->listener, scene->other, 0);
}

/* In its own free function, and where it is no callback's, it is none any more. */
static int64_t remove_itself(struct scene *scene)
{
    int result = blockjob_callback_remove(scene->world->listener, scene->own, 0);

    return scene->takes_itself_away && result == 0 ? -ENOENT : result;
}

static int64_t set_another_log(struct scene *scene)
{
    return blockjob_listener_set_log(scene->world->listener, BLOCKJOB_LOG_ERROR, NULL, NULL, NULL);
}

static int64_t connect_another_monitor(struct scene *scene)
{
    const char *address = scripted_monitor_address(scene->second_qemu);
    int result = blockjob_monitor_new(scene->world->listener, address, &scene->second);

    then_negotiate(scene->second_qemu);
    return result < 0 ? result : blockjob_monitor_connect(scene->second, LONG_ENOUGH);
}

static int64_t start_another_monitor(struct scene *scene)
{
    int result = blockjob_monitor_new(scene->world->listener, "unix:/nowhere", &scene->second);

    return result < 0 ? result : blockjob_monitor_start(scene->second);
}

static int64_t ask_for_a_figure(struct scene *scene)
{
    return blockjob_monitor_get_stat(scene->world->monitor, BLOCKJOB_STAT_BYTES_READ);
}

static int64_t close_the_monitor(struct scene *scene)
{
    return blockjob_monitor_close(scene->world->monitor);
}

static int64_t stop_the_listener(struct scene *scene)
{
    return blockjob_listener_stop(scene->world->listener);
}

static int64_t free_the_listener(struct scene *scene)
{
    return blockjob_listener_free(scene->world->listener);
}

static const struct deed deeds[] = {
    { "start a job", start_a_job, 0 },
    { "wait for a job", wait_for_a_job, 0 },
    { "wait in vain", wait_in_vain, -ETIMEDOUT },
    { "cancel a job", cancel_a_job, 0 },
    { "complete a job", complete_a_job, 0 },
    { "pause a job", pause_a_job, 0 },
    { "list jobs", list_jobs, 0 },
    { "execute a command", execute, 0 },
    { "execute a command that nobody waits for", execute_for_nobody, SOME },
    { "add a raw callback", add_a_raw_callback, SOME },
    { "make and free a job", make_and_free_a_job, 0 },
    { "acknowledge an end", acknowledge_an_end, 0 },
    { "add a callback", add_a_callback, SOME },
    { "remove a callback", remove_a_callback, 0 },
    { "remove itself", remove_itself, -ENOENT },
    { "set another log", set_another_log, 0 },
    { "connect another monitor", connect_another_monitor, 0 },
    { "start another monitor", start_another_monitor, 0 },
    { "ask for a figure", ask_for_a_figure, SOME },
    { "close the monitor", close_the_monitor, 0 },
    { "stop the listener", stop_the_listener, 0 },
    { "free the listener", free_the_listener, -EDEADLK },
};

/* --- The places: each has `play` run once, in the library's care ----------------------------- */

static void play(struct scene *scene)
{
    if (atomic_load(&scene->done) == 0) {
        scene->result = scene->deed->act(scene);
        atomic_store(&scene->done, 1);
    }
}

static void play_free(void *opaque)
{
    play(opaque);
}

static void play_callback(blockjob_event *event, void *opaque)
{
    (void)event;
    play(opaque);
}

static void play_log(int level, const char *monitor_name, const char *message, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)message;
    play(opaque);
}

static void ignore(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void ignore_log(int level, const char *monitor_name, const char *message, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)message;
    (void)opaque;
}

static void add(struct scene *scene, blockjob_event_fn callback, blockjob_free_fn free_fn)
{
    scene->own = blockjob_callback_add(scene->world->listener, NULL, "trigger",
                                       BLOCKJOB_EVENT_STATUS, callback, scene, free_fn);
    assert_true(scene->own > 0);
}

static void in_a_callback(struct scene *scene)
{
    scene->takes_itself_away = true;
    add(scene, play_callback, NULL);
    say_status(scene->world->qemu, "trigger", "running");
}

static void in_a_free_of_who_removes(struct scene *scene)
{
    add(scene, ignore, play_free);
    assert_result(blockjob_callback_remove(scene->world->listener, scene->own, 0), 0);
}

static void leave(blockjob_event *event, void *opaque)
{
    struct scene *scene = opaque;

    (void)event;
    (void)blockjob_callback_remove(scene->world->listener, scene->own, 0);
}

static void in_a_free_of_where_callbacks_run(struct scene *scene)
{
    add(scene, leave, play_free);
    say_status(scene->world->qemu, "trigger", "running");
}

static void in_a_free_of_a_refused_registration(struct scene *scene)
{
    scene->own = blockjob_callback_add(scene->world->listener, NULL, NULL, 0, ignore, scene,
                                       play_free);
    assert_int_equal(scene->own, -EINVAL);
}

static void in_a_log_function(struct scene *scene)
{
    assert_result(blockjob_listener_set_log(scene->world->listener, BLOCKJOB_LOG_INFO, play_log,
                                            scene, NULL), 0);
    then_say(scene->world->qemu, "{'return': {}, 'id': 'nobody'}");
}

static void in_a_logs_free(struct scene *scene)
{
    assert_result(blockjob_listener_set_log(scene->world->listener, BLOCKJOB_LOG_ERROR,
                                            ignore_log, scene, play_free), 0);
    assert_result(blockjob_listener_set_log(scene->world->listener, 0, NULL, NULL, NULL), 0);
}

/* --- The scenes ------------------------------------------------------------------------------ */

static void set(struct scene *scene)
{
    struct world *world = scene->world;

    scene->recorder = recorder_new();
    scene->other = blockjob_callback_add(world->listener, NULL, "nobody", BLOCKJOB_EVENT_STATUS,
                                         recorder_callback, scene->recorder, recorder_release);
    assert_true(scene->other > 0);
    scene->second_qemu = scripted_monitor_new();
    scene->job = handle_of(world, NULL, 0);
    scene->running = handle_of(world, NULL, 0);
    start_job(world, scene->running);
    scene->taker = taker_new();
    taker_keep(scene->taker);
    taker_add(scene->taker, world->listener, NULL, OWNER "-ended", 0);
    say_job(world->qemu, OWNER "-ended");
    taker_next(scene->taker);
    scene->end = taker_kept(scene->taker);
    pass_fence(world, world->qemu);
}

static void strike(struct scene *scene)
{
    blockjob_event_unref(scene->end);
    blockjob_job_free(scene->job);
    blockjob_job_free(scene->running);
    assert_result(blockjob_listener_free(scene->world->listener), 0);
    scene->world->listener = NULL;
    assert_int_equal(recorder_freed(scene->recorder), 1);
    recorder_destroy(scene->recorder);
    taker_destroy(scene->taker);
    blockjob_monitor_unref(scene->second);
    scripted_monitor_destroy(scene->second_qemu);
}

static void play_all(void (*place)(struct scene *scene))
{
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        struct scene scene = { .deed = &deeds[i] };
        void *state = NULL;

        alarm(60);
        world_begin_owned_connected(&state);
        scene.world = state;
        set(&scene);
        place(&scene);
        wait_until(atomic_load(&scene.done) == 1);
        if (deeds[i].expected == SOME ? scene.result <= 0 : scene.result != deeds[i].expected) {
            fail_msg("to %s gave %" PRId64, deeds[i].name, scene.result);
        }
        strike(&scene);
        world_end(&state);
    }
}

#define everything_works(place)                  \
    static void everything_works_##place(void **state) \
    {                                            \
        (void)state;                             \
        play_all(place);                         \
    }

everything_works(in_a_callback)
everything_works(in_a_free_of_who_removes)
everything_works(in_a_free_of_where_callbacks_run)
everything_works(in_a_free_of_a_refused_registration)
everything_works(in_a_log_function)
everything_works(in_a_logs_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_works_in_a_callback),
        cmocka_unit_test(everything_works_in_a_free_of_who_removes),
        cmocka_unit_test(everything_works_in_a_free_of_where_callbacks_run),
        cmocka_unit_test(everything_works_in_a_free_of_a_refused_registration),
        cmocka_unit_test(everything_works_in_a_log_function),
        cmocka_unit_test(everything_works_in_a_logs_free),
    };

    return run_all(tests);
}
