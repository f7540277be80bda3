/*
 * A journal is read by a thread of its own, slice by slice. While one of 2 GiB is searched, and the
 * disk does not answer at all, jobs of another monitor are told to their end.
 */
#include "harness.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "watched.h"

#define AT(seconds) "{\"timestamp\": {\"seconds\": " #seconds ", \"microseconds\": 0}, \"event\": "

enum { SLICE = 256 << 10, LINE = 256, EARLY = 3, JOBS = 50 };

static const char began[] =
    AT(1001) "\"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"created\", \"id\": \"j\"}}\n";
static const char failed[] =
    AT(1003) "\"BLOCK_JOB_COMPLETED\", \"data\": {\"device\": \"j\", \"len\": 9, \"offset\": 4, "
    "\"speed\": 0, \"type\": \"stream\", \"error\": \"Input/output error\"}}\n";

/* What follows on them as far as the journal goes, which takes no room on a disk: other jobs. */
static const char other[] =
    AT(1009) "\"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"running\", \"id\": \"other\"}}";
static char others[SLICE + LINE];

/* What reads of the journal meet, once its inode is known. */
static struct {
    atomic_ullong inode;
    off_t others_from; /* a multiple of LINE */
    atomic_int reads, strangers, longest;
    int late; /* as EARLY: the read that stands at its gate */
    struct gate *early_gate, *late_gate;
} disk;

/* The library's reads come here. */
ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    struct stat status;
    bool is_journal = atomic_load(&disk.inode) != 0 && fstat(fd, &status) == 0 &&
                      status.st_ino == atomic_load(&disk.inode);
    ssize_t result;

    if (is_journal) {
        int read = atomic_fetch_add(&disk.reads, 1) + 1;
        char thread[17] = { 0 };

        prctl(PR_GET_NAME, thread);
        if (strcmp(thread, "blockjob-file") != 0) {
            atomic_fetch_add(&disk.strangers, 1);
        }
        if ((int)size > atomic_load(&disk.longest)) {
            atomic_store(&disk.longest, (int)size);
        }
        if (read == EARLY) {
            gate_pass(disk.early_gate);
        } else if (read == disk.late) {
            gate_pass(disk.late_gate);
        }
    }
    if (is_journal && offset >= disk.others_from) {
        memcpy(buffer, others + offset % LINE, size);
        return (ssize_t)size;
    }
    result = syscall(SYS_pread64, fd, buffer, size, offset);
    if (is_journal && result > 0 && offset + result > disk.others_from) {
        memcpy((char *)buffer + (disk.others_from - offset), others,
               (size_t)(offset + result - disk.others_from));
    }
    return result;
}

static void write_others(void)
{
    memset(others, ' ', sizeof others);
    for (size_t at = 0; at < sizeof others; at += LINE) {
        memcpy(others + at, other, strlen(other));
        others[at + LINE - 1] = '\n';
    }
}

/* Each is heard of, waited for, and there is a command between them. */
static void run_jobs(blockjob_monitor *monitor, struct scripted_monitor *qemu, const char *name)
{
    for (int i = 0; i < JOBS; i++) {
        blockjob_job *job = NULL;
        blockjob_event *end = NULL;
        char id[32];

        snprintf(id, sizeof id, "%s%d", name, i);
        assert_result(blockjob_job_new(monitor, id, 0, &job), 0);
        say_job(qemu, id);
        assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &end), 0);
        assert_text(blockjob_event_get_job_id(end), id);
        assert_int_equal(blockjob_event_get_outcome(end), BLOCKJOB_OUTCOME_SUCCEEDED);
        assert_int_equal(blockjob_event_get_origin(end), BLOCKJOB_ORIGIN_LIVE);
        blockjob_event_unref(end);
        blockjob_job_free(job);
        then_expect(qemu, "\"query-name\"");
        then_return(qemu);
        assert_result(blockjob_monitor_execute(monitor, "query-name", NULL, 0, -1, NULL), 0);
    }
}

