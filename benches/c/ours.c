/*
 * A program of libblockjob's, as the benchmarks measure it.
 *
 *     ours flood DELIVERY PATH WHAT COUNT ROUNDS WANTED [each]
 *     ours late PATH COUNT ROUNDS
 *     ours latency DELIVERY PATH COUNT
 *     ours many DELIVERY DIRECTORY MONITORS
 *     ours start PATH
 *
 * DELIVERY is thread, loop or pull, and for the latency also wait; WANTED is all (every event of jobs) or last (the mark that ends a
 * burst and nothing else). In the environment REGISTRATIONS=N adds as many that match nothing.
 */
#define _GNU_SOURCE

#include "client.h"

#include <blockjob.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

static void check(int64_t result)
{
    if (result < 0) {
        fprintf(stderr, "ours: %s\n", blockjob_last_error());
        exit(1);
    }
}

static blockjob_listener *listener;
static int delivery;

/* What the callback has heard. It runs on one thread, and another one waits for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int over;
static int64_t events;

static struct {
    const char *what, *count;
    int64_t rounds;
    int each;
    blockjob_monitor *monitor;
} flood;

static double *times;
static int wanted_times;
static atomic_int timed;

static void end(void)
{
    pthread_mutex_lock(&lock);
    over = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void order(void)
{
    char arguments[200];
    snprintf(arguments, sizeof arguments, "{\"what\": \"%s\", \"count\": %s, \"each\": %s}",
             flood.what, flood.count, flood.each ? "true" : "false");
    check(blockjob_monitor_execute_async(flood.monitor, "x-flood", arguments, 0, -1, NULL, NULL,
                                         NULL));
}

static void count(blockjob_event *event, void *opaque)
{
    (void)opaque;
    events++;
    if (blockjob_event_get_kind(event) != BLOCKJOB_EVENT_COMPLETED)
        return;
    if (strcmp(blockjob_event_get_job_id(event), LAST) != 0)
        return;
    if (--flood.rounds > 0)
        order();
    else
        end();
}

static void take_time(blockjob_event *event, void *opaque)
{
    (void)opaque;
    int64_t seconds, microseconds;
    int kind = blockjob_event_get_kind(event);
    if (kind != BLOCKJOB_EVENT_COMPLETED &&
        strcmp(blockjob_event_get_job_id(event), "lone") != 0)
        return;
    if (blockjob_event_get_timestamp(event, &seconds, &microseconds) < 0 || over)
        return;
    times[timed] = since_us(seconds, microseconds);
    if (++timed == wanted_times)
        end();
}

/* Delivers until it is over, as this program has chosen. */
static void run(blockjob_event_fn callback)
{
    if (delivery == BLOCKJOB_DELIVERY_THREAD) {
        pthread_mutex_lock(&lock);
        while (!over)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
    } else if (delivery == BLOCKJOB_DELIVERY_LOOP) {
        struct pollfd fd = {.fd = blockjob_listener_get_fd(listener), .events = POLLIN};
        while (!over) {
            poll(&fd, 1, -1);
            check(blockjob_listener_dispatch(listener));
        }
    } else {
        while (!over) {
            blockjob_event *event;
            check(blockjob_listener_next_event(listener, -1, &event));
            if (blockjob_event_get_kind(event) != BLOCKJOB_EVENT_REPLY)
                callback(event, NULL);
            blockjob_event_unref(event);
        }
    }
}

static void begin(const char *how)
{
    delivery = strcmp(how, "loop") == 0   ? BLOCKJOB_DELIVERY_LOOP
               : strcmp(how, "pull") == 0 ? BLOCKJOB_DELIVERY_PULL
                                          : BLOCKJOB_DELIVERY_THREAD;
    check(blockjob_listener_new(&listener));
    check(blockjob_listener_set_delivery(listener, delivery));
}

static void add(const char *job, int kinds, blockjob_event_fn callback)
{
    callback = delivery == BLOCKJOB_DELIVERY_PULL ? NULL : callback;
    check(blockjob_callback_add(listener, NULL, job, kinds, callback, NULL, NULL));
}

static blockjob_monitor *connected(const char *path)
{
    blockjob_monitor *monitor;
    char address[200];
    snprintf(address, sizeof address, "unix:%s", path);
    check(blockjob_monitor_new(listener, address, &monitor));
    check(blockjob_monitor_connect(monitor, 10000));
    return monitor;
}

static int jobs = BLOCKJOB_EVENT_FINAL | BLOCKJOB_EVENT_READY | BLOCKJOB_EVENT_PENDING |
                  BLOCKJOB_EVENT_ERROR | BLOCKJOB_EVENT_STATUS;

static void do_flood(char **words, int each)
{
    begin(words[0]);
    const char *others = getenv("REGISTRATIONS");
    for (int i = 0; others != NULL && i < atoi(others); i++) {
        char id[40];
        snprintf(id, sizeof id, "other%d", i);
        add(id, jobs, count);
    }
    add(strcmp(words[5], "all") == 0 ? NULL : LAST, jobs, count);
    flood.monitor = connected(words[1]);
    flood.what = words[2];
    flood.count = words[3];
    flood.rounds = atoll(words[4]);
    flood.each = each;
    int64_t cpu = cpu_ns(), wall = clock_ns(CLOCK_MONOTONIC);
    order();
    run(count);
    print_flood(events, cpu_ns() - cpu, clock_ns(CLOCK_MONOTONIC) - wall);
}

