/*
 * When the process of QEMU itself ends, its jobs are lost, and that is told at once and not after
 * the time without a connection; a QEMU that was restarted on the same path is told from one that
 * only dropped the connection. The QEMU here is a process that this test forks.
 */
#include "harness.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "wire.h"

/* Answers every command on every connection: which jobs there are, else with {}. */
static void play_qemu(const char *path)
{
    struct wire wire;

    unlink(path);
    wire_open(&wire, path);
    while (wire_accept(&wire)) {
        bool good = wire_send(&wire, scripted_greeting, strlen(scripted_greeting))
                    && wire_send(&wire, "\r\n", 2);

        while (good && wire_expect(&wire, "execute")) {
            good = strstr(wire.command, "jobs") != NULL
                       ? wire_answer(&wire, "{\"return\": [], \"id\": $ID}\r\n")
                       : wire_answer(&wire, "{\"return\": {}, \"id\": $ID}\r\n");
            if (good && strstr(wire.command, "\"hang-up\"") != NULL) {
                good = wire_hang_up(&wire);
                break;
            }
        }
    }
    _exit(1);
}

static pid_t start_qemu(struct world *world)
{
    pid_t qemu = fork();

    assert_true(qemu >= 0);
    if (qemu == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed leaves none behind */
        play_qemu(scripted_monitor_path(world->qemu));
    }
    return qemu;
}

/* The file of the scripted monitor's socket is replaced: connects as soon as that is done. */
static void connect_until_it_is_there(struct world *world)
{
    blockjob_event *event;

    wait_until(blockjob_monitor_connect(world->monitor, 1000) == 0);
    do {
        event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    } while (event == NULL);
}

static void end_qemu(pid_t qemu)
{
    int status;

    assert_int_equal(kill(qemu, SIGKILL), 0);
    assert_int_equal(waitpid(qemu, &status, 0), qemu);
}

static void begin(struct world *world)
{
    assert_int_equal(unlink(scripted_monitor_path(world->qemu)), 0);
    assert_result(blockjob_monitor_set_lost_after(world->monitor, -1), 0);
    assert_result(blockjob_monitor_set_reconnect(world->monitor, 1, 20), 0);
}

static void told_at_once_when_it_is_killed(void **state)
{
    struct world *world = *state;
    blockjob_job *job;
    blockjob_event *event = NULL;
    int descriptor = (int)syscall(SYS_pidfd_open, getpid(), 0);
    pid_t qemu;

    if (descriptor < 0) { /* before Linux 5.3, and under some valgrinds */
        skip();
    }
    close(descriptor);
    begin(world);
    qemu = start_qemu(world);
    connect_until_it_is_there(world);
    job = handle_of(world, NULL, 0);
    assert_result(blockjob_job_start(job, "block-stream", "{}", -1), 0);
    end_qemu(qemu);
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_LOST);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_QEMU_GONE);
    blockjob_event_unref(event);
    blockjob_job_free(job);
}

/* It hung up, and lives; the same one answers again, and knows nothing of the job. */
static void not_while_it_lives(void **state)
{
    struct world *world = *state;
    blockjob_job *job, *last;
    blockjob_event *event = NULL;
    pid_t qemu;

    begin(world);
    qemu = start_qemu(world);
    connect_until_it_is_there(world);
    job = handle_of(world, NULL, 0);
    last = handle_of(world, NULL, 0);
    assert_result(blockjob_job_start(job, "block-stream", "{}", -1), 0);
    blockjob_job_start(last, "hang-up", "{}", -1);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_SAME);
    event = NULL;
    assert_result(blockjob_job_wait(job, -1, &event), 0);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_DISMISSED);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    blockjob_job_free(last);
    end_qemu(qemu);
}

static void a_restarted_one_is_told_from_it(void **state)
{
    struct world *world = *state;
    blockjob_event *event;
    pid_t qemu;

    begin(world);
    qemu = start_qemu(world);
    connect_until_it_is_there(world);
    end_qemu(qemu);
    qemu = start_qemu(world);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_int_equal(blockjob_event_get_process(event), BLOCKJOB_PROCESS_RESTARTED);
    end_qemu(qemu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_owned(told_at_once_when_it_is_killed),
        test_owned(not_while_it_lives),
        test_owned(a_restarted_one_is_told_from_it),
    };

    return run_all(tests);
}
