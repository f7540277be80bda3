/*
 * Each way in which a monitor cannot be reached has its errno and a sentence that names the monitor
 * and what to look at; the same words come as the reason of a DISCONNECTED event.
 */
#include "harness.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Fails to connect and checks all that is told about it. `word` is what helps in this case. */
static void assert_fails(struct world *world, int expected, const char *word)
{
    const char *name = blockjob_monitor_get_name(world->monitor);
    blockjob_event *event;

    assert_result(blockjob_monitor_connect(world->monitor, PATIENCE_SECONDS * 1000), expected);
    if (strstr(blockjob_last_error(), name) == NULL
        || strstr(blockjob_last_error(), word) == NULL) {
        fail_msg("\"%s\" should name %s and say \"%s\"", blockjob_last_error(), name, word);
    }
    event = recorder_next(world->recorder);
    assert_int_equal(blockjob_event_get_kind(event), BLOCKJOB_EVENT_DISCONNECTED);
    if (strstr(blockjob_event_get_reason(event), word) == NULL) {
        fail_msg("the reason \"%s\" should say \"%s\"", blockjob_event_get_reason(event), word);
    }
    /* Unless it is at its next attempt just now. */
    wait_until(blockjob_monitor_get_state(world->monitor) == BLOCKJOB_STATE_DISCONNECTED);
}

/* The world's monitor, but at another path beside the scripted monitor's. */
static void at_path(struct world *world, const char *file)
{
    char address[128];

    blockjob_monitor_unref(world->monitor);
    snprintf(address, sizeof address, "unix:%s/%s", scripted_monitor_directory(world->qemu),
             file);
    assert_result(blockjob_monitor_new(world->listener, address, &world->monitor), 0);
}

static void file_path(struct world *world, const char *file, char path[128])
{
    snprintf(path, 128, "%s/%s", scripted_monitor_directory(world->qemu), file);
}

static void a_path_that_does_not_exist(void **state)
{
    at_path(*state, "missing.qmp");
    assert_fails(*state, -ENOENT, "missing.qmp");
}

static void a_plain_file(void **state)
{
    char path[128];

    at_path(*state, "plain");
    file_path(*state, "plain", path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_fails(*state, -ENOTSOCK, "socket");
    unlink(path);
}

static void a_directory(void **state)
{
    at_path(*state, ".");
    assert_fails(*state, -ENOTSOCK, "socket");
}

static void bind_socket(int type, const char *path, int *descriptor)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    strncpy(name.sun_path, path, sizeof name.sun_path - 1);
    *descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(*descriptor >= 0);
    assert_int_equal(bind(*descriptor, (struct sockaddr *)&name, sizeof name), 0);
}

static void a_socket_nobody_listens_on(void **state)
{
    char path[128];
    int descriptor;

    at_path(*state, "left.qmp");
    file_path(*state, "left.qmp", path);
    bind_socket(SOCK_STREAM, path, &descriptor);
    close(descriptor);
    assert_fails(*state, -ECONNREFUSED, "listen");
    unlink(path);
}

static void a_socket_of_another_type(void **state)
{
    char path[128];
    int descriptor;

    at_path(*state, "datagram");
    file_path(*state, "datagram", path);
    bind_socket(SOCK_DGRAM, path, &descriptor);
    assert_fails(*state, -EPROTOTYPE, "datagram");
    close(descriptor);
    unlink(path);
}

#define BANNER "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"

static void another_protocol_that_hangs_up(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_send(world->qemu, BANNER);
    then_hang_up(world->qemu);
    assert_fails(world, -EPROTO, "SSH-2.0");
}

/*
 * The world's monitor, but at a peer that says nothing more. What it has said is there from the
 * beginning, so that it is heard before a short time is over, however busy the machine is.
 */
static int at_peer_that_has_said(struct world *world, const char *text)
{
    char address[32];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(write(pair[0], text, strlen(text)) == (ssize_t)strlen(text));
    blockjob_monitor_unref(world->monitor);
    snprintf(address, sizeof address, "fd:%d", pair[1]);
    assert_result(blockjob_monitor_new(world->listener, address, &world->monitor), 0);
    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 300), 0);
    return pair[0];
}

static void another_protocol_that_waits(void **state)
{
    int peer = at_peer_that_has_said(*state, BANNER);

    assert_fails(*state, -EPROTO, "SSH-2.0");
    close(peer);
}

/* JSON, but no greeting; and what a peer writes must not reach a terminal as it is. */
static void json_that_is_no_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_send(world->qemu, "{\"jsonrpc\": \"2.0\", \"method\": \"\x1b[2J\"}\r\n");
    then_hang_up(world->qemu);
    assert_result(blockjob_monitor_connect(world->monitor, PATIENCE_SECONDS * 1000), -EPROTO);
    assert_null(strchr(blockjob_last_error(), '\x1b'));
    assert_null(strchr(blockjob_last_error(), '\n'));
}

/* QEMU serves one client at a time: silence mostly means that another one is there. */
static void silence(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 300), 0);
    then_accept(world->qemu);
    assert_fails(world, -ETIMEDOUT, "another client");
}

