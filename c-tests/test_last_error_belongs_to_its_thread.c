/*
 * The last error is of the thread that made the failing call. Callbacks and free functions may fail
 * as they like: whoever they interrupt finds its own words again.
 */
#include "harness.h"

static int ask(void *argument)
{
    char *words = argument;

    snprintf(words, 512, "%s", blockjob_last_error());
    return 0;
}

static void a_new_thread_has_none(void **state)
{
    struct call call;
    char words[512] = "not asked";

    (void)state;
    assert_result(blockjob_monitor_start(NULL), -EINVAL);
    assert_non_null(blockjob_last_error());
    assert_int_not_equal(strlen(blockjob_last_error()), 0);
    call_start(&call, ask, words);
    call_join(&call);
    assert_text(words, "");
    assert_int_not_equal(strlen(blockjob_last_error()), 0);
}

/* Success says nothing, so it takes back nothing: the words of the last failure stay. */
static void success_leaves_it(void **state)
{
    struct world *world = *state;
    char words[512];

    assert_result(blockjob_callback_remove(world->listener, 4711, 0), -ENOENT);
    snprintf(words, sizeof words, "%s", blockjob_last_error());
    assert_non_null(strstr(words, "4711"));
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_NEW);
    assert_result(blockjob_monitor_set_line_limit(world->monitor, 1 << 20), 0);
    assert_text(blockjob_last_error(), words);
}

/* Fails in a way that no other call of this program does. */
static void fail_on_purpose(struct world *world, char words[512])
{
    (void)blockjob_callback_remove(world->listener, 987654321, 0);
    snprintf(words, 512, "%s", blockjob_last_error());
}

struct stage {
    struct world *world;
    char words[512];
    char before[512];
    atomic_int calls;
};

static void fail_in_callback(blockjob_event *event, void *opaque)
{
    struct stage *stage = opaque;

    (void)event;
    snprintf(stage->before, sizeof stage->before, "%s", blockjob_last_error());
    fail_on_purpose(stage->world, stage->words);
    atomic_fetch_add(&stage->calls, 1);
}

static void fail_in_free(void *opaque)
{
    struct stage *stage = opaque;

    fail_on_purpose(stage->world, stage->words);
    atomic_fetch_add(&stage->calls, 1);
}

static void a_callbacks_failure_is_not_the_programs(void **state)
{
    struct world *world = *state;
    struct stage stage = { .world = world };
    char words[512];

    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                      fail_in_callback, &stage, NULL) > 0);
    assert_result(blockjob_callback_remove(world->listener, 4711, 0), -ENOENT);
    snprintf(words, sizeof words, "%s", blockjob_last_error());
    say_completed(world->qemu, "one");
    say_completed(world->qemu, "two");
    wait_until(atomic_load(&stage.calls) == 2);
    assert_non_null(strstr(stage.words, "987654321"));
    assert_null(strstr(stage.before, "987654321")); /* saved and restored around each */
    assert_text(blockjob_last_error(), words);
}

/* A free function that runs inside remove, on the caller's own thread. */
static void a_free_functions_failure_is_not_the_callers(void **state)
{
    struct world *world = *state;
    struct stage stage = { .world = world };
    char words[512];
    int64_t id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_COMPLETED,
                                       fail_in_callback, &stage, fail_in_free);

    assert_result(blockjob_callback_remove(world->listener, 4711, 0), -ENOENT);
    snprintf(words, sizeof words, "%s", blockjob_last_error());
    assert_result(blockjob_callback_remove(world->listener, id, 0), 0);
    assert_int_equal(atomic_load(&stage.calls), 1);
    assert_non_null(strstr(stage.words, "987654321"));
    assert_text(blockjob_last_error(), words);
}

/* Registering failed, which freed, which failed: the caller is told of the registering. */
static void a_failed_registration_tells_of_itself(void **state)
{
    struct world *world = *state;
    struct stage stage = { .world = world };

    assert_result(blockjob_callback_add(world->listener, NULL, NULL, 0x80000000u,
                                        fail_in_callback, &stage, fail_in_free), -EINVAL);
    assert_int_equal(atomic_load(&stage.calls), 1);
    assert_non_null(strstr(stage.words, "987654321"));
    assert_null(strstr(blockjob_last_error(), "987654321"));
    assert_int_not_equal(strlen(blockjob_last_error()), 0);
}

/* Cut or not, what a long name leaves of the words is whole characters: é has two bytes. */
static void long_words_stay_text(void **state)
{
    struct world *world = *state;
    int ignored;
    char name[4097];

    for (int shift = 0; shift < 2; shift++) {
        size_t accents = 0;

        memset(name, 'x', sizeof name);
        for (size_t i = (size_t)shift; i + 2 < sizeof name; i += 2) {
            memcpy(name + i, "\xc3\xa9", 2);
        }
        name[sizeof name - 1] = '\0';
        assert_result(blockjob_monitor_set_name(world->monitor, name), 0);
        assert_result(blockjob_monitor_get_qemu_version(world->monitor, &ignored, &ignored,
                                                        &ignored), -ENODATA);
        for (const char *c = blockjob_last_error(); *c != '\0'; c++) {
            if (*c == '\xc3') {
                assert_int_equal(c[1], '\xa9');
                accents++;
            }
        }
        assert_true(accents > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_thread_has_none),
        test_in_world(success_leaves_it),
        test_connected(a_callbacks_failure_is_not_the_programs),
        test_in_world(a_free_functions_failure_is_not_the_callers),
        test_in_world(a_failed_registration_tells_of_itself),
        test_in_world(long_words_stay_text),
    };

    return run_all(tests);
}
