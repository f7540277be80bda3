/*
 * A thread of the program's that ends may still have something to give back: destructors of its
 * keys (pthread_key_create()) call the library as everybody else, in whatever order they run, and
 * are told by blockjob_last_error() what was wrong. So do those of a thread that is cancelled
 * outside of a call, and of one that never called anything before.
 */
#include "harness.h"
#include "watched.h"

/* What a thread gives back as it ends, and what it was told then. */
struct estate {
    struct world *world;
    blockjob_job *job;
    blockjob_event *event;
    blockjob_listener *listener; /* of its own */
    struct recorder *recorder;
    int64_t recording;
    int rounds; /* more of them: destructors may run anew */
    atomic_int failures;
};

static pthread_key_t before, behind; /* created before the first call, and after it */

#define count_failure(estate, condition) \
    ((condition) ? 0 : (fprintf(stderr, "%d: not %s (last error: \"%s\")\n", __LINE__, #condition, \
                                blockjob_last_error()), atomic_fetch_add(&(estate)->failures, 1)))

static void ask(struct estate *estate)
{
    blockjob_event *event = NULL;
    blockjob_monitor *monitor = NULL;

    count_failure(estate, blockjob_monitor_get_state(estate->world->monitor)
                  == BLOCKJOB_STATE_CONNECTED);
    count_failure(estate, blockjob_monitor_new(estate->world->listener, "nonsense", &monitor)
                  == -EINVAL);
    count_failure(estate, strstr(blockjob_last_error(), "nonsense") != NULL);
    count_failure(estate, blockjob_job_wait(estate->job, 1, &event) == -ETIMEDOUT);
    count_failure(estate, blockjob_last_error_class() == NULL);
    count_failure(estate, blockjob_callback_add(estate->world->listener, NULL, "nobody",
                                                BLOCKJOB_EVENT_ALL, gate_callback, NULL, NULL) > 0);
}

/* The last one: it gives everything back. */
static void give_back(struct estate *estate)
{
    blockjob_event_unref(estate->event);
    blockjob_job_free(estate->job);
    count_failure(estate, blockjob_callback_remove(estate->world->listener, estate->recording, 0)
                  == 0);
    count_failure(estate, recorder_freed(estate->recorder) == 1);
    count_failure(estate, blockjob_listener_free(estate->listener) == 0);
}

static void at_the_end_before(void *value)
{
    struct estate *estate = value;

    ask(estate);
    if (estate->rounds-- > 0) {
        pthread_setspecific(before, estate);
    }
}

static void at_the_end_behind(void *value)
{
    struct estate *estate = value;

    ask(estate);
    /* Behind every other destructor of this round; the next round is the other key's. */
    if (estate->rounds >= 0) {
        pthread_setspecific(behind, estate);
    } else {
        give_back(estate);
    }
}

static void inherit(struct estate *estate)
{
    pthread_setspecific(before, estate);
    pthread_setspecific(behind, estate);
}

static void *ends_without_a_call(void *estate)
{
    inherit(estate);
    return NULL;
}

static void *ends_after_calls(void *estate)
{
    ask(estate);
    inherit(estate);
    pthread_exit(NULL);
}

static atomic_bool is_there;

static void *is_cancelled(void *estate)
{
    ask(estate);
    inherit(estate);
    atomic_store(&is_there, true);
    for (;;) {
        pause();
    }
    return NULL;
}

static void ends(struct world *world, const char *job_id, void *(*thread)(void *), bool cancels)
{
    struct estate estate = { .world = world, .rounds = 2, .recorder = recorder_new() };
    pthread_t id;

    estate.job = handle_of(world, "never", 0);
    say_completed(world->qemu, job_id);
    estate.event = blockjob_event_ref(recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED));
    assert_result(blockjob_listener_new(&estate.listener), 0);
    estate.recording = record(world->listener, NULL, estate.recorder);
    assert_int_equal(pthread_create(&id, NULL, thread, &estate), 0);
    if (cancels) {
        wait_until(atomic_load(&is_there));
        assert_int_equal(pthread_cancel(id), 0);
    }
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_int_equal(atomic_load(&estate.failures), 0);
    assert_int_equal(estate.rounds, -1);
    recorder_destroy(estate.recorder);
}

static void a_thread_that_ends_may_give_back(void **state)
{
    /* That sanitizer's own destructor comes first, and it sees nothing of what follows. */
    if (UNDER_THREAD_SANITIZER) {
        skip();
    }
    ends(*state, "first", ends_without_a_call, false);
    ends(*state, "second", ends_after_calls, false);
    ends(*state, "third", is_cancelled, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(a_thread_that_ends_may_give_back),
    };
    int failed;

    pthread_key_create(&before, at_the_end_before);
    (void)blockjob_last_error(); /* whatever the library keeps of a thread is there now */
    pthread_key_create(&behind, at_the_end_behind);
    failed = run_all(tests);
    pthread_key_delete(before);
    pthread_key_delete(behind);
    return failed;
}
