/*
 * Each exported function with input that it cannot use: the errno is the right one, the outputs
 * are untouched, and blockjob_last_error says in a sentence what to do. Nothing crashes.
 */
#include "harness.h"

/* After every refusal there must be words of this call, so the words before it are replaced. */
static void forget_last_error(void)
{
    (void)blockjob_monitor_start(NULL);
}

/* A sentence names what was wrong, in more than a word, and ends on one line. */
static void assert_sentence(const char *call)
{
    const char *words = blockjob_last_error();

    if (strlen(words) < 10 || strchr(words, ' ') == NULL || strchr(words, '\n') != NULL) {
        fail_msg("after %s the last error is no sentence: \"%s\"", call, words);
    }
}

#define assert_refused(call, expected)      \
    do {                                    \
        forget_last_error();                \
        assert_result(call, expected);      \
        assert_sentence(#call);             \
    } while (0)

/* One that is refused because of its monitor names that monitor. */
#define assert_refused_by(name, call, expected)                                         \
    do {                                                                                \
        assert_refused(call, expected);                                                 \
        if (strstr(blockjob_last_error(), name) == NULL) {                              \
            fail_msg("\"%s\" does not name %s", blockjob_last_error(), (const char *)name); \
        }                                                                               \
    } while (0)

#define assert_null_refused(call)      \
    do {                               \
        forget_last_error();           \
        assert_null(call);             \
        assert_sentence(#call);        \
    } while (0)

/* What no output may become. */
static char never;
#define UNTOUCHED ((void *)&never)

static char *text_of(size_t size)
{
    char *text = malloc(size + 1);

    assert_non_null(text);
    memset(text, 'x', size);
    text[size] = '\0';
    return text;
}

static void nothing(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void listeners(void **state)
{
    (void)state;
    assert_refused(blockjob_listener_new(NULL), -EINVAL);
    assert_refused(blockjob_listener_stop(NULL), -EINVAL);
    assert_result(blockjob_listener_free(NULL), 0);
}

static void monitor_new(void **state)
{
    static const struct {
        const char *address;
        int error;
    } all[] = {
        { NULL, -EINVAL },
        { "", -EINVAL },
        { "unix:", -EINVAL },
        { "/run/vm.qmp", -EINVAL },
        { "UNIX:/run/vm.qmp", -EINVAL },
        { "vsock:3:4444", -EINVAL },
        { "unix:/run/a,b", -EINVAL },
        { "unix:/run/vm.qmp,server=on,wait=off", -EINVAL },
        { "unix:@", -EINVAL },
        { "tcp:localhost", -EINVAL },
        { "tcp:localhost:0", -EINVAL },
        { "tcp:localhost:65536", -EINVAL },
        { "tcp:::1:4444", -EINVAL },
        { "fd:", -EINVAL },
        { "fd:-1", -EINVAL },
        { "unix:/run/\xff.qmp", -EILSEQ },
        { "unix:\xc3", -EILSEQ },
    };
    struct world *world = *state;
    blockjob_monitor *monitor = UNTOUCHED;
    char address[256];

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_refused(blockjob_monitor_new(world->listener, all[i].address, &monitor),
                       all[i].error);
        assert_ptr_equal(monitor, UNTOUCHED);
        if (all[i].error == -EINVAL && all[i].address != NULL && all[i].address[0] != '\0') {
            assert_non_null(strstr(blockjob_last_error(), "unix:PATH"));
        }
    }
    assert_refused(blockjob_monitor_new(NULL, "unix:/x", &monitor), -EINVAL);
    assert_ptr_equal(monitor, UNTOUCHED);
    assert_refused(blockjob_monitor_new(world->listener, "unix:/x", NULL), -EINVAL);

    /* sun_path holds 107 bytes and their NUL: of a path that is no matter, of a name it is. */
    snprintf(address, sizeof address, "unix:@%0*d", 108, 0);
    assert_refused(blockjob_monitor_new(world->listener, address, &monitor), -ENAMETOOLONG);
    assert_ptr_equal(monitor, UNTOUCHED);
    snprintf(address, sizeof address, "unix:/%0*d/%086d,server=on", 100, 0, 0);
    assert_refused(blockjob_monitor_new(world->listener, address, &monitor), -ENAMETOOLONG);
    assert_ptr_equal(monitor, UNTOUCHED);
    snprintf(address, sizeof address, "unix:/%0*d", 200, 0);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    blockjob_monitor_unref(monitor);
}

static void monitor_handles_and_settings(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = world->monitor;
    const char *name = "vm-7";
    char *long_name = text_of(4097);
    int major = 1, minor = 2, micro = 3;

    assert_result(blockjob_monitor_set_name(monitor, name), 0);
    assert_null_refused(blockjob_monitor_ref(NULL));
    blockjob_monitor_unref(NULL);
    assert_refused(blockjob_monitor_set_name(NULL, name), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_name(monitor, NULL), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_name(monitor, ""), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_name(monitor, "caf\xe9"), -EILSEQ);
    assert_refused_by(name, blockjob_monitor_set_name(monitor, long_name), -ENAMETOOLONG);
    assert_text(blockjob_monitor_get_name(monitor), name);
    long_name[4096] = '\0';
    assert_result(blockjob_monitor_set_name(monitor, long_name), 0);
    assert_result(blockjob_monitor_set_name(monitor, name), 0);
    free(long_name);

    assert_refused(blockjob_monitor_set_connect_timeout(NULL, 1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_connect_timeout(monitor, -2), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_connect_timeout(monitor, INT32_MIN), -EINVAL);
    assert_refused(blockjob_monitor_set_line_limit(NULL, 1 << 20), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_line_limit(monitor, 0), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_line_limit(monitor, -1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_line_limit(monitor, INT64_MAX), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_line_limit(monitor, INT64_MIN), -EINVAL);

    assert_null_refused(blockjob_monitor_get_name(NULL));
    assert_null_refused(blockjob_monitor_get_address(NULL));
    assert_refused(blockjob_monitor_get_state(NULL), -EINVAL);
    assert_refused(blockjob_monitor_get_qemu_version(NULL, &major, &minor, &micro), -EINVAL);
    assert_refused_by(name, blockjob_monitor_get_qemu_version(monitor, &major, &minor, &micro),
                      -ENODATA);
    assert_int_equal(major, 1);
    assert_int_equal(minor, 2);
    assert_int_equal(micro, 3);

    assert_refused(blockjob_monitor_start(NULL), -EINVAL);
    assert_refused(blockjob_monitor_connect(NULL, -1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_connect(monitor, -2), -EINVAL);
    assert_refused(blockjob_monitor_close(NULL), -EINVAL);

    assert_result(blockjob_monitor_close(monitor), 0);
    assert_refused_by(name, blockjob_monitor_start(monitor), -ESHUTDOWN);
    assert_refused_by(name, blockjob_monitor_connect(monitor, -1), -ESHUTDOWN);
    assert_refused_by(name, blockjob_monitor_set_name(monitor, "late"), -ESHUTDOWN);
}

static void owners(void **state)
{
    static const char *const bad[] = { "", "9", "-a", "a b", "a/b", "\xc3\xa9", "a\n" };
    struct world *world = *state;
    blockjob_listener *listener = NULL;
    char *long_name = text_of(65);

    assert_refused(blockjob_listener_set_owner(NULL, "a"), -EINVAL);
    assert_refused(blockjob_listener_set_owner(world->listener, "late"), -EBUSY);
    assert_result(blockjob_listener_new(&listener), 0);
    assert_refused(blockjob_listener_set_owner(listener, NULL), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(blockjob_listener_set_owner(listener, bad[i]), -EINVAL);
    }
    assert_refused(blockjob_listener_set_owner(listener, "a\xff"), -EILSEQ);
    assert_refused(blockjob_listener_set_owner(listener, long_name), -EINVAL);
    long_name[64] = '\0';
    assert_result(blockjob_listener_set_owner(listener, long_name), 0);
    assert_result(blockjob_listener_stop(listener), 0);
    assert_refused(blockjob_listener_set_owner(listener, "a"), -ESHUTDOWN);
    assert_result(blockjob_listener_free(listener), 0);
    free(long_name);
}

static void settings_of_a_monitors_life(void **state)
{
    static const int pairs[][2] = { { -1, 1 }, { 1, -1 }, { -2, -2 }, { 0, 1 }, { INT32_MIN, 1 } };
    static const int limits[] = { 0, -1, 65537, INT32_MAX, INT32_MIN };
    struct world *world = *state;
    blockjob_monitor *monitor = world->monitor;
    const char *name = "vm-7";
    blockjob_job *job = NULL;

    assert_result(blockjob_monitor_set_name(monitor, name), 0);
    assert_refused(blockjob_monitor_set_reconnect(NULL, 1, 1), -EINVAL);
    assert_refused(blockjob_monitor_set_keepalive(NULL, 1, 1), -EINVAL);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int first = pairs[i][0], second = pairs[i][1];

        assert_refused_by(name, blockjob_monitor_set_reconnect(monitor, first, second), -EINVAL);
        assert_refused_by(name, blockjob_monitor_set_keepalive(monitor, first, second), -EINVAL);
    }
    assert_refused_by(name, blockjob_monitor_set_reconnect(monitor, 5, 4), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_keepalive(monitor, 1, 0), -EINVAL);
    assert_result(blockjob_monitor_set_reconnect(monitor, 4, 4), 0);
    assert_result(blockjob_monitor_set_keepalive(monitor, 5, 4), 0);
    assert_result(blockjob_monitor_set_keepalive(monitor, -1, -1), 0);

    assert_refused(blockjob_monitor_set_lost_after(NULL, 1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_lost_after(monitor, -2), -EINVAL);
    assert_result(blockjob_monitor_set_lost_after(monitor, 0), 0);
    assert_result(blockjob_monitor_set_lost_after(monitor, -1), 0);
    assert_refused(blockjob_monitor_set_peer(NULL, -1, -1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_peer(monitor, -2, -1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_peer(monitor, UINT32_MAX, -1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_peer(monitor, -1, 0), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_peer(monitor, -1, INT64_MAX), -EINVAL);
    assert_result(blockjob_monitor_set_peer(monitor, -1, -1), 0);

    assert_refused(blockjob_monitor_set_marker(NULL, 1), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_marker(monitor, 2), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_marker(monitor, -1), -EINVAL);
    assert_result(blockjob_monitor_set_marker(monitor, 0), 0);
    assert_refused(blockjob_monitor_set_job_limit(NULL, 1), -EINVAL);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        assert_refused_by(name, blockjob_monitor_set_job_limit(monitor, limits[i]), -EINVAL);
    }
    assert_result(blockjob_monitor_set_job_limit(monitor, 65536), 0);
    assert_result(blockjob_monitor_set_job_limit(monitor, 1), 0);
    assert_refused(blockjob_monitor_set_journal(NULL, "/x", NULL), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_journal(monitor, NULL, NULL), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_journal(monitor, "", NULL), -EINVAL);
    assert_refused_by(name, blockjob_monitor_set_journal(monitor, "\xff", NULL), -EILSEQ);
    assert_refused_by(name, blockjob_monitor_set_journal(monitor, "/x", "12"), -EINVAL);
    assert_result(blockjob_monitor_set_journal(monitor, "/x", NULL), 0);

    /* A job settles them, as the start does; and one job is all that it may know. */
    assert_result(blockjob_job_new(monitor, "one", 0, &job), 0);
    blockjob_job *another = UNTOUCHED;
    assert_refused_by(name, blockjob_job_new(monitor, "two", 0, &another), -ENOBUFS);
    assert_ptr_equal(another, UNTOUCHED);
    assert_refused_by(name, blockjob_monitor_set_reconnect(monitor, 1, 1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_keepalive(monitor, 1, 1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_lost_after(monitor, 1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_marker(monitor, 1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_peer(monitor, -1, -1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_job_limit(monitor, 1), -EBUSY);
    assert_refused_by(name, blockjob_monitor_set_journal(monitor, "/x", NULL), -EBUSY);
    blockjob_job_free(job);
    assert_result(blockjob_job_new(monitor, "two", 0, &another), 0);
    blockjob_job_free(another);
}

static void jobs(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = world->monitor;
    blockjob_job *job = UNTOUCHED;
    blockjob_event *event = UNTOUCHED;
    char *long_id = text_of(4097), *long_json = text_of(65537);

    assert_refused(blockjob_job_new(NULL, "j", 0, &job), -EINVAL);
    assert_refused(blockjob_job_new(monitor, "j", 0, NULL), -EINVAL);
    assert_refused(blockjob_job_new(monitor, "", 0, &job), -EINVAL);
    assert_refused(blockjob_job_new(monitor, "j\xfe", 0, &job), -EILSEQ);
    assert_refused(blockjob_job_new(monitor, long_id, 0, &job), -ENAMETOOLONG);
    assert_refused(blockjob_job_new(monitor, "j", 4, &job), -EINVAL);
    assert_refused(blockjob_job_new(monitor, "j", UINT32_MAX, &job), -EINVAL);
    assert_refused(blockjob_job_new(monitor, NULL, BLOCKJOB_JOB_EXISTS, &job), -EINVAL);
    assert_ptr_equal(job, UNTOUCHED);
    blockjob_job_free(NULL);
    assert_null_refused(blockjob_job_get_id(NULL));
    assert_refused(blockjob_job_start(NULL, "block-stream", "{}", -1), -EINVAL);
    assert_refused(blockjob_job_wait(NULL, -1, &event), -EINVAL);
    assert_refused(blockjob_job_complete(NULL, -1), -EINVAL);
    assert_refused(blockjob_job_cancel(NULL, 0, -1), -EINVAL);

    assert_result(blockjob_job_new(monitor, "job-7", 0, &job), 0);
    assert_text(blockjob_job_get_id(job), "job-7");
    assert_refused_by("job-7", blockjob_job_start(job, NULL, "{}", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "", "{}", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", NULL, -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "{}", -2), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "[]", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "{} {}", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "a\",\"b", "{}", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "transaction", "{}", -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "\xff", -1), -EILSEQ);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", long_json, -1),
                      -ENAMETOOLONG);
    assert_refused_by("job-7", blockjob_job_start(job, "block-stream", "{\"job-id\":\"x\"}", -1),
                      -EINVAL);
    assert_refused_by("job-7", blockjob_job_wait(job, -2, &event), -EINVAL);
    assert_refused_by("job-7", blockjob_job_wait(job, 0, NULL), -EINVAL);
    assert_refused_by("job-7", blockjob_job_wait(job, 0, &event), -ETIMEDOUT);
    assert_ptr_equal(event, UNTOUCHED);
    assert_refused_by("job-7", blockjob_job_complete(job, -2), -EINVAL);
    assert_refused_by("job-7", blockjob_job_cancel(job, 2, -1), -EINVAL);
    assert_refused_by("job-7", blockjob_job_cancel(job, 0, -2), -EINVAL);
    blockjob_job_free(job);
    free(long_id);
    free(long_json);
}

/* All outputs are looked at before the first is set. */
static void version_outputs(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = world->monitor;
    int a = 1, b = 2;

    assert_refused(blockjob_monitor_get_qemu_version(monitor, NULL, &a, &b), -EINVAL);
    assert_refused(blockjob_monitor_get_qemu_version(monitor, &a, NULL, &b), -EINVAL);
    assert_refused(blockjob_monitor_get_qemu_version(monitor, &a, &b, NULL), -EINVAL);
    assert_int_equal(a, 1);
    assert_int_equal(b, 2);
}

static void callbacks(void **state)
{
    struct world *world = *state;
    blockjob_listener *listener = world->listener;
    char *long_id = text_of(4097);
    int64_t id;

    assert_refused(blockjob_callback_add(NULL, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing, NULL,
                                         NULL), -EINVAL);
    assert_refused(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, NULL, NULL,
                                         NULL), -EINVAL);
    assert_refused(blockjob_callback_add(listener, NULL, NULL, 0, nothing, NULL, NULL), -EINVAL);
    assert_refused(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL + 1,
                                         nothing, NULL, NULL), -EINVAL);
    assert_refused(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_OBSERVE, nothing, NULL,
                                         NULL), -EINVAL); /* is no kind itself */
    assert_refused(blockjob_callback_add(listener, NULL, "", BLOCKJOB_EVENT_ALL, nothing, NULL,
                                         NULL), -EINVAL);
    assert_refused(blockjob_callback_add(listener, NULL, "j\xfe", BLOCKJOB_EVENT_ALL, nothing,
                                         NULL, NULL), -EILSEQ);
    assert_refused(blockjob_callback_add(listener, NULL, long_id, BLOCKJOB_EVENT_ALL, nothing,
                                         NULL, NULL), -ENAMETOOLONG);
    free(long_id);

    id = blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, nothing, NULL, NULL);
    assert_true(id > 0);
    assert_refused(blockjob_callback_remove(NULL, id, 0), -EINVAL);
    assert_refused(blockjob_callback_remove(listener, id, 0x2), -EINVAL);
    assert_refused(blockjob_callback_remove(listener, id, UINT32_MAX), -EINVAL);
    assert_refused(blockjob_callback_remove(listener, 0, 0), -ENOENT);
    assert_refused(blockjob_callback_remove(listener, -1, 0), -ENOENT);
    assert_refused(blockjob_callback_remove(listener, id + 1, 0), -ENOENT);
    assert_refused(blockjob_callback_remove(listener, INT64_MAX, 0), -ENOENT);
    assert_result(blockjob_callback_remove(listener, id, 0), 0);
    assert_refused(blockjob_callback_remove(listener, id, 0), -ENOENT);
}

static void a_monitor_of_another_listener(void **state)
{
    struct world *world = *state;
    blockjob_listener *other = NULL;

    assert_result(blockjob_listener_new(&other), 0);
    assert_refused_by(scripted_monitor_address(world->qemu),
                      blockjob_callback_add(other, world->monitor, NULL, BLOCKJOB_EVENT_ALL,
                                            nothing, NULL, NULL), -EINVAL);
    assert_result(blockjob_listener_free(other), 0);
}

static void events(void **state)
{
    struct world *world = *state;
    int64_t seconds = 4, microseconds = 5;
    blockjob_event *event;

    assert_null_refused(blockjob_event_ref(NULL));
    blockjob_event_unref(NULL);
    assert_refused(blockjob_event_get_kind(NULL), -EINVAL);
    assert_null_refused(blockjob_event_get_name(NULL));
    assert_null_refused(blockjob_event_get_monitor(NULL));
    assert_null_refused(blockjob_event_get_job_id(NULL));
    assert_refused(blockjob_event_get_outcome(NULL), -EINVAL);
    assert_null_refused(blockjob_event_get_outcome_name(NULL));
    assert_refused(blockjob_event_get_type(NULL), -EINVAL);
    assert_null_refused(blockjob_event_get_type_name(NULL));
    assert_refused(blockjob_event_get_len(NULL), -1); /* numbers of QEMU are never an errno */
    assert_refused(blockjob_event_get_offset(NULL), -1);
    assert_refused(blockjob_event_get_speed(NULL), -1);
    assert_null_refused(blockjob_event_get_error(NULL));
    assert_refused(blockjob_event_get_timestamp(NULL, &seconds, &microseconds), -EINVAL);
    assert_refused(blockjob_event_get_status(NULL), -EINVAL);
    assert_null_refused(blockjob_event_get_status_name(NULL));
    assert_null_refused(blockjob_event_get_action(NULL));
    assert_null_refused(blockjob_event_get_operation(NULL));
    assert_null_refused(blockjob_event_get_reason(NULL));
    assert_refused(blockjob_event_get_dropped(NULL), -1);
    assert_null_refused(blockjob_event_get_json(NULL));
    assert_null_refused(blockjob_event_get_line(NULL));
    assert_null_refused(blockjob_event_get_position(NULL));
    assert_refused(blockjob_event_get_origin(NULL), -EINVAL);
    assert_refused(blockjob_event_get_pivoted(NULL), -EINVAL);
    assert_refused(blockjob_event_get_loss(NULL), -EINVAL);
    assert_refused(blockjob_event_get_process(NULL), -EINVAL);
    assert_refused(blockjob_event_get_recovered(NULL), -1);
    assert_refused(blockjob_event_acknowledge(NULL, -1), -EINVAL);
    assert_refused(blockjob_event_has(NULL, BLOCKJOB_MEMBER_LEN), -EINVAL);

    say_completed(world->qemu, "job");
    event = recorder_next(world->recorder);
    assert_refused(blockjob_event_acknowledge(event, -2), -EINVAL);
    assert_refused(blockjob_event_has(event, 0), -EINVAL);
    assert_refused(blockjob_event_has(event, 99), -EINVAL);
    assert_refused(blockjob_event_has(event, -1), -EINVAL);
    assert_refused(blockjob_event_get_timestamp(event, NULL, &microseconds), -EINVAL);
    assert_refused(blockjob_event_get_timestamp(event, &seconds, NULL), -EINVAL);

    then_say(world->qemu, "{'event': 'BLOCK_JOB_ERROR', 'data': {'device': 'j'}}");
    event = recorder_next(world->recorder);
    assert_result(blockjob_event_get_timestamp(event, &seconds, &microseconds), -ENODATA);
    assert_int_equal(seconds, 4);
    assert_int_equal(microseconds, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners),
        test_in_world(monitor_new),
        test_in_world(monitor_handles_and_settings),
        test_in_world(owners),
        test_in_world(settings_of_a_monitors_life),
        test_connected(jobs),
        test_connected(version_outputs),
        test_in_world(callbacks),
        test_in_world(a_monitor_of_another_listener),
        test_connected(events),
    };

    return run_all(tests);
}
