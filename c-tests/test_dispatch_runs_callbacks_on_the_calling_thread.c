/*
 * In the program's loop callbacks run inside dispatch, on the thread that calls it, in order, for
 * at most 64 events a call. There is no thread of the library for them.
 */
#include "harness.h"

#include <dirent.h>

enum { MOST = 64 }; /* what the header says */

struct seen {
    pthread_t thread;
    int calls;
    char last[32];
    int out_of_order;
    bool freed;
    pthread_t freed_on;
};

/* Jobs are told with growing numbers. */
static void see(blockjob_event *event, void *opaque)
{
    struct seen *seen = opaque;
    const char *job_id = blockjob_event_get_job_id(event);

    seen->thread = pthread_self();
    seen->calls++;
    if (job_id != NULL) {
        seen->out_of_order += strcmp(seen->last, job_id) > 0;
        snprintf(seen->last, sizeof seen->last, "%s", job_id);
    }
}

static void see_freed(void *opaque)
{
    struct seen *seen = opaque;

    seen->freed = true;
    seen->freed_on = pthread_self();
}

static int64_t add(struct world *world, struct seen *seen, uint32_t kinds)
{
    int64_t id = blockjob_callback_add(world->listener, world->monitor, NULL, kinds, see, seen,
                                       see_freed);

    assert_true(id > 0);
    return id;
}

static void say_numbered(struct world *world, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%04d", i);
        say_status(world->qemu, job_id, "running");
    }
    wait_until_read(world);
}

static void nothing_runs_but_inside_it(void **state)
{
    struct world *world = *state;
    struct seen seen = { 0 };

    add(world, &seen, BLOCKJOB_EVENT_STATUS);
    say_numbered(world, 1, 3);
    assert_int_equal(seen.calls, 0);
    assert_result(blockjob_listener_dispatch(world->listener), 3);
    assert_int_equal(seen.calls, 3);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    assert_int_equal(seen.out_of_order, 0);
    assert_text(seen.last, "job-0003");
    assert_result(blockjob_listener_dispatch(world->listener), 0);
    assert_int_equal(seen.calls, 3);
    end_listener(world);
}

static void no_thread_is_there_for_it(void **state)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int threads = 0;

    (void)state;
    assert_non_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], comm[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file != NULL) {
            assert_non_null(fgets(comm, sizeof comm, file));
            assert_string_not_equal(comm, "blockjob-call\n");
            threads += strcmp(comm, "blockjob-read\n") == 0;
            fclose(file);
        }
    }
    closedir(tasks);
    assert_int_equal(threads, 1);
}

static void a_call_is_for_so_many_events(void **state)
{
    enum { SAID = 2 * MOST + 5 };
    struct world *world = *state;
    struct seen one = { 0 }, two = { 0 };

    add(world, &one, BLOCKJOB_EVENT_STATUS);
    add(world, &two, BLOCKJOB_EVENT_STATUS);
    say_numbered(world, 1, SAID);
    assert_result(blockjob_listener_dispatch(world->listener), MOST);
    assert_int_equal(one.calls, MOST); /* an event for two callbacks is one */
    assert_int_equal(two.calls, MOST);
    assert_result(blockjob_listener_dispatch(world->listener), MOST);
    assert_result(blockjob_listener_dispatch(world->listener), SAID - 2 * MOST);
    assert_result(blockjob_listener_dispatch(world->listener), 0);
    assert_int_equal(one.calls, SAID);
    assert_int_equal(two.calls, SAID);
    assert_int_equal(one.out_of_order + two.out_of_order, 0);
    end_listener(world);
}

/* What a late registration has missed is dispatched in the same measure, before what is newer. */
static void what_was_missed_counts_too(void **state)
{
    enum { ENDS = MOST + 7 };
    struct world *world = *state;
    struct seen seen = { 0 };

    for (int i = 1; i <= ENDS; i++) {
        char job_id[16];

        snprintf(job_id, sizeof job_id, "job-%04d", i);
        say_completed(world->qemu, job_id);
    }
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 0); /* nobody wants them */
    add(world, &seen, BLOCKJOB_EVENT_FINAL);
    say_completed(world->qemu, "job-9999");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), MOST);
    assert_text(seen.last, "job-0064");
    assert_result(blockjob_listener_dispatch(world->listener), ENDS - MOST + 1);
    assert_text(seen.last, "job-9999");
    assert_int_equal(seen.calls, ENDS + 1);
    assert_int_equal(seen.out_of_order, 0);
    end_listener(world);
}

/* What nobody wants any more is nothing, and holds nothing up. */
static void what_nobody_wants_is_passed_over(void **state)
{
    struct world *world = *state;
    struct seen gone = { 0 }, here = { 0 };
    int64_t id = add(world, &gone, BLOCKJOB_EVENT_STATUS);

    say_numbered(world, 1, 3 * MOST);
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_true(gone.freed);
    add(world, &here, BLOCKJOB_EVENT_FINAL);
    say_completed(world->qemu, "last");
    wait_until_read(world);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(gone.calls, 0);
    assert_text(here.last, "last");
    end_listener(world);
}

/* Frees run on the thread that made them due, here the one that dispatches CLOSED. */
static void closed_frees_its_registrations_there(void **state)
{
    struct world *world = *state;
    struct seen seen = { 0 };

    add(world, &seen, BLOCKJOB_EVENT_CLOSED);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    wait_until_readable(blockjob_listener_get_fd(world->listener));
    assert_false(seen.freed);
    assert_result(blockjob_listener_dispatch(world->listener), 1);
    assert_int_equal(seen.calls, 1);
    assert_true(seen.freed);
    assert_true(pthread_equal(seen.freed_on, pthread_self()));
}

static void what_is_left_is_freed_with_the_listener(void **state)
{
    struct world *world = *state;
    struct seen seen = { 0 };

    add(world, &seen, BLOCKJOB_EVENT_STATUS);
    say_numbered(world, 1, 2);
    assert_result(blockjob_listener_stop(world->listener), 0);
    assert_result(blockjob_listener_dispatch(world->listener), -ESHUTDOWN);
    assert_false(seen.freed);
    end_listener(world);
    assert_int_equal(seen.calls, 0);
    assert_true(seen.freed);
    assert_true(pthread_equal(seen.freed_on, pthread_self()));
}

/* The end of a job is acknowledged when the callback inside dispatch has returned. */
static void an_end_is_acknowledged_by_it(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();

    taker_add(taker, world->listener, NULL, NULL, 0);
    say_job(world->qemu, OWNER "-1");
    wait_until_read(world);
    expect_nothing_sent(world);
    dispatch(world, 1);
    assert_int_equal(taker_count(taker), 1);
    then_dismiss(world->qemu, OWNER "-1");
    script_done(world->qemu);
    end_listener(world);
    taker_destroy(taker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_loop(nothing_runs_but_inside_it),
        test_loop(no_thread_is_there_for_it),
        test_loop(a_call_is_for_so_many_events),
        test_loop(what_was_missed_counts_too),
        test_loop(what_nobody_wants_is_passed_over),
        test_loop(closed_frees_its_registrations_there),
        test_loop(what_is_left_is_freed_with_the_listener),
        test_loop(an_end_is_acknowledged_by_it),
    };

    return run_all(tests);
}
