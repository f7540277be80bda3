/*
 * A plugin loads the library by dlopen() and lets it go by dlclose(), as often as it likes, from
 * any thread, and also while a listener lives. This program is not linked with the library, and
 * stands alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

#include <blockjob.h>

/* What a plugin wants of it. */
struct library {
    void *handle;
    __typeof__(blockjob_listener_new) *listener_new;
    __typeof__(blockjob_listener_free) *listener_free;
    __typeof__(blockjob_monitor_new) *monitor_new;
    __typeof__(blockjob_monitor_connect) *monitor_connect;
    __typeof__(blockjob_monitor_unref) *monitor_unref;
    __typeof__(blockjob_monitor_get_state) *monitor_get_state;
    __typeof__(blockjob_callback_add) *callback_add;
    __typeof__(blockjob_last_error) *last_error;
};

static void find(struct library *library, void *place, const char *name)
{
    void *found = dlsym(library->handle, name);

    if (found == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(3);
    }
    memcpy(place, &found, sizeof found);
}

static void load(struct library *library)
{
    library->handle = dlopen("libblockjob.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        _exit(3);
    }
    find(library, &library->listener_new, "blockjob_listener_new");
    find(library, &library->listener_free, "blockjob_listener_free");
    find(library, &library->monitor_new, "blockjob_monitor_new");
    find(library, &library->monitor_connect, "blockjob_monitor_connect");
    find(library, &library->monitor_unref, "blockjob_monitor_unref");
    find(library, &library->monitor_get_state, "blockjob_monitor_get_state");
    find(library, &library->callback_add, "blockjob_callback_add");
    find(library, &library->last_error, "blockjob_last_error");
}

static void told(blockjob_event *event, void *opaque)
{
    (void)event;
    sem_post(opaque);
}

/* Makes, connects in vain, is told of it, and frees. Gives how many of these went wrong. */
static int use(const struct library *library)
{
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    int failures = 0;
    sem_t semaphore;

    sem_init(&semaphore, 0, 0);
    failures += library->listener_new(&listener) != 0;
    failures += library->callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_DISCONNECTED, told,
                                      &semaphore, NULL) <= 0;
    failures += library->monitor_new(listener, "unix:/nonexistent/qmp.sock", &monitor) != 0;
    failures += library->monitor_connect(monitor, 20000) != -ENOENT;
    failures += strstr(library->last_error(), "/nonexistent/qmp.sock") == NULL;
    sem_wait(&semaphore);
    failures += library->listener_free(listener) != 0;
    library->monitor_unref(monitor);
    sem_destroy(&semaphore);
    return failures;
}

static void again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct library library;

        load(&library);
        assert_int_equal(use(&library), 0);
        assert_int_equal(dlclose(library.handle), 0);
    }
}

/* dlclose() takes the code of no running thread away: what was found before works on. */
static void while_a_listener_lives(void **state)
{
    struct library library, again;
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;

    (void)state;
    load(&library);
    assert_int_equal(library.listener_new(&listener), 0);
    assert_int_equal(library.monitor_new(listener, "unix:/nonexistent/qmp.sock", &monitor), 0);
    assert_int_equal(dlclose(library.handle), 0);
    assert_int_equal(library.monitor_connect(monitor, 20000), -ENOENT);
    load(&again);
    assert_true(again.monitor_connect == library.monitor_connect);
    assert_int_equal(again.monitor_get_state(monitor), BLOCKJOB_STATE_DISCONNECTED);
    assert_int_equal(dlclose(again.handle), 0);
    assert_int_equal(library.listener_free(listener), 0);
    library.monitor_unref(monitor);
}

static void *load_and_use(void *failures)
{
    for (int i = 0; i < 20; i++) {
        struct library library;

        load(&library);
        *(int *)failures += use(&library);
        *(int *)failures += dlclose(library.handle) != 0;
    }
    return NULL;
}

static void from_several_threads_at_a_time(void **state)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    int failures[THREADS] = { 0 };

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, load_and_use, &failures[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

/* Handlers of fork() that belong to a library that was let go would be called where nothing is. */
static void a_fork_after_it_was_let_go(void **state)
{
    struct library library;
    int status = -1;
    pid_t child;

    (void)state;
    load(&library);
    assert_int_equal(use(&library), 0);
    assert_int_equal(dlclose(library.handle), 0);
    child = fork();
    if (child == 0) {
        load(&library);
        _exit(use(&library) == 0 ? 7 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(again_and_again),
        cmocka_unit_test(while_a_listener_lives),
        cmocka_unit_test(from_several_threads_at_a_time),
        cmocka_unit_test(a_fork_after_it_was_let_go),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
