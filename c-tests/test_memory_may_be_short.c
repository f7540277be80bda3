/*
 * What others decide the size of is asked for before it is taken: where there is no memory for what
 * QEMU says, its connection ends and says so, and other monitors go on; where there is none for a
 * long command, the call says so. Later all of it works again.
 *
 * Where there is no memory for what is small, the process ends, by SIGABRT and with a line, as
 * programs in Rust do.
 */
#include "harness.h"
#include "places.h"
#include "watched.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Sanitizers and valgrind need more of the address space than there is to be. */
enum { LIMITS_ARE_OTHERS = UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER };

enum { PATIENCE = PATIENCE_SECONDS * 1000, MIB = 1 << 20 };

/* The process may have so many bytes more than it has. */
static void allow(size_t more)
{
    struct rlimit limit;
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    child_check(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    child_check(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
    child_check(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void allow_all(void)
{
    struct rlimit limit;

    child_check(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    child_check(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* QEMU is in the parent: one that is well, and one that says too much. */
struct guest {
    struct scripted_monitor *well, *greedy;
    size_t room; /* of the process, while it does */
};

static char reason[512];
static atomic_int disconnected;

static void keep_reason(blockjob_event *event, void *opaque)
{
    (void)opaque;
    if (atomic_load(&disconnected) == 0) {
        snprintf(reason, sizeof reason, "%s", blockjob_event_get_reason(event));
        atomic_store(&disconnected, 1);
    }
}

static blockjob_monitor *connected(blockjob_listener *listener, struct scripted_monitor *qemu)
{
    blockjob_monitor *monitor = NULL;

    child_check(blockjob_monitor_new(listener, scripted_monitor_address(qemu), &monitor) == 0);
    child_check(blockjob_monitor_set_reconnect(monitor, -1, -1) == 0);
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    return monitor;
}

static void ask(blockjob_monitor *monitor, int result)
{
    child_check(blockjob_monitor_execute(monitor, "stop", NULL, 0, PATIENCE, NULL) == result);
}

static void listen_to_too_much(void *argument)
{
    struct guest *guest = argument;
    blockjob_listener *listener = NULL;
    blockjob_monitor *well, *greedy;

    child_check(blockjob_listener_new(&listener) == 0);
    well = connected(listener, guest->well);
    greedy = connected(listener, guest->greedy);
    child_check(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_DISCONNECTED,
                                      keep_reason, NULL, NULL) > 0);
    ask(well, 0);
    allow(guest->room);
    ask(greedy, -ECONNRESET);
    ask(well, 0);
    for (struct timespec end = patience_end(); atomic_load(&disconnected) == 0;) {
        child_check(patience_pause(&end));
    }
    child_check(strstr(reason, "there is no memory for what QEMU says") != NULL);
    allow_all();
    child_check(blockjob_monitor_connect(greedy, PATIENCE) == 0);
    ask(greedy, 0);
    ask(well, 0);
    child_check(blockjob_listener_free(listener) == 0);
    blockjob_monitor_unref(well);
    blockjob_monitor_unref(greedy);
}

/* A reply of so many bytes, which the caller frees. */
static char *long_reply(size_t size)
{
    static const char before[] = "{\"return\": \"", after[] = "\", \"id\": \"nobody\"}\r\n";
    char *text = malloc(size);

    assert_non_null(text);
    memset(text, 'x', size);
    memcpy(text, before, sizeof before - 1);
    memcpy(text + size - (sizeof after - 1), after, sizeof after - 1);
    return text;
}

/* All of it, unless the connection ends before. */
static void say(int connection, const char *text, size_t size)
{
    for (size_t said = 0; said < size;) {
        ssize_t sent = send(connection, text + said, size - said, MSG_NOSIGNAL);

        if (sent < 0) {
            break;
        }
        said += (size_t)sent;
    }
}

/* The next who dials is the script's; this is a second descriptor of the connection. */
static int accept_for(struct scripted_monitor *qemu, int listening)
{
    int connection = -1;

    assert_int_equal(fcntl(listening, F_SETFL, O_NONBLOCK), 0);
    wait_until((connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    then_take(qemu, fcntl(connection, F_DUPFD_CLOEXEC, 0));
    then_agree(qemu);
    return connection;
}

static void is_said(size_t size, size_t room)
{
    int port = 0, listening = listen_on_tcp("127.0.0.1", 8, &port), connection;
    char address[64], *text = long_reply(size);
    struct guest guest = { .well = scripted_monitor_new(), .room = room };
    pid_t child;

    if (LIMITS_ARE_OTHERS || RUNNING_ON_VALGRIND) {
        scripted_monitor_destroy(guest.well);
        close(listening);
        free(text);
        skip();
    }
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", port);
    guest.greedy = scripted_monitor_on(-1, address);
    then_negotiate(guest.well);
    for (int i = 0; i < 3; i++) {
        then_expect(guest.well, "\"stop\"");
        then_return(guest.well);
    }
    child = child_start(listen_to_too_much, &guest);
    connection = accept_for(guest.greedy, listening);
    then_expect(guest.greedy, "\"stop\"");
    script_done(guest.greedy);
    say(connection, text, size);
    then_expect_hang_up(guest.greedy);
    script_done(guest.greedy);
    close(connection);
    /* Later the same is no matter. */
    connection = accept_for(guest.greedy, listening);
    script_done(guest.greedy);
    say(connection, text, size);
    close(connection);
    then_expect(guest.greedy, "\"stop\"");
    then_return(guest.greedy);
    assert_int_equal(child_wait(child), 0);
    script_done(guest.greedy);
    script_done(guest.well);
    scripted_monitor_destroy(guest.well);
    scripted_monitor_destroy(guest.greedy);
    close(listening);
    free(text);
}

static void for_a_message(void **state)
{
    (void)state;
    is_said(12 * MIB, 4 * MIB);
}

/* It can be held, but not taken apart. */
static void for_what_is_made_of_a_message(void **state)
{
    (void)state;
    is_said(7 * MIB / 2, 9 * MIB);
}

/* --- What stands in a journal ------------------------------------------------------------------ */

static const char *journal;
static atomic_int was_logged;

static void keep_line(int level, const char *monitor_name, const char *message, void *opaque)
{
    (void)level;
    (void)monitor_name;
    (void)opaque;
    if (strstr(message, journal) != NULL && strstr(message, "there is no memory") != NULL) {
        atomic_store(&was_logged, 1);
    }
}

/* A job has ended, which only the journal knows. Without memory for it, it is lost. */
static void read_a_journal(void *argument)
{
    struct guest *guest = argument;
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    blockjob_event *event = NULL;
    blockjob_job *job = NULL;
    int is_short = guest->room > 0;

    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_listener_set_log(listener, BLOCKJOB_LOG_INFO, keep_line, NULL, NULL) == 0);
    child_check(blockjob_monitor_new(listener, scripted_monitor_address(guest->well), &monitor)
                == 0);
    child_check(blockjob_monitor_set_journal(monitor, journal, NULL) == 0);
    child_check(blockjob_job_new(monitor, "gone", BLOCKJOB_JOB_EXISTS, &job) == 0);
    if (is_short) {
        allow(guest->room);
    }
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    child_check(blockjob_job_wait(job, PATIENCE, &event) == 0);
    child_check(blockjob_event_get_kind(event)
                == (is_short ? BLOCKJOB_EVENT_LOST : BLOCKJOB_EVENT_COMPLETED));
    for (struct timespec end = patience_end(); is_short && atomic_load(&was_logged) == 0;) {
        child_check(patience_pause(&end));
    }
    child_check(atomic_load(&was_logged) == is_short);
    allow_all();
    blockjob_event_unref(event);
    blockjob_job_free(job);
    child_check(blockjob_listener_free(listener) == 0);
    blockjob_monitor_unref(monitor);
}

static void for_a_journal(void **state)
{
    static const char ended[] =
        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "
        "\"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"gone\", \"len\": 8, \"offset\": 8, "
        "\"speed\": 0, \"type\": \"stream\"}}\r\n";
    char path[] = "/tmp/blockjob-journal-XXXXXX";
    int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, ended, sizeof ended - 1), sizeof ended - 1);
    close(file);
    journal = path;
    for (size_t room = 0; room <= 3 * MIB; room += 3 * MIB) {
        struct guest guest = { .well = scripted_monitor_new(), .room = room };

        if (room == 0 || !(LIMITS_ARE_OTHERS || RUNNING_ON_VALGRIND)) {
            then_negotiate(guest.well);
            child_run(read_a_journal, &guest);
            script_done(guest.well);
        }
        scripted_monitor_destroy(guest.well);
    }
    unlink(path);
}

/* --- What the program's own calls want ------------------------------------------------------- */

static void call_with_little(void *argument)
{
    enum { LENGTH = 900000 };
    struct guest *guest = argument;
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor;
    char *json = malloc(LENGTH + 1);

    memset(json, ' ', LENGTH);
    memcpy(json, "{}", 2);
    json[LENGTH] = '\0';
    child_check(blockjob_listener_new(&listener) == 0);
    monitor = connected(listener, guest->well);
    ask(monitor, 0);
    allow(3 * MIB / 2);
    child_check(blockjob_monitor_execute(monitor, "stop", json, 0, PATIENCE, NULL) == -ENOMEM);
    child_check(strstr(blockjob_last_error(), "there is no memory for it") != NULL);
    ask(monitor, 0);
    allow_all();
    /* Now it is sent, and QEMU ends. */
    child_check(blockjob_monitor_execute(monitor, "stop", json, 0, PATIENCE, NULL)
                == -ECONNRESET);
    child_check(blockjob_listener_free(listener) == 0);
    blockjob_monitor_unref(monitor);
    free(json);
}

static void for_a_call(void **state)
{
    struct guest guest = { .well = scripted_monitor_new() };

    (void)state;
    if (LIMITS_ARE_OTHERS || RUNNING_ON_VALGRIND) {
        scripted_monitor_destroy(guest.well);
        skip();
    }
    then_negotiate(guest.well);
    for (int i = 0; i < 2; i++) {
        then_expect(guest.well, "\"stop\"");
        then_return(guest.well);
    }
    then_skip_line(guest.well);
    then_hang_up(guest.well);
    child_run(call_with_little, &guest);
    scripted_monitor_destroy(guest.well);
}

/* --- What is small ---------------------------------------------------------------------------- */

static void make_monitors_for_ever(void *argument)
{
    const struct rlimit no_core = { 0, 0 };
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;

    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL); /* cmocka has a handler */
    dup2(*(int *)argument, STDERR_FILENO);
    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_monitor_new(listener, "unix:/nowhere", &monitor) == 0);
    allow(4 * MIB);
    while (blockjob_monitor_new(listener, "unix:/nowhere", &monitor) == 0) {
    }
}

static void for_what_is_small_ends_the_process(void **state)
{
    char said[512] = "";
    int ends[2], status;
    ssize_t size;

    (void)state;
    if (LIMITS_ARE_OTHERS || RUNNING_ON_VALGRIND) {
        skip();
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    status = child_wait(child_start(make_monitors_for_ever, &ends[1]));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    close(ends[1]);
    size = read(ends[0], said, sizeof said - 1);
    assert_true(size > 0);
    assert_non_null(strstr(said, "memory allocation of "));
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_a_message),
        cmocka_unit_test(for_what_is_made_of_a_message),
        cmocka_unit_test(for_a_journal),
        cmocka_unit_test(for_a_call),
        cmocka_unit_test(for_what_is_small_ends_the_process),
    };

#ifdef __GLIBC__
    /* Nobody has set aside any for later: the limit is what there is. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
    return run_all(tests);
}