static void append(int file, const char *text)
{
    assert_int_equal(write(file, text, strlen(text)), (int)strlen(text));
}

static void another_monitors_jobs_are_told_meanwhile(void **state)
{
    /* Each tool of these makes reading many times slower, and the promise no other. */
    bool watched = RUNNING_ON_VALGRIND || UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER;
    off_t size = watched ? 64 << 20 : (off_t)2 << 30;
    int slices = (int)(size / SLICE);
    struct world *world = *state;
    struct scripted_monitor *other_qemu = scripted_monitor_new();
    struct recorder *of_it = recorder_new();
    char path[] = "/tmp/blockjob-journal-XXXXXX";
    int file = mkstemp(path);
    struct stat status;
    blockjob_monitor *other;
    blockjob_event *event;
    size_t before;

    assert_int_not_equal(file, -1);
    append(file, began);
    assert_result(blockjob_monitor_set_journal(world->monitor, path, NULL), 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 10), 0);
    record(world->listener, world->monitor, of_it);
    other = connected_monitor(world->listener, other_qemu);
    connect_to(world->monitor, world->qemu);
    then_say(world->qemu, "{'timestamp': {'seconds': 1001, 'microseconds': 0}, 'event': "
                          "'JOB_STATUS_CHANGE', 'data': {'status': 'created', 'id': 'j'}}");
    recorder_next_of(of_it, BLOCKJOB_EVENT_STATUS);

    append(file, failed);
    /* To the end of a line of theirs, of which no part is to be seen. */
    for (size_t at = strlen(began) + strlen(failed); at % LINE != 0; at++) {
        append(file, "\n");
        disk.others_from = (off_t)at + 1;
    }
    write_others();
    assert_int_equal(ftruncate(file, size), 0);
    assert_int_equal(fstat(file, &status), 0);
    disk.late = slices / 2;
    disk.early_gate = gate_new();
    disk.late_gate = gate_new();
    atomic_store(&disk.inode, status.st_ino);
    then_hang_up(world->qemu);
    then_negotiate(world->qemu);
    recorder_next_of(of_it, BLOCKJOB_EVENT_DISCONNECTED);
    before = recorder_count(of_it);

    /* The disk does not answer. */
    gate_wait_entered(disk.early_gate);
    run_jobs(other, other_qemu, "early");
    assert_int_equal(atomic_load(&disk.reads), EARLY);
    /* It does, and half of the journal is left when these have ended. */
    gate_open(disk.early_gate);
    run_jobs(other, other_qemu, "meanwhile");
    gate_wait_entered(disk.late_gate);
    assert_int_equal(recorder_count(of_it), before);
    assert_int_equal(atomic_load(&disk.reads), disk.late);
    gate_open(disk.late_gate);

    event = recorder_next_of(of_it, BLOCKJOB_EVENT_COMPLETED);
    assert_text(blockjob_event_get_job_id(event), "j");
    assert_int_equal(blockjob_event_get_origin(event), BLOCKJOB_ORIGIN_RECOVERED);
    assert_text(blockjob_event_get_error(event), "Input/output error");
    recorder_next_of(of_it, BLOCKJOB_EVENT_CONNECTED);
    /* All of it was read, in no larger pieces, and by nobody else. */
    assert_true(atomic_load(&disk.reads) >= slices);
    assert_int_equal(atomic_load(&disk.longest), SLICE);
    assert_int_equal(atomic_load(&disk.strangers), 0);

    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    blockjob_monitor_unref(other);
    scripted_monitor_destroy(other_qemu);
    recorder_destroy(of_it);
    gate_destroy(disk.early_gate);
    gate_destroy(disk.late_gate);
    assert_int_equal(close(file), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(another_monitors_jobs_are_told_meanwhile),
    };

    return run_all(tests);
}