static void silence_after_the_greeting(void **state)
{
    int peer = at_peer_that_has_said(*state, scripted_greeting);
    char heard[256] = "";

    assert_fails(*state, -ETIMEDOUT, "qmp_capabilities");
    assert_true(read(peer, heard, sizeof heard - 1) > 0);
    assert_non_null(strstr(heard, "qmp_capabilities"));
    close(peer);
}

static void nobody_accepts(void **state)
{
    struct world *world = *state;

    assert_result(blockjob_monitor_set_connect_timeout(world->monitor, 300), 0);
    assert_fails(world, -ETIMEDOUT, "another client");
}

/* QEMU listens with a backlog of 1: behind those who wait there is no place for more. */
static void others_wait_for_it(void **state)
{
    enum { OTHERS_MAX = 64 };
    struct world *world = *state;
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int others[OTHERS_MAX], count = 0, result;

    strcpy(name.sun_path, scripted_monitor_path(world->qemu));
    do {
        others[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(others[count] >= 0);
        result = connect(others[count++], (struct sockaddr *)&name, sizeof name);
    } while (result == 0 && count < OTHERS_MAX);
    assert_int_equal(result, -1);
    assert_int_equal(errno, EAGAIN);
    assert_fails(world, -EBUSY, "other clients");
    while (count > 0) {
        close(others[--count]);
    }
}

static void end_before_the_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_hang_up(world->qemu);
    assert_fails(world, -ECONNRESET, "closed the connection");
}

static void end_in_the_middle_of_the_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_send(world->qemu, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2");
    then_hang_up(world->qemu);
    assert_fails(world, -ECONNRESET, "closed the connection");
}

static void end_before_the_reply(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_hang_up(world->qemu);
    assert_fails(world, -ECONNRESET, "closed the connection");
}

static void half_closed_before_the_greeting(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_half_close(world->qemu);
    then_expect_hang_up(world->qemu);
    assert_fails(world, -ECONNRESET, "closed the connection");
    script_done(world->qemu);
}

static void capabilities_refused(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_answer(world->qemu, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Capabilities"
                             " negotiation is already complete\"}, \"id\": $ID}\r\n");
    then_expect_hang_up(world->qemu);
    assert_fails(world, -EREMOTEIO, "negotiation is already complete");
    script_done(world->qemu);
}

/* A failed connection is closed, and the monitor may be tried again. */
static void after_any_of_it_the_monitor_works(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    then_send(world->qemu, BANNER);
    then_hang_up(world->qemu);
    assert_fails(world, -EPROTO, "SSH-2.0");
    then_accept(world->qemu);
    then_hang_up(world->qemu);
    assert_fails(world, -ECONNRESET, "closed the connection");
    connect_to(world->monitor, world->qemu);
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_CONNECTED);
}

/* The call's timeout ends the call; the monitor goes on connecting until its own. */
static void the_calls_timeout_is_not_the_monitors(void **state)
{
    struct world *world = *state;

    then_accept(world->qemu);
    assert_result(blockjob_monitor_connect(world->monitor, 50), -ETIMEDOUT);
    assert_non_null(strstr(blockjob_last_error(), scripted_monitor_address(world->qemu)));
    assert_result(blockjob_monitor_connect(world->monitor, 0), -ETIMEDOUT);
    assert_int_equal(blockjob_monitor_get_state(world->monitor), BLOCKJOB_STATE_CONNECTING);
    then_greet(world->qemu);
    then_expect(world->qemu, "qmp_capabilities");
    then_return(world->qemu);
    then_list(world->qemu, "", "");
    assert_int_equal(blockjob_event_get_kind(recorder_next(world->recorder)),
                     BLOCKJOB_EVENT_CONNECTED);
    assert_result(blockjob_monitor_connect(world->monitor, 0), 0);
}

/* With the monitor's own name, if it was given one, instead of its address. */
static void the_words_name_the_monitor(void **state)
{
    at_path(*state, "missing.qmp");
    assert_result(blockjob_monitor_set_name(((struct world *)*state)->monitor, "web-7"), 0);
    assert_fails(*state, -ENOENT, "missing.qmp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_world(a_path_that_does_not_exist),
        test_in_world(a_plain_file),
        test_in_world(a_directory),
        test_in_world(a_socket_nobody_listens_on),
        test_in_world(a_socket_of_another_type),
        test_in_world(another_protocol_that_hangs_up),
        test_in_world(another_protocol_that_waits),
        test_in_world(json_that_is_no_greeting),
        test_in_world(silence),
        test_in_world(silence_after_the_greeting),
        test_in_world(nobody_accepts),
        test_in_world(others_wait_for_it),
        test_in_world(end_before_the_greeting),
        test_in_world(end_in_the_middle_of_the_greeting),
        test_in_world(end_before_the_reply),
        test_in_world(half_closed_before_the_greeting),
        test_in_world(capabilities_refused),
        test_in_world(after_any_of_it_the_monitor_works),
        test_in_world(the_calls_timeout_is_not_the_monitors),
        test_in_world(the_words_name_the_monitor),
    };

    return run_all(tests);
}
