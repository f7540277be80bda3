/*
 * Whoever asks for something again and again without waiting for the answer is refused when too
 * much waits for the reader, with -ENOBUFS and a sentence. What must come through comes through:
 * closing, freeing, and that an end was taken.
 *
 * This program has an epoll_wait() of its own, which the reader calls: it can be made to stand.
 */
#include "harness.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

enum { REQUESTS_MAX = 16384 };

static atomic_bool stands; /* the reader is to stand, and stands */
static atomic_bool is_there;

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    while (atomic_load(&stands)) {
        const struct timespec millisecond = { .tv_nsec = 1000000 };

        atomic_store(&is_there, true);
        nanosleep(&millisecond, NULL);
    }
    atomic_store(&is_there, false);
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, (size_t)0);
}

/* From here on nothing is taken that the reader is asked for. */
static void hold_reader(struct world *world)
{
    blockjob_job *alarm_clock = handle_of(world, "to-wake-the-reader", 0);

    atomic_store(&stands, true);
    blockjob_job_free(alarm_clock);
    wait_until(atomic_load(&is_there));
}

/* When this returns, all has been taken that it was asked for. */
static void let_reader_go(struct world *world)
{
    atomic_store(&stands, false);
    blockjob_job_free(handle_of(world, "to-come-after-all-else", 0));
}

/* The handle of a job that has ended: what is asked of it the reader answers by itself. */
static blockjob_job *ended_job(struct world *world)
{
    blockjob_job *job = handle_of(world, "over", 0);
    blockjob_event *event = NULL;

    say_completed(world->qemu, "over");
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    return job;
}

/* Asks until it is refused, each time without waiting; says how often it was not. */
static int fill(blockjob_job *job)
{
    int count = 0, result;

    while ((result = blockjob_job_pause(job, 0)) == -ETIMEDOUT) {
        count++;
    }
    assert_int_equal(result, -ENOBUFS);
    assert_non_null(strstr(blockjob_last_error(), "requests of 0 bytes in all wait"));
    return count;
}

static void too_many_are_refused_until_some_are_answered(void **state)
{
    struct world *world = *state;
    blockjob_job *job = ended_job(world);
    struct scripted_monitor *second_qemu = scripted_monitor_new();
    blockjob_job *freed = handle_of(world, "freed", 0);
    blockjob_monitor *second = NULL;
    blockjob_list *list = NULL;

    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(second_qemu),
                                       &second), 0);
    hold_reader(world);
    assert_int_equal(fill(job), REQUESTS_MAX);
    assert_result(blockjob_job_start(job, "block-stream", "{}", 0), -ENOBUFS);
    assert_result(blockjob_job_cancel(job, 0, -1), -ENOBUFS);
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), -ENOBUFS);
    assert_null(list);
    assert_result(blockjob_monitor_execute(world->monitor, "stop", NULL, 0, -1, NULL), -ENOBUFS);
    assert_non_null(strstr(blockjob_last_error(), scripted_monitor_address(world->qemu)));
    /* It begins, and is asked again. */
    assert_result(blockjob_monitor_connect(second, 0), -ETIMEDOUT);
    assert_result(blockjob_monitor_connect(second, 0), -ENOBUFS);
    assert_result(blockjob_monitor_close(second), 0);
    blockjob_job_free(freed);

    let_reader_go(world);
    while (blockjob_event_get_monitor(recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED))
           != second) {
    }
    assert_result(blockjob_job_pause(job, -1), -ENOENT);
    blockjob_job_free(job);
    expect_nothing_sent(world);
    blockjob_monitor_unref(second);
    scripted_monitor_destroy(second_qemu);
}

/* Long requests are fewer: the longest commands of 64 monitors, and no more. */
static void their_bytes_are_counted(void **state)
{
    enum { LENGTH = 60000, MOST = 64 << 20 };
    struct world *world = *state;
    blockjob_job *job = ended_job(world);
    char *json = malloc(LENGTH + 1);
    int count = 0, result;

    assert_non_null(json);
    memset(json, '?', LENGTH);
    json[LENGTH] = '\0';
    hold_reader(world);
    while ((result = blockjob_job_start(job, "x", json, 0)) == -ETIMEDOUT) {
        count++;
    }
    assert_int_equal(result, -ENOBUFS);
    assert_int_equal(count, MOST / (LENGTH + 1));
    let_reader_go(world);
    assert_result(blockjob_job_start(job, "x", json, -1), -EALREADY);
    blockjob_job_free(job);
    free(json);
    expect_nothing_sent(world);
}

static void an_end_is_acknowledged_all_the_same(void **state)
{
    struct world *world = *state;
    struct taker *taker = taker_new();
    blockjob_job *job;
    blockjob_event *end;

    taker_keep(taker);
    taker_add(taker, world->listener, NULL, OWNER "-ended", 0);
    say_job(world->qemu, OWNER "-ended");
    taker_next(taker);
    end = taker_kept(taker);
    pass_fence(world, world->qemu);
    job = ended_job(world);
    hold_reader(world);
    fill(job);
    for (int i = 0; i < 3; i++) {
        assert_result(blockjob_event_acknowledge(end, -1), -ENOBUFS);
        assert_non_null(strstr(blockjob_last_error(), "but the end is acknowledged"));
    }
    then_dismiss(world->qemu, OWNER "-ended");
    let_reader_go(world);
    script_done(world->qemu);
    expect_nothing_sent(world);
    blockjob_event_unref(end);
    blockjob_job_free(job);
    end_listener(world);
    taker_destroy(taker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(too_many_are_refused_until_some_are_answered),
        test_connected(their_bytes_are_counted),
        test_owned_connected(an_end_is_acknowledged_all_the_same),
    };

    return run_all(tests);
}
