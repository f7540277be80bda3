/*
 * With server=on the library listens and QEMU dials: as often as it likes, one at a time, and no
 * pause comes between. What the library has made of it in the file system goes with the monitor.
 */
#include "harness.h"
#include "places.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A monitor that listens at the address without its option. */
static blockjob_monitor *listening(struct world *world, const char *address)
{
    blockjob_monitor *monitor = NULL;
    char full[160];

    snprintf(full, sizeof full, "%s,server=on", address);
    assert_result(blockjob_monitor_new(world->listener, full, &monitor), 0);
    return monitor;
}

static void path_beside(struct world *world, const char *file, char address[128])
{
    snprintf(address, 128, "unix:%s/%s", scripted_monitor_directory(world->qemu), file);
}

static bool exists(const char *address)
{
    struct stat found;

    return lstat(address + strlen("unix:"), &found) == 0;
}

/* QEMU dials, ends, and dials again. */
static void serve_twice(struct world *world, const char *address, blockjob_monitor *monitor)
{
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_event *event;

    assert_result(blockjob_monitor_start(monitor), 0);
    for (int i = 0; i < 2; i++) {
        then_take(qemu, dial(address));
        say_status(qemu, "early", "running");
        recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
        then_expect_unsent(qemu);
        then_agree(qemu);
        event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
        assert_ptr_equal(blockjob_event_get_monitor(event), monitor);
        script_done(qemu);
        then_hang_up(qemu);
        recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    }
    scripted_monitor_destroy(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    blockjob_monitor_unref(monitor);
}

static void at_a_path(void **state)
{
    struct world *world = *state;
    char address[128];

    path_beside(world, "ours.qmp", address);
    serve_twice(world, address, listening(world, address));
    wait_until(!exists(address));
}

static void at_an_abstract_name(void **state)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@blockjob-dialled-%d", (int)getpid());
    serve_twice(*state, address, listening(*state, address));
}

static void at_a_port(void **state)
{
    char address[64];
    int port = 0;

    close(listen_on_tcp("127.0.0.1", 1, &port));
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", port);
    serve_twice(*state, address, listening(*state, address));
}

static void at_a_host_that_is_looked_up(void **state)
{
    char address[64], number[64];
    int port = 0;

    close(listen_on_tcp("127.0.0.1", 1, &port));
    snprintf(address, sizeof address, "tcp:127.1:%d", port); /* a number for getaddrinfo alone */
    snprintf(number, sizeof number, "tcp:127.0.0.1:%d", port);
    serve_twice(*state, number, listening(*state, address));
}

/* As systemd hands one over. */
static void on_a_descriptor(void **state)
{
    char address[64], number[64];
    int port = 0, descriptor = listen_on_tcp("127.0.0.1", 4, &port);

    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", port);
    snprintf(number, sizeof number, "fd:%d", descriptor);
    serve_twice(*state, address, listening(*state, number));
}

