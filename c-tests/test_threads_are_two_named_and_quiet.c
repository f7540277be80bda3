/*
 * What the library adds to a process: two threads with names, whatever the number of monitors,
 * that take none of the program's signals; descriptors that no exec inherits; nothing else.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

/* How many threads of this process have the name; the last one's id to *task. */
static int threads_named(const char *name, int *task)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    assert_non_null(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], comm[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (file == NULL) {
            continue;
        }
        if (fgets(comm, sizeof comm, file) != NULL) {
            comm[strcspn(comm, "\n")] = '\0';
        }
        fclose(file);
        if (strncmp(comm, name, strlen(name)) == 0) {
            count++;
            if (task != NULL) {
                *task = atoi(entry->d_name);
            }
        }
    }
    closedir(tasks);
    return count;
}

/* A set of signals out of /proc/self/task/ID/status, as the kernel keeps it: bit 0 is signal 1. */
static uint64_t signals_of(int task, const char *field)
{
    char path[64], line[256];
    uint64_t signals = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/status", task);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            signals = strtoull(line + strlen(field) + 1, NULL, 16);
        }
    }
    fclose(file);
    return signals;
}

/* Those that a thread must be able to take, since they tell of its own faults. */
static bool must_stay_open(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL
        || number == SIGABRT || number == SIGTRAP || number == SIGSYS;
}

/* Those that nobody can block, or that the C library keeps for itself (32 and 33). */
static bool is_no_matter(int number)
{
    return number == SIGKILL || number == SIGSTOP || (number >= 32 && number < SIGRTMIN);
}

static void two_threads_serve_many_monitors(void **state)
{
    enum { MONITORS = 8 };
    struct world *world = *state;
    struct scripted_monitor *qemus[MONITORS];
    blockjob_monitor *monitors[MONITORS];

    for (int i = 0; i < MONITORS; i++) {
        qemus[i] = scripted_monitor_new();
        monitors[i] = connected_monitor(world->listener, qemus[i]);
    }
    assert_int_equal(threads_named("blockjob-read", NULL), 1);
    assert_int_equal(threads_named("blockjob-call", NULL), 1);
    assert_int_equal(threads_named("blockjob", NULL), 2);
    for (int i = 0; i < MONITORS; i++) {
        assert_result(blockjob_monitor_close(monitors[i]), 0);
        blockjob_monitor_unref(monitors[i]);
        then_expect_hang_up(qemus[i]);
        script_done(qemus[i]);
        scripted_monitor_destroy(qemus[i]);
    }
}

/* The one for callbacks is there only when they can be, and only if the library runs them. */
static void the_calling_thread_begins_with_the_first_monitor(void **state)
{
    int before = threads_named("", NULL); /* a thread is there before it has its name */
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitors[2] = { NULL, NULL };

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    assert_int_equal(threads_named("", NULL), before + 1);
    for (int i = 0; i < 2; i++) {
        assert_result(blockjob_monitor_new(listener, "unix:/nonexistent", &monitors[i]), 0);
        assert_int_equal(threads_named("", NULL), before + 2);
    }
    wait_until(threads_named("blockjob-call", NULL) == 1);
    assert_result(blockjob_listener_free(listener), 0);
    wait_until(threads_named("", NULL) == before);
    blockjob_monitor_unref(monitors[0]);
    blockjob_monitor_unref(monitors[1]);

    for (int how = BLOCKJOB_DELIVERY_LOOP; how <= BLOCKJOB_DELIVERY_PULL; how++) {
        listener = listener_of(how);
        assert_result(blockjob_monitor_new(listener, "unix:/nonexistent", &monitors[0]), 0);
        assert_int_equal(threads_named("", NULL), before + 1);
        blockjob_monitor_unref(monitors[0]);
        assert_result(blockjob_listener_free(listener), 0);
        wait_until(threads_named("", NULL) == before);
    }
}

static atomic_int callback_task;
static sigset_t callback_mask;

static void look_around(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
    pthread_sigmask(SIG_BLOCK, NULL, &callback_mask);
    atomic_store(&callback_task, (int)gettid());
}

static void callbacks_run_on_their_thread_with_signals_blocked(void **state)
{
    struct world *world = *state;
    int task = 0;

    atomic_store(&callback_task, 0);
    assert_true(blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                      look_around, NULL, NULL) > 0);
    say_completed(world->qemu, "job");
    wait_until(atomic_load(&callback_task) != 0);
    assert_int_equal(threads_named("blockjob-call", &task), 1);
    assert_int_equal(atomic_load(&callback_task), task);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (!is_no_matter(number)
            && sigismember(&callback_mask, number) != !must_stay_open(number)) {
            fail_msg("signal %d is %sblocked in a callback", number,
                     must_stay_open(number) ? "" : "not ");
        }
    }
}

/* The mask that each of the two threads should have. */
static sigset_t wanted_mask(void)
{
    sigset_t mask;

    sigfillset(&mask);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (must_stay_open(number)) {
            sigdelset(&mask, number);
        }
    }
    return mask;
}

/* The first signal whose place in the kernel's mask of the thread is not the wanted one, or 0. */
static int first_difference(int task)
{
    uint64_t blocked = signals_of(task, "SigBlk:");

    for (int number = 1; number <= SIGRTMAX; number++) {
        if (!is_no_matter(number) && (blocked >> (number - 1) & 1) != !must_stay_open(number)) {
            return number;
        }
    }
    return 0;
}

/*
 * The kernel's word for both threads. Valgrind has masks of its own for the kernel, so first this
 * thread takes the wanted mask and looks itself up: if that does not tell the truth, nothing does.
 */
