#include "scripted_monitor.h"

#include <signal.h>
#include <sys/socket.h>

#include "harness.h"
#include "wire.h"

const char scripted_greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
    "\"package\": \"Debian 1:7.2+dfsg-7+deb12u18\"}, \"capabilities\": [\"oob\"]}}";

enum deed {
    ACCEPT,
    TAKE, /* the connection `size` */
    EXPECT_UNSENT,
    EXPECT, /* a command with `bytes` in it */
    ANSWER, /* `bytes`, with $ID replaced */
    SEND,   /* `bytes` */
    WRITE_PASSED, /* `bytes` */
    FORGET_PASSED,
    SKIP_LINE,
    CUT,    /* into pieces of `size` bytes */
    WAIT_READ,
    STOP_READING,
    HALF_CLOSE,
    HANG_UP,
    EXPECT_HANG_UP,
    EXPECT_END,
};

struct step {
    enum deed deed;
    char *bytes; /* with a NUL behind them */
    size_t size;
    struct step *next;
};

struct scripted_monitor {
    char directory[32];
    char path[64];
    char address[128];
    struct wire wire; /* the thread's own, but for wire_wake */
    pthread_t thread;

    /* Shared, under the meeting's lock. */
    struct meeting meeting;
    struct step *first;
    struct step **end;
    bool busy;
    bool quit;
    char failure[sizeof(((struct wire *)NULL)->failure)];
};

static void *follow_script(void *argument);

static struct scripted_monitor *allocate(void)
{
    struct scripted_monitor *monitor = calloc(1, sizeof *monitor);

    assert_non_null(monitor);
    meeting_init(&monitor->meeting);
    monitor->end = &monitor->first;
    return monitor;
}

static struct scripted_monitor *start(struct scripted_monitor *monitor)
{
    sigset_t all, before;

