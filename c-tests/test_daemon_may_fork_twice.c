/*
 * A program that makes its listener too early and then daemonizes by two forks finds itself without
 * it: each call says -ECHILD, what it frees harms nobody, and a listener of its own works. So it
 * goes on with its children, and theirs.
 */
#include "harness.h"

#include <sys/stat.h>
#include <sys/wait.h>

/* What a generation has, and hands down. */
struct house {
    struct scripted_monitor *qemu; /* in the first process */
    blockjob_listener *listener;
    blockjob_monitor *monitor;
    blockjob_job *job;
    blockjob_event *event;
};

static void discard(struct house *house)
{
    blockjob_event *event = NULL;

    child_check(blockjob_monitor_get_state(house->monitor) == -ECHILD);
    child_check(blockjob_job_wait(house->job, -1, &event) == -ECHILD);
    child_check(event == NULL);
    child_check(blockjob_event_get_kind(house->event) == -ECHILD);
    blockjob_event_unref(house->event);
    blockjob_job_free(house->job);
    blockjob_monitor_unref(house->monitor);
    child_check(blockjob_listener_free(house->listener) == -ECHILD);
}

static void ignore(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

/* A listener of one's own, which is connected and has waited for a job. */
static void settle(struct house *house)
{
    child_check(blockjob_listener_new(&house->listener) == 0);
    child_check(blockjob_callback_add(house->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, ignore,
                                      NULL, NULL) > 0);
    child_check(blockjob_monitor_new(house->listener, scripted_monitor_address(house->qemu),
                                     &house->monitor) == 0);
    child_check(blockjob_monitor_set_reconnect(house->monitor, -1, -1) == 0);
    child_check(blockjob_job_new(house->monitor, "job", 0, &house->job) == 0);
    child_check(blockjob_monitor_connect(house->monitor, PATIENCE_SECONDS * 1000) == 0);
    child_check(blockjob_job_wait(house->job, PATIENCE_SECONDS * 1000, &house->event) == 0);
    child_check(strcmp(blockjob_event_get_job_id(house->event), "job") == 0);
}

static void leave(struct house *house)
{
    blockjob_event_unref(house->event);
    blockjob_job_free(house->job);
    child_check(blockjob_listener_free(house->listener) == 0);
    blockjob_monitor_unref(house->monitor);
}

/* What one generation's QEMU says. */
static void script(struct scripted_monitor *qemu)
{
    then_negotiate(qemu);
    say_completed(qemu, "job");
    then_expect_hang_up(qemu);
}

/* Forks, and is the child that goes on; the parent waits for it and passes on how it ended. */
static void go_on_as_child(void)
{
    pid_t child = fork();
    int status = 0;

    child_check(child >= 0);
    if (child > 0) {
        child_check(waitpid(child, &status, 0) == child);
        child_check(status == 0);
        child_end();
    }
    child_begin();
}

static void daemonize(void)
{
    go_on_as_child();
    child_check(setsid() > 0);
    go_on_as_child();
    child_check(chdir("/") == 0);
    umask(022);
}

static void program(void *argument)
{
    struct scripted_monitor **qemus = argument; /* the parents stay connected to theirs */
    struct house too_early = { .qemu = qemus[0] };
    struct house own = { .qemu = qemus[1] };
    struct house childs = { .qemu = qemus[2] };

    settle(&too_early);
    daemonize();
    discard(&too_early);
    settle(&own);
    /* Now it has children: they have neither, and a third one of their own. */
    go_on_as_child();
    discard(&too_early);
    discard(&own);
    settle(&childs);
    leave(&childs);
    discard(&too_early);
}

static void each_generation_has_its_own(void **state)
{
    struct scripted_monitor *qemus[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        qemus[i] = scripted_monitor_new();
        script(qemus[i]);
    }
    child_run(program, qemus);
    for (size_t i = 0; i < 3; i++) {
        script_done(qemus[i]);
        scripted_monitor_destroy(qemus[i]);
    }
}

/* The library is there and was never used; or was, and is not any more. */
static void use_it(void *argument)
{
    struct house house = { .qemu = argument };

    settle(&house);
    leave(&house);
}

static void before_the_first_use_and_after_the_last(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();

    (void)state;
    script(qemu);
    child_run(use_it, qemu);
    for (int i = 0; i < 3; i++) {
        blockjob_listener *listener = NULL;

        assert_result(blockjob_listener_new(&listener), 0);
        assert_result(blockjob_listener_free(listener), 0);
        script(qemu);
        child_run(use_it, qemu);
    }
    script_done(qemu);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* In this order: the first one is before the first use. */
        cmocka_unit_test(before_the_first_use_and_after_the_last),
        cmocka_unit_test(each_generation_has_its_own),
    };

    return run_all(tests);
}
