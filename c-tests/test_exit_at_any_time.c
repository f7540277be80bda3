/*
 * A program may end at any time, by exit() or _exit(), wherever it is: while events flow, calls
 * wait and callbacks run, and also inside a callback or a free function. It ends at once, with its
 * own status, and nothing crashes on the way.
 */
#include "harness.h"
#include "watched.h"

#include <sched.h>
#include <sys/wait.h>

enum { STATUS = 42 };

/* Who ends the program. */
enum place { MAIN, ANOTHER_THREAD, CALLBACK, FREE, EXIT_HANDLER };

struct scene {
    enum place place;
    void (*leave)(int status);
    struct scripted_monitor *qemu;
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
};

static struct scene *scene; /* of the child */
static atomic_int calls;

static void by_exit(int status)
{
    exit(status);
}

static void by__exit(int status)
{
    _exit(status);
}

static void in_callback(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
    if (atomic_fetch_add(&calls, 1) == 20 && scene->place == CALLBACK) {
        scene->leave(STATUS);
    }
}

static void in_free(void *opaque)
{
    (void)opaque;
    if (scene->place == FREE) {
        scene->leave(STATUS);
    }
}

/*
 * A program that cleans up in an exit handler may have threads that are still inside. Where a
 * callback or free function has called exit(), it is this thread, and nothing is waited for.
 */
static void in_exit_handler(void)
{
    if (scene->place == MAIN || scene->place == ANOTHER_THREAD) {
        return;
    }
    child_check(blockjob_listener_stop(scene->listener) == 0);
    if (scene->place != EXIT_HANDLER) {
        child_check(blockjob_listener_free(scene->listener) == -EDEADLK);
        return;
    }
    child_check(blockjob_listener_free(scene->listener) == 0);
    blockjob_job_free(scene->job);
    blockjob_monitor_unref(scene->monitor);
}

static void *wait_for_ever(void *job)
{
    blockjob_event *event = NULL;

    blockjob_job_wait(job, -1, &event);
    return NULL;
}

static void *end_from_here(void *argument)
{
    (void)argument;
    scene->leave(STATUS);
    return NULL;
}

/* Events flow, a thread waits, and then the program ends where the scene wants it. */
static void program(void)
{
    pthread_t waiting, another;
    int64_t id;

    child_check(atexit(in_exit_handler) == 0);
    child_check(blockjob_listener_new(&scene->listener) == 0);
    child_check(blockjob_monitor_new(scene->listener, scripted_monitor_address(scene->qemu),
                                     &scene->monitor) == 0);
    child_check(blockjob_job_new(scene->monitor, "never", 0, &scene->job) == 0);
    id = blockjob_callback_add(scene->listener, NULL, NULL, BLOCKJOB_EVENT_STATUS, in_callback,
                               NULL, in_free);
    child_check(id > 0);
    child_check(pthread_create(&waiting, NULL, wait_for_ever, scene->job) == 0);
    child_check(blockjob_monitor_connect(scene->monitor, PATIENCE_SECONDS * 1000) == 0);
    while (atomic_load(&calls) < 10) {
        sched_yield();
    }
    switch (scene->place) {
    case MAIN:
    case EXIT_HANDLER:
        scene->leave(STATUS);
        break;
    case ANOTHER_THREAD:
        child_check(pthread_create(&another, NULL, end_from_here, NULL) == 0);
        break;
    case FREE:
        blockjob_callback_remove(scene->listener, id, 0);
        break;
    case CALLBACK:
        break;
    }
    /* An exit handler that stops the listener ends this wait, and exit() is not through yet. */
    for (;;) {
        pause();
    }
}

/* The leak sanitizer asks this at exit. */
static int has_no_leaks;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return has_no_leaks;
}

static void ends_with_its_status(enum place place, void (*leave)(int status))
{
    struct scene its = { .place = place, .leave = leave, .qemu = scripted_monitor_new() };
    int status;
    pid_t child;

    then_negotiate(its.qemu);
    for (int i = 0; i < 200; i++) {
        say_status(its.qemu, "flow", i % 2 == 0 ? "running" : "paused");
    }
    fflush(NULL); /* what is in buffers now would be written twice */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_begin();
        /* Whoever ends in the middle of everything has no leaks; child.c says more. */
        VALGRIND_CLO_CHANGE("--leak-check=no");
        has_no_leaks = 1;
        scene = &its;
        program();
    }
    status = child_wait(child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS) {
        fail_msg("at place %d the child ended with %#x", (int)place, (unsigned)status);
    }
    scripted_monitor_destroy(its.qemu);
}

static void by_exit_wherever_it_is(void **state)
{
    (void)state;
    for (int place = MAIN; place <= EXIT_HANDLER; place++) {
        ends_with_its_status(place, by_exit);
    }
}

static void by__exit_wherever_it_is(void **state)
{
    (void)state;
    for (int place = MAIN; place <= FREE; place++) {
        ends_with_its_status(place, by__exit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_exit_wherever_it_is),
        cmocka_unit_test(by__exit_wherever_it_is),
    };

    return run_all(tests);
}