    /* The thread takes no signal, so that a test of signals sees the library's threads alone. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_int_equal(pthread_create(&monitor->thread, NULL, follow_script, monitor), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return monitor;
}

struct scripted_monitor *scripted_monitor_new(void)
{
    struct scripted_monitor *monitor = allocate();

    strcpy(monitor->directory, "/tmp/blockjob-XXXXXX");
    assert_non_null(mkdtemp(monitor->directory));
    snprintf(monitor->path, sizeof monitor->path, "%s/qmp.sock", monitor->directory);
    snprintf(monitor->address, sizeof monitor->address, "unix:%s", monitor->path);
    wire_open(&monitor->wire, monitor->path);
    return start(monitor);
}

struct scripted_monitor *scripted_monitor_on(int listening, const char *address)
{
    struct scripted_monitor *monitor = allocate();

    assert_in_range(strlen(address), 1, sizeof monitor->address - 1);
    strcpy(monitor->address, address);
    wire_open_on(&monitor->wire, listening);
    return start(monitor);
}

static void free_step(struct step *step)
{
    free(step->bytes);
    free(step);
}

void scripted_monitor_destroy(struct scripted_monitor *monitor)
{
    pthread_mutex_lock(&monitor->meeting.lock);
    monitor->quit = true;
    pthread_cond_broadcast(&monitor->meeting.changed);
    pthread_mutex_unlock(&monitor->meeting.lock);
    wire_wake(&monitor->wire);
    pthread_join(monitor->thread, NULL);

    while (monitor->first != NULL) {
        struct step *step = monitor->first;

        monitor->first = step->next;
        free_step(step);
    }
    wire_close(&monitor->wire);
    if (monitor->path[0] != '\0') {
        unlink(monitor->path);
        rmdir(monitor->directory);
    }
    meeting_destroy(&monitor->meeting);
    free(monitor);
}

const char *scripted_monitor_address(const struct scripted_monitor *monitor)
{
    return monitor->address;
}

const char *scripted_monitor_path(const struct scripted_monitor *monitor)
{
    return monitor->path;
}

const char *scripted_monitor_directory(const struct scripted_monitor *monitor)
{
    return monitor->directory;
}

/* The script: steps are appended by the test. */

static void add_step(struct scripted_monitor *monitor, enum deed deed, const void *bytes,
                     size_t size)
{
    struct step *step = calloc(1, sizeof *step);

    assert_non_null(step);
    step->deed = deed;
    step->size = size;
    if (bytes != NULL) {
        step->bytes = calloc(1, size + 1);
        assert_non_null(step->bytes);
        memcpy(step->bytes, bytes, size);
    }
    pthread_mutex_lock(&monitor->meeting.lock);
    *monitor->end = step;
    monitor->end = &step->next;
    pthread_cond_broadcast(&monitor->meeting.changed);
    pthread_mutex_unlock(&monitor->meeting.lock);
}

void then_accept(struct scripted_monitor *monitor)
{
    add_step(monitor, ACCEPT, NULL, 0);
}

void then_greet(struct scripted_monitor *monitor)
{
    then_send(monitor, scripted_greeting);
    then_send(monitor, "\r\n");
}

void then_expect(struct scripted_monitor *monitor, const char *word)
{
    add_step(monitor, EXPECT, word, strlen(word));
}

void then_answer(struct scripted_monitor *monitor, const char *text)
{
    add_step(monitor, ANSWER, text, strlen(text));
}

void then_return(struct scripted_monitor *monitor)
{
    then_answer(monitor, "{\"return\": {}, \"id\": $ID}\r\n");
}

void then_take(struct scripted_monitor *monitor, int connection)
{
    assert_true(connection >= 0);
    add_step(monitor, TAKE, NULL, (size_t)connection);
}

void then_expect_unsent(struct scripted_monitor *monitor)
{
    add_step(monitor, EXPECT_UNSENT, NULL, 0);
}

void then_refuse(struct scripted_monitor *monitor)
{
    then_answer(monitor, "{\"id\": $ID, \"error\": {\"class\": \"DeviceNotFound\", "
                         "\"desc\": \"no d0\"}}\r\n");
}

void then_write_passed(struct scripted_monitor *monitor, const char *text)
{
    add_step(monitor, WRITE_PASSED, text, strlen(text));
}

void then_forget_passed(struct scripted_monitor *monitor)
{
    add_step(monitor, FORGET_PASSED, NULL, 0);
}

void then_skip_line(struct scripted_monitor *monitor)
{
    add_step(monitor, SKIP_LINE, NULL, 0);
}

void then_negotiate(struct scripted_monitor *monitor)
{
    then_accept(monitor);
    then_agree(monitor);
}

void then_agree(struct scripted_monitor *monitor)
{
    then_greet(monitor);
    then_expect(monitor, "qmp_capabilities");
    then_return(monitor);
    then_list(monitor, "", "");
}

void then_list(struct scripted_monitor *monitor, const char *jobs, const char *block_jobs)
{
    then_expect(monitor, "query-jobs");
    then_answer_list(monitor, jobs);
    then_expect(monitor, "query-block-jobs");
    then_answer_list(monitor, block_jobs);
}

void then_answer_list(struct scripted_monitor *monitor, const char *jobs)
{
    char text[2048];
    int size = snprintf(text, sizeof text, "{'return': [%s], 'id': $ID}\r\n", jobs);

    assert_in_range(size, 1, sizeof text - 1);
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\'') {
            *c = '"';
        }
    }
    then_answer(monitor, text);
}

void then_say(struct scripted_monitor *monitor, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_in_range(size, 1, sizeof text - 3);
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\'') {
            *c = '"';
        }
    }
    strcat(text, "\r\n");
    then_send(monitor, text);
}

void then_send(struct scripted_monitor *monitor, const char *text)
{
    then_send_bytes(monitor, text, strlen(text));
}

void then_send_bytes(struct scripted_monitor *monitor, const void *bytes, size_t size)
{
    add_step(monitor, SEND, bytes, size);
}

