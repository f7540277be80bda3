/*
 * Threads of the library have small stacks, and use less than half of them, whatever QEMU says; each
 * takes no signal. The program's own may be small as well: a call needs less than 16 KiB.
 *
 * This program has a pthread_create() of its own, which the library calls: it gives each thread a
 * painted stack of the size that is wanted, and looks afterwards how far down it was used.
 */
#include "harness.h"
#include "log_keeper.h"
#include "places.h"
#include "watched.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

enum { STACKS_ARE_OTHERS = UNDER_THREAD_SANITIZER };

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

extern create __interceptor_pthread_create __attribute__((weak));

enum { THREADS = 8, PAINT = 0xa5 };

static struct stack {
    unsigned char *bottom;
    size_t size;
    char name[16];
    sigset_t blocked; /* signals */
    atomic_bool ended; /* the name is there, and all that was written */
} stacks[THREADS];
static atomic_int count;
static atomic_bool painting;

/* What a thread was to run, and its stack. */
struct errand {
    void *(*start)(void *);
    void *argument;
    struct stack *stack;
};

static create *real_create(void)
{
    create *real = __interceptor_pthread_create;

    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "pthread_create");

        memcpy(&real, &found, sizeof real);
    }
    return real;
}

static void *run(void *argument)
{
    struct errand errand = *(struct errand *)argument;
    void *result;

    free(argument);
    pthread_sigmask(SIG_BLOCK, NULL, &errand.stack->blocked);
    result = errand.start(errand.argument);
    pthread_getname_np(pthread_self(), errand.stack->name, sizeof errand.stack->name);
    atomic_store(&errand.stack->ended, true);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    struct errand *errand;
    struct stack *stack;
    pthread_attr_t own;
    int result;

    if (!atomic_load(&painting) || attributes == NULL) {
        return real_create()(thread, attributes, start, argument);
    }
    stack = &stacks[atomic_fetch_add(&count, 1) % THREADS];
    pthread_attr_getstacksize(attributes, &stack->size);
    stack->bottom = mmap(NULL, stack->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);
    memset(stack->bottom, PAINT, stack->size);
    errand = malloc(sizeof *errand);
    *errand = (struct errand){ start, argument, stack };
    pthread_attr_init(&own);
    pthread_attr_setstack(&own, stack->bottom, stack->size);
    result = real_create()(thread, &own, run, errand);
    pthread_attr_destroy(&own);
    return result;
}

/* How much of it was written to. */
static size_t used(const struct stack *stack)
{
    size_t untouched = 0;

    (void)VALGRIND_MAKE_MEM_DEFINED(stack->bottom, stack->size); /* also where no stack is now */
    while (untouched < stack->size && stack->bottom[untouched] == PAINT) {
        untouched++;
    }
    return stack->size - untouched;
}

