/*
 * Where a process has no descriptor left, the call or the monitor that wants one says so, with
 * -EMFILE, at whichever step it is; nothing is left open, other monitors go on, and all of it works
 * again when there are descriptors.
 *
 * The library is in a child process, whose limit is set anew for each step; QEMU is in the parent.
 */
#include "harness.h"
#include "places.h"
#include "watched.h"

#include <fcntl.h>
#include <sys/resource.h>

enum { DESCRIPTORS = 256, PATIENCE = PATIENCE_SECONDS * 1000 };

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) >= 0;
}

static int open_descriptors(void)
{
    int count = 0;

    for (int i = 0; i < DESCRIPTORS; i++) {
        count += is_open(i);
    }
    return count;
}

/* So many more may be opened, as long as none is closed. */
static void allow(int more)
{
    struct rlimit limit;
    rlim_t number = 0;

    child_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (more > 0 || is_open((int)number)) {
        more -= !is_open((int)number++);
    }
    limit.rlim_cur = number;
    child_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* None at all, and also not that one once it is closed; those below are open. */
static void forbid_from(int descriptor)
{
    struct rlimit limit;

    child_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)descriptor;
    child_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    child_check(dup(0) == -1 && errno == EMFILE);
}

static void allow_all(void)
{
    struct rlimit limit;

    child_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = DESCRIPTORS;
    child_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void check_refused(int result, const char *words)
{
    child_check(result == -EMFILE);
    child_check(strstr(blockjob_last_error(), "Too many open files") != NULL);
    child_check(strstr(blockjob_last_error(), words) != NULL);
}

/* The other end of each test is in the parent, and this is what the child has. */
struct guest {
    struct scripted_monitor *well; /* answers as long as the test lasts */
    const char *address;
    blockjob_listener *listener;
    blockjob_monitor *other; /* connected to that */
    struct recorder *recorder;
};

enum { STOPS = 16 }; /* commands that the other one answers */

static void begin(struct guest *guest)
{
    allow_all();
    guest->recorder = recorder_new();
    child_check(blockjob_listener_new(&guest->listener) == 0);
    child_check(blockjob_callback_add(guest->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                      recorder_callback, guest->recorder, recorder_release) > 0);
    child_check(blockjob_monitor_new(guest->listener, scripted_monitor_address(guest->well),
                                     &guest->other) == 0);
    child_check(blockjob_monitor_connect(guest->other, PATIENCE) == 0);
}

static void check_other_lives(struct guest *guest)
{
    child_check(blockjob_monitor_execute(guest->other, "stop", NULL, 0, PATIENCE, NULL) == 0);
}

static void end(struct guest *guest)
{
    check_other_lives(guest);
    child_check(blockjob_listener_free(guest->listener) == 0);
    blockjob_monitor_unref(guest->other);
    recorder_destroy(guest->recorder);
}

static blockjob_monitor *monitor_of(struct guest *guest)
{
    blockjob_monitor *monitor = NULL;

    child_check(blockjob_monitor_new(guest->listener, guest->address, &monitor) == 0);
    child_check(blockjob_monitor_set_reconnect(monitor, -1, -1) == 0);
    return monitor;
}

static void run_with_other(void (*program)(void *), struct guest *guest)
{
    guest->well = scripted_monitor_new();
    then_negotiate(guest->well);
    for (int i = 0; i < STOPS; i++) {
        then_expect(guest->well, "\"stop\"");
        then_return(guest->well);
    }
    child_run(program, guest);
    scripted_monitor_destroy(guest->well);
}

/* --- A listener ------------------------------------------------------------------------------ */

static void make_listeners(void *argument)
{
    int more = 0, before, steps = 0, result;
    blockjob_listener *listener = NULL;

    (void)argument;
    allow_all();
    before = open_descriptors();
    do {
        allow(more++);
        result = blockjob_listener_new(&listener);
        allow_all();
        if (result != 0) {
            steps++;
            check_refused(result, "cannot make an e");
            child_check(listener == NULL);
            child_check(open_descriptors() == before);
        }
    } while (result != 0);
    child_check(steps == 2); /* the wake-up and the poll */

    allow(0);
    check_refused(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP), "eventfd");
    allow_all();
    child_check(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP) == 0);
    child_check(blockjob_listener_get_fd(listener) >= 0);
    child_check(blockjob_listener_free(listener) == 0);
    child_check(open_descriptors() == before);
}

static void of_a_listener(void **state)
{
    (void)state;
    child_run(make_listeners, NULL);
}

/* --- A connection ---------------------------------------------------------------------------- */

/* Tries with more and more, until it is connected; says how often it was refused. */
static int connect_step_by_step(struct guest *guest, blockjob_monitor *monitor)
{
    int before = open_descriptors(), more = 0, result;

    do {
        allow(more++);
        result = blockjob_monitor_connect(monitor, PATIENCE);
        if (result != 0) {
            check_refused(result, "cannot connect to");
            check_other_lives(guest);
            child_check(open_descriptors() == before);
        }
        allow_all();
    } while (result != 0);
    return more - 1;
}