void then_cut(struct scripted_monitor *monitor, size_t piece)
{
    add_step(monitor, CUT, NULL, piece);
}

void then_wait_read(struct scripted_monitor *monitor)
{
    add_step(monitor, WAIT_READ, NULL, 0);
}

void then_stop_reading(struct scripted_monitor *monitor)
{
    add_step(monitor, STOP_READING, NULL, 0);
}

void then_half_close(struct scripted_monitor *monitor)
{
    add_step(monitor, HALF_CLOSE, NULL, 0);
}

void then_hang_up(struct scripted_monitor *monitor)
{
    add_step(monitor, HANG_UP, NULL, 0);
}

void then_expect_hang_up(struct scripted_monitor *monitor)
{
    add_step(monitor, EXPECT_HANG_UP, NULL, 0);
}

void then_expect_end(struct scripted_monitor *monitor)
{
    add_step(monitor, EXPECT_END, NULL, 0);
}

void script_done(struct scripted_monitor *monitor)
{
    struct timespec end = patience_end();
    char failure[sizeof monitor->failure];

    pthread_mutex_lock(&monitor->meeting.lock);
    while ((monitor->first != NULL || monitor->busy) && monitor->failure[0] == '\0') {
        if (!meeting_wait(&monitor->meeting, &end)) {
            strcpy(monitor->failure, "the script did not end in time");
        }
    }
    strcpy(failure, monitor->failure);
    pthread_mutex_unlock(&monitor->meeting.lock);
    if (failure[0] != '\0') {
        fail_msg("scripted monitor: %s", failure);
    }
}

/* The thread: steps are carried out. */

static bool carry_out(struct wire *wire, const struct step *step)
{
    switch (step->deed) {
    case ACCEPT:
        return wire_accept(wire);
    case TAKE:
        return wire_take(wire, (int)step->size);
    case EXPECT_UNSENT:
        return wire_expect_unsent(wire);
    case EXPECT:
        return wire_expect(wire, step->bytes);
    case ANSWER:
        return wire_answer(wire, step->bytes);
    case SEND:
        return wire_send(wire, step->bytes, step->size);
    case WRITE_PASSED:
        return wire_write_passed(wire, step->bytes, step->size);
    case FORGET_PASSED:
        return wire_forget_passed(wire);
    case SKIP_LINE:
        return wire_skip_line(wire);
    case CUT:
        wire->piece = step->size;
        return true;
    case WAIT_READ:
        return wire_wait_read(wire);
    case STOP_READING:
        return wire_shutdown(wire, SHUT_RD);
    case HALF_CLOSE:
        return wire_shutdown(wire, SHUT_WR);
    case HANG_UP:
        return wire_hang_up(wire);
    case EXPECT_HANG_UP:
        return wire_expect_hang_up(wire);
    case EXPECT_END:
        return wire_expect_end(wire);
    }
    return false;
}

static void *follow_script(void *argument)
{
    struct scripted_monitor *monitor = argument;
    struct meeting *meeting = &monitor->meeting;
    bool well = true;

    pthread_setname_np(pthread_self(), "scripted");
    pthread_mutex_lock(&meeting->lock);
    while (!monitor->quit && well) {
        struct step *step = monitor->first;

        if (step == NULL) {
            pthread_cond_wait(&meeting->changed, &meeting->lock);
            continue;
        }
        monitor->first = step->next;
        if (monitor->first == NULL) {
            monitor->end = &monitor->first;
        }
        monitor->busy = true;
        pthread_mutex_unlock(&meeting->lock);
        well = carry_out(&monitor->wire, step);
        free_step(step);
        pthread_mutex_lock(&meeting->lock);
        strcpy(monitor->failure, monitor->wire.failure);
        monitor->busy = false;
        pthread_cond_broadcast(&meeting->changed);
    }
    pthread_mutex_unlock(&meeting->lock);
    return NULL;
}