/* A program that pulls when all has come. */
static void do_late(char **words)
{
    begin("pull");
    add(NULL, jobs, count);
    flood.monitor = connected(words[0]);
    flood.what = "completed";
    flood.count = words[1];
    int64_t cpu = cpu_ns(), wall = clock_ns(CLOCK_MONOTONIC), rounds = atoll(words[2]);
    while (rounds-- > 0) {
        flood.rounds = 1;
        over = 0;
        int64_t told = blockjob_monitor_get_stat(flood.monitor, BLOCKJOB_STAT_JOB_EVENTS);
        order();
        while (blockjob_monitor_get_stat(flood.monitor, BLOCKJOB_STAT_JOB_EVENTS) - told <
               atoll(words[1]) + 2)
            usleep(1000);
        run(count);
    }
    print_flood(events, cpu_ns() - cpu, clock_ns(CLOCK_MONOTONIC) - wall);
}

/* A thread that waits for one job after the other, whose ids are known before. */
static void do_wait(char **words)
{
    begin("thread");
    blockjob_monitor *monitor = connected(words[1]);
    wanted_times = atoi(words[2]);
    times = calloc((size_t)wanted_times, sizeof *times);
    blockjob_job **handles = calloc((size_t)wanted_times, sizeof *handles);
    for (int i = 0; i < wanted_times; i++) {
        char id[40];
        snprintf(id, sizeof id, "bench-%d", i);
        check(blockjob_job_new(monitor, id, 0, &handles[i]));
    }
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < wanted_times; i++) {
        blockjob_event *event;
        int64_t seconds, microseconds;
        check(blockjob_job_wait(handles[i], -1, &event));
        check(blockjob_event_get_timestamp(event, &seconds, &microseconds));
        times[i] = since_us(seconds, microseconds);
        blockjob_event_unref(event);
    }
    print_times(times, wanted_times);
}

static void do_latency(char **words)
{
    if (strcmp(words[0], "wait") == 0) {
        do_wait(words);
        return;
    }
    begin(words[0]);
    add(NULL, BLOCKJOB_EVENT_FINAL | BLOCKJOB_EVENT_STATUS, take_time);
    connected(words[1]);
    wanted_times = atoi(words[2]);
    times = calloc((size_t)wanted_times, sizeof *times);
    puts("ready");
    fflush(stdout);
    run(take_time);
    print_times(times, timed);
}

static int monitors;
static atomic_int usable;
static int64_t begun;

static void note(blockjob_event *event, void *opaque)
{
    (void)opaque;
    if (blockjob_event_get_kind(event) == BLOCKJOB_EVENT_CONNECTED) {
        if (++usable == monitors) {
            printf("connected_ns %lld\n", (long long)(clock_ns(CLOCK_MONOTONIC) - begun));
            fflush(stdout);
        }
    } else if (blockjob_event_get_kind(event) == BLOCKJOB_EVENT_DISCONNECTED) {
        if (usable-- == monitors)
            begun = clock_ns(CLOCK_MONOTONIC);
    } else {
        const char *job = blockjob_event_get_job_id(event);
        int64_t seconds, microseconds;
        if (job != NULL && strcmp(job, "lone") == 0 && timed < 100000 &&
            blockjob_event_get_timestamp(event, &seconds, &microseconds) == 0)
            times[timed++] = since_us(seconds, microseconds);
    }
}

/* Monitors without end; each line of standard input asks for the times since the last one. */
static void do_many(char **words)
{
    char line[100];
    begin("thread");
    monitors = atoi(words[2]);
    times = calloc(100000, sizeof *times);
    blockjob_monitor **all = calloc((size_t)monitors, sizeof(void *));
    add(NULL, BLOCKJOB_EVENT_CONNECTED | BLOCKJOB_EVENT_DISCONNECTED, note);
    add(NULL, BLOCKJOB_EVENT_FINAL | BLOCKJOB_EVENT_STATUS, note);
    puts("begun");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return;
    begun = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < monitors; i++) {
        char address[200];
        snprintf(address, sizeof address, "unix:%s/%d", words[1], i);
        check(blockjob_monitor_new(listener, address, &all[i]));
        check(blockjob_monitor_set_reconnect(all[i], 100, 1000));
        check(blockjob_monitor_start(all[i]));
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        print_times(times, timed);
        timed = 0;
    }
    _exit(0);
}

static void do_start(const char *path)
{
    int64_t wall = clock_ns(CLOCK_MONOTONIC);
    begin("thread");
    connected(path);
    printf("ready_ns %lld\n", (long long)(clock_ns(CLOCK_MONOTONIC) - wall));
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "flood") == 0 && argc >= 8)
        do_flood(argv + 2, argc > 8);
    else if (strcmp(what, "late") == 0 && argc == 5)
        do_late(argv + 2);
    else if (strcmp(what, "latency") == 0 && argc == 5)
        do_latency(argv + 2);
    else if (strcmp(what, "many") == 0 && argc == 5)
        do_many(argv + 2);
    else if (strcmp(what, "start") == 0)
        do_start(argv[2]);
    else
        return 2;
    fflush(stdout);
    /* What ends the process is not measured. */
    _exit(0);
}