/* Whoever dials meanwhile waits, is sent nothing, and is served when the first one is gone. */
static void one_at_a_time(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *first = monitor_nowhere(), *second = monitor_nowhere();
    blockjob_monitor *monitor;
    char address[128];

    path_beside(world, "ours.qmp", address);
    monitor = listening(world, address);
    assert_result(blockjob_monitor_start(monitor), 0);
    then_take(first, dial(address));
    then_agree(first);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    then_take(second, dial(address));
    then_greet(second);
    say_status(first, "job", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    then_expect_unsent(second);
    script_done(second);
    then_hang_up(first);
    then_expect(second, "qmp_capabilities");
    then_return(second);
    then_list(second, "", "");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    script_done(second);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(first);
    scripted_monitor_destroy(second);
}

/* Nothing is due until QEMU has dialled: the call's time is all that ends a wait. */
static void waiting_has_no_limit_but_the_callers(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_monitor *monitor;
    char address[128];

    path_beside(world, "ours.qmp", address);
    monitor = listening(world, address);
    assert_result(blockjob_monitor_set_connect_timeout(monitor, 300), 0);
    assert_result(blockjob_monitor_connect(monitor, 500), -ETIMEDOUT);
    assert_int_equal(blockjob_monitor_get_state(monitor), BLOCKJOB_STATE_CONNECTING);
    assert_int_equal(recorder_count(world->recorder), 0);
    /* From here on the time counts. */
    then_take(qemu, dial(address));
    assert_result(blockjob_monitor_connect(monitor, PATIENCE_SECONDS * 1000), -ETIMEDOUT);
    assert_non_null(strstr(blockjob_last_error(), "no greeting came"));
    then_expect_hang_up(qemu);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

static void what_does_not_speak_qmp_makes_way_for_the_next(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_monitor *monitor;
    blockjob_event *event;
    char address[128];

    path_beside(world, "ours.qmp", address);
    monitor = listening(world, address);
    assert_result(blockjob_monitor_start(monitor), 0);
    then_take(qemu, dial(address));
    then_send(qemu, "SSH-2.0-OpenSSH_9.2\r\n");
    then_hang_up(qemu);
    event = recorder_next(world->recorder);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_DISCONNECTED);
    assert_non_null(strstr(blockjob_event_get_reason(event), "SSH-2.0"));
    then_take(qemu, dial(address));
    then_agree(qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

/* Listening is no connection: jobs are given up while nobody dials. */
static void jobs_are_given_up_while_nobody_dials(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_nowhere();
    blockjob_event *event = NULL;
    blockjob_monitor *monitor;
    blockjob_job *job = NULL;
    char address[128];

    path_beside(world, "ours.qmp", address);
    monitor = listening(world, address);
    assert_result(blockjob_monitor_set_lost_after(monitor, 100), 0);
    assert_result(blockjob_monitor_start(monitor), 0);
    then_take(qemu, dial(address));
    then_agree(qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    say_status(qemu, "job", "created");
    say_status(qemu, "job", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_result(blockjob_job_new(monitor, "job", 0, &job), 0);
    then_hang_up(qemu);
    assert_result(blockjob_job_wait(job, PATIENCE_SECONDS * 1000, &event), 0);
    assert_int_equal(blockjob_event_get_loss(event), BLOCKJOB_LOSS_NO_CONNECTION);
    blockjob_event_unref(event);
    blockjob_job_free(job);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

static void bind_and_leave(const char *address, int *descriptor)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    strcpy(name.sun_path, address + strlen("unix:"));
    *descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*descriptor, (struct sockaddr *)&name, sizeof name), 0);
}

/* It is its owner's alone, also where a socket was left that nobody listens on. */
static void the_file_takes_the_place_of_one_that_was_left(void **state)
{
    struct world *world = *state;
    struct stat found;
    blockjob_monitor *monitor;
    char address[128];
    int left;

    path_beside(world, "left.qmp", address);
    bind_and_leave(address, &left);
    close(left);
    monitor = listening(world, address);
    assert_result(blockjob_monitor_connect(monitor, 0), -ETIMEDOUT);
    close(dial(address));
    assert_int_equal(stat(address + strlen("unix:"), &found), 0);
    assert_true(S_ISSOCK(found.st_mode));
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    wait_until(!exists(address));
}

/* And is left alone where somebody does, or where there is another kind of file. */
static void nobody_is_driven_away(void **state)
{
    struct world *world = *state;
    blockjob_monitor *monitor = listening(world, scripted_monitor_address(world->qemu));
    char address[128];
    FILE *file;

    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -EADDRINUSE);
    assert_non_null(strstr(blockjob_last_error(), "another program"));
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    assert_true(exists(scripted_monitor_address(world->qemu)));

    path_beside(world, "plain", address);
    file = fopen(address + strlen("unix:"), "w");
    assert_non_null(file);
    fclose(file);
    monitor = listening(world, address);
    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -EADDRINUSE);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    assert_true(exists(address));
    unlink(address + strlen("unix:"));

    path_beside(world, "missing/ours.qmp", address);
    monitor = listening(world, address);
    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -ENOENT);
    blockjob_monitor_unref(monitor);
}

/* Also by a path that no socket address holds. */
static void at_a_long_path(void **state)
{
    struct world *world = *state;
    const char *directory = scripted_monitor_directory(world->qemu);
    char path[256], address[300];
    blockjob_monitor *monitor;
    struct stat found;

    snprintf(path, sizeof path, "%s/../..%s/../..%s/../..%s/../..%s/ours.qmp", directory, directory,
             directory, directory, directory);
    snprintf(address, sizeof address, "unix:%s,server=on", path);
    assert_true(strlen(path) > 107);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    assert_result(blockjob_monitor_connect(monitor, 0), -ETIMEDOUT);
    wait_until(lstat(path, &found) == 0);
    snprintf(address, sizeof address, "unix:%s/ours.qmp", directory);
    close(dial(address));
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    wait_until(!exists(address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(at_a_path),
        test_in_world(at_a_long_path),
        test_in_world(at_an_abstract_name),
        test_in_world(at_a_port),
        test_in_world(at_a_host_that_is_looked_up),
        test_in_world(on_a_descriptor),
        test_in_world(one_at_a_time),
        test_in_world(waiting_has_no_limit_but_the_callers),
        test_in_world(what_does_not_speak_qmp_makes_way_for_the_next),
        test_in_world(jobs_are_given_up_while_nobody_dials),
        test_in_world(the_file_takes_the_place_of_one_that_was_left),
        test_in_world(nobody_is_driven_away),
    };

    return run_all(tests);
}
