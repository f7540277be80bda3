/*
 * A listener may be freed while threads wait in it, whatever they wait for: each is answered with
 * -ESHUTDOWN, and the free returns when none is inside any more. The handles are still good for
 * being released.
 */
#include "harness.h"

struct scene {
    struct world *world;
    blockjob_job *watched, *started;
    blockjob_monitor *silent;
    blockjob_event *end;
    int64_t standing; /* the registration whose callback runs */
};

static int wait_for_job(void *argument)
{
    struct scene *scene = argument;
    blockjob_event *event = NULL;

    return blockjob_job_wait(scene->watched, -1, &event);
}

static int start_job_for_ever(void *argument)
{
    struct scene *scene = argument;

    return blockjob_job_start(scene->started, "block-stream", "{\"device\":\"d0\"}", -1);
}

static int execute(void *argument)
{
    struct scene *scene = argument;

    return blockjob_monitor_execute(scene->world->monitor, "query-status", NULL, 0, -1, NULL);
}

static int list_jobs(void *argument)
{
    struct scene *scene = argument;
    blockjob_list *list = NULL;

    return blockjob_monitor_list_jobs(scene->world->monitor, -1, &list);
}

static int acknowledge(void *argument)
{
    struct scene *scene = argument;

    return blockjob_event_acknowledge(scene->end, -1);
}

static int connect_silent(void *argument)
{
    struct scene *scene = argument;

    return blockjob_monitor_connect(scene->silent, -1);
}

static int remove_standing(void *argument)
{
    struct scene *scene = argument;

    return blockjob_callback_remove(scene->world->listener, scene->standing, 0);
}

static int free_listener(void *listener)
{
    return blockjob_listener_free(listener);
}

/* Each with the commands that QEMU hears of it, and does not answer. */
static const struct {
    int (*function)(void *);
    const char *heard[2];
    int result;
} waits[] = {
    { wait_for_job, { NULL }, -ESHUTDOWN },
    { start_job_for_ever, { "\"block-stream\"" }, -ESHUTDOWN },
    { execute, { "\"query-status\"" }, -ESHUTDOWN },
    { list_jobs, { "\"query-jobs\"", "\"query-block-jobs\"" }, -ESHUTDOWN },
    { acknowledge, { "\"job-dismiss\"" }, -ESHUTDOWN },
    { connect_silent, { NULL }, -ESHUTDOWN },
    { remove_standing, { NULL }, 0 },
};

enum { WAITS = sizeof waits / sizeof *waits };

static void whatever_they_wait_for(void **state)
{
    struct world *world = *state;
    struct scene scene = { .world = world };
    struct scripted_monitor *silent = scripted_monitor_new();
    struct taker *taker = taker_new();
    struct call calls[WAITS], freeing;

    scene.watched = handle_of(world, "never", 0);
    scene.started = handle_of(world, NULL, 0);
    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(silent),
                                       &scene.silent), 0);
    assert_result(blockjob_monitor_set_connect_timeout(scene.silent, -1), 0);
    then_accept(silent);
    taker_keep(taker);
    taker_add(taker, world->listener, NULL, OWNER "-ended", 0);
    say_job(world->qemu, OWNER "-ended");
    taker_next(taker);
    scene.end = taker_kept(taker);
    pass_fence(world, world->qemu);
    scene.standing = blockjob_callback_add(world->listener, NULL, "busy", BLOCKJOB_EVENT_STATUS,
                                           gate_callback, world->gate, NULL);
    assert_true(scene.standing > 0);
    say_status(world->qemu, "busy", "running");
    gate_wait_entered(world->gate);

    for (size_t i = 0; i < WAITS; i++) {
        for (size_t j = 0; j < 2 && waits[i].heard[j] != NULL; j++) {
            then_expect(world->qemu, waits[i].heard[j]);
        }
        call_start(&calls[i], waits[i].function, &scene);
        script_done(world->qemu);
        call_settle(&calls[i]);
        assert_false(atomic_load(&calls[i].returned));
    }
    call_start(&freeing, free_listener, world->listener);
    for (size_t i = 0; i < WAITS; i++) {
        if (waits[i].result == -ESHUTDOWN) {
            assert_int_equal(call_join(&calls[i]), -ESHUTDOWN);
            assert_int_not_equal(strlen(calls[i].last_error), 0);
        }
    }
    call_settle(&freeing);
    assert_false(atomic_load(&freeing.returned)); /* a callback still runs */
    gate_open(world->gate);
    assert_int_equal(call_join(&calls[WAITS - 1]), 0);
    assert_int_equal(call_join(&freeing), 0);
    world->listener = NULL;

    assert_result(blockjob_job_pause(scene.watched, -1), -ESHUTDOWN);
    blockjob_event_unref(scene.end);
    blockjob_job_free(scene.watched);
    blockjob_job_free(scene.started);
    blockjob_monitor_unref(scene.silent);
    scripted_monitor_destroy(silent);
    taker_destroy(taker);
}

static int pull(void *listener)
{
    blockjob_event *event = NULL;

    return blockjob_listener_next_event(listener, -1, &event);
}

static void also_for_the_next_event(void **state)
{
    struct world *world = *state;
    struct call pulling, freeing;

    subscribe(world, NULL, BLOCKJOB_EVENT_ALL);
    call_start(&pulling, pull, world->listener);
    call_settle(&pulling);
    assert_false(atomic_load(&pulling.returned));
    call_start(&freeing, free_listener, world->listener);
    assert_int_equal(call_join(&freeing), 0);
    world->listener = NULL;
    assert_int_equal(call_join(&pulling), -ESHUTDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned_connected(whatever_they_wait_for),
        test_pull(also_for_the_next_event),
    };

    return run_all(tests);
}