static void kernel_has_the_signals_blocked_on_both_threads(void **state)
{
    static const char *const names[] = { "blockjob-read", "blockjob-call" };
    sigset_t wanted = wanted_mask(), before;
    bool kernel_knows;

    (void)state;
    pthread_sigmask(SIG_SETMASK, &wanted, &before);
    kernel_knows = first_difference((int)gettid()) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!kernel_knows) {
        print_message("skipped: under valgrind the kernel does not know the program's masks\n");
        skip();
    }
    for (size_t i = 0; i < 2; i++) {
        int task = 0, number;

        assert_int_equal(threads_named(names[i], &task), 1);
        number = first_difference(task);
        if (number != 0) {
            fail_msg("signal %d is %sblocked on %s", number,
                     must_stay_open(number) ? "" : "not ", names[i]);
        }
    }
}

static atomic_int taken; /* signals handled, by whichever thread */

static void take(int number)
{
    (void)number;
    atomic_fetch_add(&taken, 1);
}

/*
 * With the test's own thread closed to them, signals of the process stay pending: there is nobody
 * to take them. After an event both threads have been in the kernel and back, where they would.
 */
static void signals_of_the_process_are_left_to_the_program(void **state)
{
    static const int numbers[] = { SIGUSR1, SIGHUP, SIGCHLD, SIGIO, SIGWINCH, SIGTERM };
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    const struct sigaction action = { .sa_handler = take };
    struct sigaction old_actions[COUNT];
    const struct timespec at_once = { 0 };
    struct world *world = *state;
    sigset_t set, before, pending;

    atomic_store(&taken, 0);
    sigemptyset(&set);
    for (int i = 0; i < COUNT; i++) {
        sigaddset(&set, numbers[i]);
        sigaction(numbers[i], &action, &old_actions[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, &before);
    for (int i = 0; i < COUNT; i++) {
        kill(getpid(), numbers[i]);
    }
    say_completed(world->qemu, "job");
    recorder_next(world->recorder);
    sigpending(&pending);
    for (int i = 0; i < COUNT; i++) {
        if (sigismember(&pending, numbers[i]) != 1) {
            fail_msg("signal %d was taken by another thread", numbers[i]);
        }
        sigtimedwait(&set, NULL, &at_once);
    }
    assert_int_equal(atomic_load(&taken), 0);
    for (int i = 0; i < COUNT; i++) {
        sigaction(numbers[i], &old_actions[i], NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The mask is changed around the start of a thread and must be back afterwards. */
static void callers_mask_is_unchanged(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor;
    sigset_t mask, before, after;

    (void)state;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    assert_result(blockjob_listener_new(&listener), 0);
    monitor = connected_monitor(listener, qemu);
    assert_result(blockjob_listener_free(listener), 0);
    blockjob_monitor_unref(monitor);
    pthread_sigmask(SIG_SETMASK, &before, &after);
    for (int number = 1; number <= SIGRTMAX; number++) {
        assert_int_equal(sigismember(&after, number), sigismember(&mask, number));
    }
    scripted_monitor_destroy(qemu);
}

static void no_handler_is_changed(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    struct sigaction before[32], after;
    blockjob_listener *listener = NULL;

    (void)state;
    for (int number = 1; number < 32; number++) {
        assert_int_equal(sigaction(number, NULL, &before[number]), 0);
    }
    assert_result(blockjob_listener_new(&listener), 0);
    blockjob_monitor_unref(connected_monitor(listener, qemu));
    for (int number = 1; number < 32; number++) {
        assert_int_equal(sigaction(number, NULL, &after), 0);
        assert_true(after.sa_handler == before[number].sa_handler);
        assert_int_equal(after.sa_flags, before[number].sa_flags);
    }
    assert_result(blockjob_listener_free(listener), 0);
    scripted_monitor_destroy(qemu);
}

enum { DESCRIPTORS = 4096 };

static void descriptors(bool open[DESCRIPTORS])
{
    memset(open, 0, DESCRIPTORS * sizeof open[0]);
    for (int i = 0; i < DESCRIPTORS; i++) {
        open[i] = fcntl(i, F_GETFD) >= 0;
    }
}

static void no_descriptor_is_inherited_by_exec_or_left_behind(void **state)
{
    static bool before[DESCRIPTORS], during[DESCRIPTORS], after[DESCRIPTORS];
    struct scripted_monitor *qemu = scripted_monitor_new();
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor;
    int added = 0;

    (void)state;
    descriptors(before);
    assert_result(blockjob_listener_new(&listener), 0);
    monitor = connected_monitor(listener, qemu);
    descriptors(during);
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (during[i] && !before[i]) {
            int flags = fcntl(i, F_GETFD);

            added++;
            if ((flags & FD_CLOEXEC) == 0) {
                fail_msg("descriptor %d would be inherited by exec", i);
            }
        }
    }
    assert_true(added >= 2); /* our end of the connection and the scripted monitor's */

    assert_result(blockjob_listener_free(listener), 0);
    blockjob_monitor_unref(monitor);
    then_hang_up(qemu);
    script_done(qemu);
    descriptors(after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(threads_named("blockjob", NULL), 0);
    scripted_monitor_destroy(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(two_threads_serve_many_monitors),
        cmocka_unit_test(the_calling_thread_begins_with_the_first_monitor),
        test_connected(callbacks_run_on_their_thread_with_signals_blocked),
        test_connected(kernel_has_the_signals_blocked_on_both_threads),
        test_connected(signals_of_the_process_are_left_to_the_program),
        cmocka_unit_test(callers_mask_is_unchanged),
        cmocka_unit_test(no_handler_is_changed),
        cmocka_unit_test(no_descriptor_is_inherited_by_exec_or_left_behind),
    };

    return run_all(tests);
}
