/*
 * Where no thread can be started, the call that wanted one says -EAGAIN and leaves nothing behind;
 * what a helper was wanted for goes on without it, and says so. Later it works again.
 *
 * Limits of the number of threads do not bind root, so this program has a pthread_create() of its
 * own, which the library calls.
 */
#include "harness.h"
#include "log_keeper.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* Under a thread sanitizer it is this one that knows of the threads. */
extern create __interceptor_pthread_create __attribute__((weak));

static atomic_bool none_left;
static atomic_int refused;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    create *real = __interceptor_pthread_create;

    if (atomic_load(&none_left)) {
        atomic_fetch_add(&refused, 1);
        return EAGAIN;
    }
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "pthread_create");

        memcpy(&real, &found, sizeof real);
    }
    return real(thread, attributes, start, argument);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int i = 0; i < 1024; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

static void assert_refused(const char *name)
{
    assert_int_equal(atomic_exchange(&refused, 0), 1);
    assert_non_null(strstr(blockjob_last_error(), name));
}

static void without_a_reader_there_is_no_listener(void **state)
{
    blockjob_listener *listener = NULL;
    int before = open_descriptors();

    (void)state;
    atomic_store(&none_left, true);
    assert_result(blockjob_listener_new(&listener), -EAGAIN);
    assert_refused("blockjob-read");
    assert_null(listener);
    assert_int_equal(open_descriptors(), before);
    atomic_store(&none_left, false);
    assert_result(blockjob_listener_new(&listener), 0);
    assert_result(blockjob_listener_free(listener), 0);
}

static void without_one_for_callbacks_there_is_no_monitor(void **state)
{
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    atomic_store(&none_left, true);
    assert_result(blockjob_monitor_new(listener, "unix:/nowhere", &monitor), -EAGAIN);
    assert_refused("blockjob-call");
    assert_null(monitor);
    atomic_store(&none_left, false);
    assert_result(blockjob_monitor_new(listener, "unix:/nowhere", &monitor), 0);
    assert_result(blockjob_monitor_connect(monitor, -1), -ENOENT);
    assert_result(blockjob_listener_free(listener), 0);
    blockjob_monitor_unref(monitor);
}

/* It was not taken over, so it is still there, and can be. */
static void a_descriptor_stays_the_callers_then(void **state)
{
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    char address[32];
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    snprintf(address, sizeof address, "fd:%d", pair[1]);
    assert_result(blockjob_listener_new(&listener), 0);
    atomic_store(&none_left, true);
    assert_result(blockjob_monitor_new(listener, address, &monitor), -EAGAIN);
    assert_refused("blockjob-call");
    atomic_store(&none_left, false);
    assert_true(fcntl(pair[1], F_GETFD) >= 0);
    assert_result(blockjob_monitor_new(listener, address, &monitor), 0);
    blockjob_monitor_unref(monitor);
    assert_result(blockjob_listener_free(listener), 0);
    close(pair[0]);
}

static void a_host_that_cannot_be_looked_up_is_no_connection(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = NULL;

    assert_result(blockjob_monitor_new(world->listener, "tcp:localhost:1", &monitor), 0);
    stay_down(monitor);
    atomic_store(&none_left, true);
    assert_result(blockjob_monitor_connect(monitor, -1), -EAGAIN);
    assert_refused("blockjob-name");
    /* Nobody else is concerned. */
    say_completed(world->qemu, "job");
    assert_text(blockjob_event_get_job_id(
                    recorder_next_of(world->recorder, BLOCKJOB_EVENT_COMPLETED)), "job");
    atomic_store(&none_left, false);
    assert_result(blockjob_monitor_connect(monitor, -1), -ECONNREFUSED);
    blockjob_monitor_unref(monitor);
}

/*
 * Who holds the monitor is not found out then: it is silent. The one that works afterwards is
 * another, which has more time for it.
 */
static void a_silent_monitor_is_not_said_to_be_busy(void **state)
{
    struct world *world = *state;
    blockjob_monitor *later;

    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 200), 0);
    then_accept(world->qemu);
    then_expect_hang_up(world->qemu);
    atomic_store(&none_left, true);
    assert_result(blockjob_monitor_connect(world->monitor, -1), -ETIMEDOUT);
    atomic_store(&none_left, false);
    assert_int_equal(atomic_exchange(&refused, 0), 1);
    later = connected_monitor(world->listener, world->qemu);
    blockjob_monitor_unref(later);
}

/* The job is lost, as without a journal; the log says why it was not read. */
static void a_journal_that_nobody_can_read_is_none(void **state)
{
    struct world *world = *state;
    struct log_keeper *log = log_keeper_new();
    char path[] = "/tmp/blockjob-journal-XXXXXX", *line;
    int file = mkstemp(path);
    blockjob_job *job;
    blockjob_event *event = NULL;

    assert_true(file >= 0);
    close(file);
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_INFO, log_keeper_take,
                                            log, log_keeper_release), 0);
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    job = handle_of(world, "before", BLOCKJOB_JOB_EXISTS);
    atomic_store(&none_left, true);
    connect_to(world->monitor, world->qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    atomic_store(&none_left, false);
    assert_true(atomic_exchange(&refused, 0) >= 1);
    line = log_keeper_find(log, "blockjob-file");
    assert_non_null(strstr(line, path));
    free(line);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    end_listener(world);
    log_keeper_destroy(log);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_reader_there_is_no_listener),
        cmocka_unit_test(without_one_for_callbacks_there_is_no_monitor),
        cmocka_unit_test(a_descriptor_stays_the_callers_then),
        test_connected(a_host_that_cannot_be_looked_up_is_no_connection),
        test_in_world(a_silent_monitor_is_not_said_to_be_busy),
        test_in_world(a_journal_that_nobody_can_read_is_none),
    };

    return run_all(tests);
}