static bool has_ended(const char *name)
{
    for (int i = 0; i < THREADS; i++) {
        if (atomic_load(&stacks[i].ended) && strcmp(stacks[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Signals belong to the program, whichever thread of the library's it is. */
static void none_of_these_threads_takes_signals(void **state)
{
    static const char *const names[] = {
        "blockjob-read", "blockjob-call", "blockjob-file", "blockjob-name", "blockjob-busy"
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(has_ended(names[i]));
    }
    for (int i = 0; i < THREADS && atomic_load(&stacks[i].ended); i++) {
        for (int number = 1; number <= SIGRTMAX; number++) {
            bool is_free = number == SIGKILL || number == SIGSTOP
                || (number >= 32 && number < SIGRTMIN);
            bool is_fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE
                || number == SIGILL || number == SIGABRT || number == SIGTRAP || number == SIGSYS;

            if (!is_free && sigismember(&stacks[i].blocked, number) != !is_fault) {
                fail_msg("signal %d is %sblocked on %s", number, is_fault ? "" : "not ",
                         stacks[i].name);
            }
        }
    }
}

/* The stacks of threads of this name that have ended are looked at. */
static void assert_half_is_left(const char *name)
{
    int found = 0;

    for (int i = 0; i < THREADS; i++) {
        const struct stack *stack = &stacks[i];

        if (atomic_load(&stack->ended) && strcmp(stack->name, name) == 0) {
            found++;
            print_message("%s has used %zu of %zu bytes of stack\n", name, used(stack),
                          stack->size);
            if (!STACKS_ARE_OTHERS) {
                assert_in_range(used(stack), 1, stack->size / 2);
            }
        }
    }
    assert_int_not_equal(found, 0);
}

/* Nested as deeply as is read, in each place where something is looked for. */
static void say_nested(struct scripted_monitor *qemu, const char *before, const char *after)
{
    enum { DEPTH = 1000 };
    char *text = calloc(1, strlen(before) + strlen(after) + 12 * DEPTH + 16), *end = text;

    end = stpcpy(end, before);
    for (int i = 0; i < DEPTH; i++) {
        end = stpcpy(end, i % 2 == 0 ? "[" : "{\"a\":");
    }
    end = stpcpy(end, "1");
    for (int i = DEPTH - 1; i >= 0; i--) {
        end = stpcpy(end, i % 2 == 0 ? "]" : "}");
    }
    end = stpcpy(end, after);
    strcpy(end, "\r\n");
    then_send(qemu, text);
    free(text);
}

static void ignore(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void hear_everything(struct world *world)
{
    struct scripted_monitor *qemu = world->qemu;

    say_nested(qemu, "{\"event\": \"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"a\", \"b\": ",
               "}}");
    say_nested(qemu, "{\"event\": \"BLOCK_JOB_ERROR\", \"data\": {\"device\": ", "}}");
    say_nested(qemu, "{\"event\": \"OTHER\", \"data\": ", "}");
    say_nested(qemu, "{\"return\": ", ", \"id\": \"x\"}");
    say_nested(qemu, "{\"error\": ", "}");
    say_nested(qemu, "{\"unknown\": ", "}");
    say_nested(qemu, "{\"password\": ", "}");
    say_completed(qemu, "one");
    say_status(qemu, "two", "running");
    then_wait_read(qemu);
    then_expect(qemu, "query-jobs");
    say_nested(qemu, "{\"return\": ", ", \"id\": \"y\"}");
    then_answer_list(qemu, "{'id': 'c', 'status': 'concluded', 'type': 'create', 'error': 'no'}");
    then_expect(qemu, "query-block-jobs");
    then_answer_list(qemu, "");
}

/* One call of each kind that does much, on whatever stack this is. */
static int call_everything(void *argument)
{
    struct world *world = argument;
    blockjob_job *job = NULL;
    blockjob_list *list = NULL;
    blockjob_event *event = NULL;
    blockjob_monitor *monitor = NULL;
    blockjob_listener *listener = NULL;
    int failures = 0;
    int64_t id;

    failures += blockjob_listener_new(&listener) != 0;
    failures += blockjob_listener_free(listener) != 0;
    failures += blockjob_monitor_list_jobs(world->monitor, -1, &list) != 0;
    blockjob_list_free(list);
    failures += blockjob_monitor_execute(world->monitor, "stop", "{\"a\": [[[[{\"b\": 1}]]]]}", 0,
                                         -1, NULL) != 0;
    failures += blockjob_job_new(world->monitor, OWNER "-1", 0, &job) != 0;
    failures += blockjob_job_start(job, "block-stream", "{\"device\":\"d0\"}", -1) != 0;
    failures += blockjob_job_wait(job, -1, &event) != 0;
    failures += blockjob_event_get_line(event) == NULL;
    failures += blockjob_event_acknowledge(event, -1) != 0;
    blockjob_event_unref(event);
    blockjob_job_free(job);
    id = blockjob_callback_add(world->listener, NULL, NULL, BLOCKJOB_EVENT_ALL, ignore, NULL, NULL);
    failures += blockjob_callback_remove(world->listener, id, 0) != 0;
    failures += blockjob_monitor_new(world->listener, "unix:/nowhere", &monitor) != 0;
    failures += blockjob_monitor_connect(monitor, -1) != -ENOENT;
    failures += strlen(blockjob_last_error()) == 0;
    failures += blockjob_monitor_close(monitor) != 0;
    blockjob_monitor_unref(monitor);
    return failures;
}

static void *on_small_stack(void *argument)
{
    struct call *call = argument;

    call->result = call->function(call->argument);
    return NULL;
}

static void of_whoever_calls(void **state)
{
    enum { SIZE = 256 << 10, NEEDED = 16 << 10 };
    struct world *world = *state;
    struct call call = { .function = call_everything, .argument = world };
    struct stack stack = { .size = SIZE };
    pthread_attr_t attributes;

    then_list(world->qemu, "", "");
    then_expect(world->qemu, "\"stop\"");
    then_return(world->qemu);
    then_expect(world->qemu, "\"block-stream\"");
    then_return(world->qemu);
    say_begun(world->qemu, OWNER "-1");
    say_ended(world->qemu, OWNER "-1");
    then_dismiss(world->qemu, OWNER "-1");
    assert_int_equal(posix_memalign((void **)&stack.bottom, 4096, SIZE), 0);
    memset(stack.bottom, PAINT, SIZE);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack.bottom, SIZE);
    assert_int_equal(real_create()(&call.thread, &attributes, on_small_stack, &call), 0);
    pthread_join(call.thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_int_equal(call.result, 0);
    print_message("a call has used %zu bytes of stack\n", used(&stack));
    if (!STACKS_ARE_OTHERS) {
        assert_in_range(used(&stack), 1, NEEDED);
    }
    free(stack.bottom);
}

/* A client is served and the library waits behind it, so that it is found out who that is. */
static void wait_behind_another(struct world *world)
{
    struct scripted_monitor *qemu = scripted_monitor_new();
    int other = dial(scripted_monitor_address(qemu));
    blockjob_monitor *monitor = NULL;

    then_accept(qemu);
    script_done(qemu);
    assert_result(blockjob_monitor_new(world->listener, scripted_monitor_address(qemu), &monitor),
                  0);
    stay_down(monitor);
    assert_result(blockjob_monitor_set_connect_timeout(monitor, 300), 0);
    assert_result(blockjob_monitor_connect(monitor, -1), -EBUSY);
    blockjob_monitor_unref(monitor);
    close(other);
    scripted_monitor_destroy(qemu);
}

static void of_the_librarys_threads(void **state)
{
    struct world *world;
    struct log_keeper *log = log_keeper_new();
    void *own = NULL;
    char path[] = "/tmp/blockjob-journal-XXXXXX";
    int file = mkstemp(path);
    blockjob_job *job = NULL;
    blockjob_list *list = NULL;
    blockjob_event *event = NULL;
    blockjob_monitor *named = NULL;

    (void)state;
    assert_true(write(file, "{\"timestamp\": {\n", 16) == 16);
    close(file);
    atomic_store(&painting, true);
    world_begin_owned(&own);
    world = own;
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_DEBUG, log_keeper_take,
                                            log, log_keeper_release), 0);
    assert_true(blockjob_callback_add_raw(world->listener, NULL, NULL, ignore, NULL, NULL) > 0);
    assert_result(blockjob_job_new(world->monitor, "before", BLOCKJOB_JOB_EXISTS, &job), 0);
    connect_to(world->monitor, world->qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    hear_everything(world);
    assert_result(blockjob_monitor_list_jobs(world->monitor, -1, &list), 0);
    blockjob_list_free(list);
    assert_result(blockjob_monitor_new(world->listener, "tcp:localhost:1", &named), 0);
    stay_down(named);
    assert_result(blockjob_monitor_connect(named, -1), -ECONNREFUSED);
    wait_behind_another(world);
    pass_fence(world, world->qemu);
    blockjob_monitor_unref(named);
    end_listener(world);
    world_end(&own);
    atomic_store(&painting, false);
    log_keeper_destroy(log);
    unlink(path);

    assert_half_is_left("blockjob-read");
    assert_half_is_left("blockjob-call");
    assert_half_is_left("blockjob-file");
    assert_half_is_left("blockjob-busy");
    wait_until(has_ended("blockjob-name")); /* nobody waits for this one */
    assert_half_is_left("blockjob-name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_librarys_threads),
        cmocka_unit_test(none_of_these_threads_takes_signals), /* those of the test before */
        test_owned_connected(of_whoever_calls),
    };

    return run_all(tests);
}