static void dial_and_leave(struct guest *guest, int steps)
{
    blockjob_monitor *monitor;
    int before;

    begin(guest);
    before = open_descriptors();
    monitor = monitor_of(guest);
    child_check(connect_step_by_step(guest, monitor) == steps);
    child_check(blockjob_monitor_close(monitor) == 0);
    blockjob_monitor_unref(monitor);
    end(guest);
    child_check(open_descriptors() < before);
}

static void dial_path(void *guest)
{
    dial_and_leave(guest, 1);
}

/* A name that is too long for the kernel is dialled by way of its file. */
static void dial_long_path(void *guest)
{
    dial_and_leave(guest, 2);
}

static void of_a_connection(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new(), *deep = monitor_on_long_path();
    struct scripted_monitor *tcp = monitor_on_tcp("127.0.0.1");
    struct guest guest = { .address = scripted_monitor_address(qemu) };

    (void)state;
    then_negotiate(qemu);
    then_expect_hang_up(qemu);
    run_with_other(dial_path, &guest);
    script_done(qemu);
    guest.address = scripted_monitor_address(tcp);
    then_negotiate(tcp);
    then_expect_hang_up(tcp);
    run_with_other(dial_path, &guest);
    script_done(tcp);
    guest.address = scripted_monitor_address(deep);
    then_negotiate(deep);
    then_expect_hang_up(deep);
    run_with_other(dial_long_path, &guest);
    script_done(deep);
    scripted_monitor_destroy(qemu);
    scripted_monitor_destroy(tcp);
    scripted_monitor_destroy(deep);
}

/* --- A connection that QEMU makes ------------------------------------------------------------ */

/* Without one it cannot listen; with one it cannot take who dials, who waits until it can. */
static void wait_for_dialler(void *argument)
{
    struct guest *guest = argument;
    blockjob_monitor *monitor;

    begin(guest);
    monitor = monitor_of(guest);
    allow(0);
    check_refused(blockjob_monitor_connect(monitor, PATIENCE), "cannot listen on");
    allow(1);
    check_refused(blockjob_monitor_connect(monitor, PATIENCE), "cannot take a connection");
    check_other_lives(guest);
    allow_all();
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    blockjob_monitor_unref(monitor);
    end(guest);
}

static void of_a_connection_that_is_taken(void **state)
{
    struct scripted_monitor *qemu = monitor_nowhere(), *home = scripted_monitor_new();
    char address[128], full[160];
    struct guest guest = { .address = full };
    pid_t child;

    (void)state;
    if (RUNNING_ON_VALGRIND) {
        /* It lets the kernel take the connection, and then closes it. */
        scripted_monitor_destroy(qemu);
        scripted_monitor_destroy(home);
        skip();
    }
    snprintf(address, sizeof address, "unix:%s/door", scripted_monitor_directory(home));
    snprintf(full, sizeof full, "%s,server=on", address);
    guest.well = scripted_monitor_new();
    then_negotiate(guest.well);
    for (int i = 0; i < 2; i++) {
        then_expect(guest.well, "\"stop\"");
        then_return(guest.well);
    }
    child = child_start(wait_for_dialler, &guest);
    then_take(qemu, dial(address));
    then_agree(qemu);
    assert_int_equal(child_wait(child), 0);
    script_done(qemu);
    scripted_monitor_destroy(qemu);
    scripted_monitor_destroy(home);
    scripted_monitor_destroy(guest.well);
}

/* --- What else is opened --------------------------------------------------------------------- */

static void pass_one(void *argument)
{
    struct guest *guest = argument;
    int before;

    begin(guest);
    before = open_descriptors();
    allow(0);
    check_refused(blockjob_monitor_execute_with_fd(guest->other, "stop", NULL, 0, 0, PATIENCE,
                                                   NULL), "cannot duplicate the descriptor 0");
    check_other_lives(guest);
    allow_all();
    child_check(blockjob_monitor_execute_with_fd(guest->other, "stop", NULL, 0, 0, PATIENCE,
                                                 NULL) == 0);
    child_check(open_descriptors() == before);
    end(guest);
}

static void of_one_that_is_passed(void **state)
{
    struct guest guest = { .address = NULL };

    (void)state;
    run_with_other(pass_one, &guest);
}

/*
 * A connection ends, and its process cannot be watched, or can where the connection's descriptor
 * serves for that, but not be looked at: that says nothing of the job.
 */
