/*
 * A program may take signals by handlers, as often as it likes: a timer's comes each 100
 * microseconds to the thread that calls, through a whole job. No call ends by it, or returns
 * -EINTR, and none waits longer or shorter for it.
 */
#include "harness.h"
#include "watched.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

/* The sanitizer keeps a signal until the thread is out of the kernel. */
enum { SIGNALS_ARE_LATE = UNDER_THREAD_SANITIZER };

enum { ENOUGH = 30 };

static atomic_int taken;

static void take(int number)
{
    (void)number;
    atomic_fetch_add(&taken, 1);
}

/* A call, on a thread that is in the storm as long as it lasts. */
struct deed {
    int (*function)(struct world *world);
    struct world *world;
};

static int in_storm(void *argument)
{
    const struct deed *deed = argument;
    /* A tool's handling of a signal may take longer than the next one needs to come. */
    const bool is_slow = RUNNING_ON_VALGRIND || UNDER_THREAD_SANITIZER;
    const long period = is_slow ? 5000000 : 100000; /* nanoseconds */
    const struct itimerspec often = {
        .it_interval = { .tv_nsec = period },
        .it_value = { .tv_nsec = period },
    };
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
    timer_t timer;
    int result;

    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0
        || timer_settime(timer, 0, &often, NULL) != 0) {
        return -1000;
    }
    result = deed->function(deed->world);
    timer_delete(timer);
    return result;
}

/* Begins to wait, is interrupted often, and waits on: then whatever it waits for may come. */
static void begin(struct call *call, struct deed *deed, struct world *world,
                  int (*function)(struct world *world))
{
    *deed = (struct deed){ .function = function, .world = world };
    atomic_store(&taken, 0);
    call_start(call, in_storm, deed);
    script_done(world->qemu);
    if (SIGNALS_ARE_LATE) {
        call_settle(call);
    } else {
        wait_until(atomic_load(&taken) > ENOUGH);
    }
    assert_false(atomic_load(&call->returned));
}

/* `before` is what QEMU does before it holds still, `after` what it does then. */
#define storm(function, before, after)                   \
    do {                                                 \
        struct call storm_call;                          \
        struct deed storm_deed;                          \
                                                         \
        before;                                          \
        begin(&storm_call, &storm_deed, world, function);\
        after;                                           \
        assert_int_equal(call_join(&storm_call), 0);     \
        script_done(world->qemu);                        \
    } while (0)

static blockjob_job *job;
static blockjob_event *end;
static int64_t standing;

static int connect_it(struct world *world)
{
    return blockjob_monitor_connect(world->monitor, -1);
}

static int start(struct world *world)
{
    int made = blockjob_job_new(world->monitor, OWNER "-1", 0, &job);

    return made != 0 ? made : blockjob_job_start(job, "block-stream", "{\"device\":\"d0\"}", -1);
}

static int list(struct world *world)
{
    blockjob_list *found = NULL;
    int result = blockjob_monitor_list_jobs(world->monitor, -1, &found);

    blockjob_list_free(found);
    return result;
}

static int execute(struct world *world)
{
    return blockjob_monitor_execute(world->monitor, "query-status", NULL, 0, -1, NULL);
}

static int pause_it(struct world *world)
{
    (void)world;
    return blockjob_job_pause(job, -1);
}

static int wait_for_end(struct world *world)
{
    (void)world;
    return blockjob_job_wait(job, -1, &end);
}

static int acknowledge(struct world *world)
{
    (void)world;
    return blockjob_event_acknowledge(end, -1);
}

static int remove_standing(struct world *world)
{
    return blockjob_callback_remove(world->listener, standing, 0);
}

static int free_listener(struct world *world)
{
    int result = blockjob_listener_free(world->listener);

    world->listener = NULL;
    return result;
}

static int pull(struct world *world)
{
    blockjob_event *event = NULL;
    int result = blockjob_listener_next_event(world->listener, -1, &event);

    blockjob_event_unref(event);
    return result;
}