static void lose_connection(struct guest *guest, bool leaves_one)
{
    blockjob_monitor *monitor;
    blockjob_event *event = NULL;
    blockjob_job *job = NULL;
    int next;

    begin(guest);
    monitor = monitor_of(guest);
    child_check(blockjob_job_new(monitor, "job", 0, &job) == 0);
    next = dup(0);
    child_check(next >= 0);
    close(next);
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    child_check(is_open(next));
    child_check(blockjob_monitor_execute(monitor, "stop", NULL, 0, PATIENCE, NULL) == 0);
    if (leaves_one) {
        allow(0);
    } else {
        forbid_from(next);
    }
    child_check(blockjob_monitor_execute(monitor, "quit", NULL, 0, PATIENCE, NULL) == -ECONNRESET);
    check_refused(blockjob_monitor_connect(monitor, PATIENCE), "cannot connect to");
    child_check(blockjob_job_wait(job, 0, &event) == -ETIMEDOUT);
    allow_all();
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    child_check(blockjob_job_wait(job, PATIENCE, &event) == 0);
    child_check(blockjob_event_get_outcome(event) == BLOCKJOB_OUTCOME_SUCCEEDED);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    end(guest);
}

static void lose_connection_without_any(void *argument)
{
    lose_connection(argument, false);
}

static void lose_connection_with_one(void *argument)
{
    lose_connection(argument, true);
}

static void watch_a_process(void (*story)(void *argument))
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    struct guest guest = { .address = scripted_monitor_address(qemu) };

    then_negotiate(qemu);
    say_status(qemu, "job", "running");
    then_expect(qemu, "\"stop\"");
    then_return(qemu);
    then_expect(qemu, "\"quit\"");
    then_hang_up(qemu);
    then_accept(qemu);
    then_greet(qemu);
    then_expect(qemu, "qmp_capabilities");
    then_return(qemu);
    then_list(qemu, "{'id': 'job', 'type': 'stream', 'status': 'concluded', "
                    "'current-progress': 1, 'total-progress': 1}", "");
    run_with_other(story, &guest);
    script_done(qemu);
    scripted_monitor_destroy(qemu);
}

static void of_a_process_that_is_watched(void **state)
{
    (void)state;
    watch_a_process(lose_connection_without_any);
}

static void of_a_process_that_is_watched_and_not_looked_at(void **state)
{
    (void)state;
    if (RUNNING_ON_VALGRIND) {
        skip(); /* its kernel watches no process */
    }
    watch_a_process(lose_connection_with_one);
}

/* A journal that cannot be opened is none: the job that only it knows is lost, and the log says why. */
static char line_of_log[512];

static void keep_line(int level, const char *monitor_name, const char *message, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)opaque;
    if (strstr(message, "Too many open files") != NULL) {
        snprintf(line_of_log, sizeof line_of_log, "%s", message);
    }
}

static const char *journal;

static void read_journal(void *argument)
{
    struct guest *guest = argument;
    blockjob_monitor *monitor;
    blockjob_event *event = NULL;
    blockjob_job *job = NULL;

    begin(guest);
    child_check(blockjob_listener_set_log(guest->listener, BLOCKJOB_LOG_INFO, keep_line, NULL,
                                          NULL) == 0);
    monitor = monitor_of(guest);
    child_check(blockjob_monitor_set_journal(monitor, journal, NULL) == 0);
    child_check(blockjob_job_new(monitor, "gone", BLOCKJOB_JOB_EXISTS, &job) == 0);
    allow(1);
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    child_check(blockjob_job_wait(job, PATIENCE, &event) == 0);
    child_check(blockjob_event_get_kind(event) == BLOCKJOB_EVENT_LOST);
    check_other_lives(guest);
    allow_all();
    blockjob_event_unref(event);
    blockjob_job_free(job);
    blockjob_monitor_unref(monitor);
    /* All that was said has been heard when the listener is stopped and its thread has ended. */
    child_check(blockjob_callback_add(guest->listener, NULL, "fence", BLOCKJOB_EVENT_ALL,
                                      recorder_callback, guest->recorder, NULL) > 0);
    for (struct timespec limit = patience_end(); line_of_log[0] == '\0';) {
        child_check(patience_pause(&limit));
    }
    child_check(strstr(line_of_log, journal) != NULL);
    end(guest);
}

static void of_a_journal(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    struct guest guest = { .address = scripted_monitor_address(qemu) };
    char path[] = "/tmp/blockjob-journal-XXXXXX";
    int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    close(file);
    journal = path;
    then_negotiate(qemu);
    run_with_other(read_journal, &guest);
    script_done(qemu);
    unlink(path);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_listener),
        cmocka_unit_test(of_a_connection),
        cmocka_unit_test(of_a_connection_that_is_taken),
        cmocka_unit_test(of_one_that_is_passed),
        cmocka_unit_test(of_a_process_that_is_watched),
        cmocka_unit_test(of_a_process_that_is_watched_and_not_looked_at),
        cmocka_unit_test(of_a_journal),
    };

    return run_all(tests);
}