static int dispatch_one(struct world *world)
{
    struct pollfd loop = { .fd = blockjob_listener_get_fd(world->listener), .events = POLLIN };
    int count = 0;

    while (count == 0) {
        if (poll(&loop, 1, -1) < 0 && errno != EINTR) { /* the program's own call is */
            return -errno;
        }
        count = blockjob_listener_dispatch(world->listener);
    }
    return count < 0 ? count : 0;
}

static void nothing(void)
{
}

static void stand(struct world *world)
{
    standing = blockjob_callback_add(world->listener, NULL, "busy", BLOCKJOB_EVENT_STATUS,
                                     gate_callback, world->gate, NULL);
    assert_true(standing > 0);
    say_status(world->qemu, "busy", "running");
    gate_wait_entered(world->gate);
}

static void through_a_whole_job(void **state)
{
    struct world *world = *state;

    storm(connect_it, then_accept(world->qemu), then_agree(world->qemu));
    storm(start, then_expect(world->qemu, "\"block-stream\""),
          (then_return(world->qemu), say_begun(world->qemu, OWNER "-1")));
    storm(list, then_expect(world->qemu, "query-jobs"),
          (then_answer_list(world->qemu, ""), then_expect(world->qemu, "query-block-jobs"),
           then_answer_list(world->qemu, "")));
    storm(execute, then_expect(world->qemu, "query-status"), then_return(world->qemu));
    storm(pause_it, then_expect(world->qemu, "job-pause"), then_return(world->qemu));
    storm(wait_for_end, nothing(), say_ended(world->qemu, OWNER "-1"));
    assert_int_equal(blockjob_event_get_outcome(end), BLOCKJOB_OUTCOME_SUCCEEDED);
    storm(acknowledge, then_expect(world->qemu, "job-dismiss"),
          (say_status(world->qemu, OWNER "-1", "null"), then_return(world->qemu)));
    blockjob_event_unref(end);
    blockjob_job_free(job);
    storm(remove_standing, stand(world), gate_open(world->gate));
}

static void through_the_end(void **state)
{
    struct world *world = *state;

    storm(free_listener, stand(world), gate_open(world->gate));
}

static void through_a_pull(void **state)
{
    struct world *world = *state;

    subscribe(world, "job", BLOCKJOB_EVENT_COMPLETED);
    storm(pull, nothing(), say_completed(world->qemu, "job"));
}

static void through_a_loop(void **state)
{
    struct world *world = *state;

    assert_true(blockjob_callback_add(world->listener, NULL, "job", BLOCKJOB_EVENT_COMPLETED,
                                      recorder_callback, world->recorder, NULL) > 0);
    storm(dispatch_one, nothing(), say_completed(world->qemu, "job"));
    assert_int_equal(recorder_count(world->recorder), 1);
}

enum { LIMIT = 300 };

static int wait_in_vain(struct world *world)
{
    struct timespec from, to;
    int64_t lasted;
    int result = blockjob_job_new(world->monitor, "never", 0, &job);

    clock_gettime(CLOCK_MONOTONIC, &from);
    if (result == 0) {
        result = blockjob_job_wait(job, LIMIT, &end);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    lasted = (to.tv_sec - from.tv_sec) * INT64_C(1000000000) + to.tv_nsec - from.tv_nsec;
    blockjob_job_free(job);
    return result != -ETIMEDOUT ? result : lasted < LIMIT * INT64_C(1000000) ? -1 : 0;
}

static void a_time_that_was_given_is_waited(void **state)
{
    struct world *world = *state;
    struct deed deed = { .function = wait_in_vain, .world = world };
    struct call call;

    call_start(&call, in_storm, &deed);
    assert_int_equal(call_join(&call), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(through_a_whole_job),
        test_connected(through_the_end),
        test_pull(through_a_pull),
        test_loop(through_a_loop),
        test_connected(a_time_that_was_given_is_waited),
    };
    const struct sigaction action = { .sa_handler = take }; /* without SA_RESTART */

    sigaction(SIGUSR1, &action, NULL);
    return run_all(tests);
}
