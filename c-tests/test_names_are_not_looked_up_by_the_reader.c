/*
 * A host's name is looked up by a thread of its own: with name servers that do not answer, other
 * monitors are read as ever, and nobody waits when the listener is freed. This program has a
 * getaddrinfo() of its own, which the library calls.
 */
#include "harness.h"
#include "places.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* What the name server of this program does. */
static struct gate *door; /* NULL: it answers at once */
static struct gate *volatile left;        /* one that is never destroyed */
static const char *answer[3]; /* numbers, in this order */
static atomic_int asked, answered;
static char thread_name[32];

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    struct addrinfo **end = result;

    (void)service;
    (void)hints;
    pthread_getname_np(pthread_self(), thread_name, sizeof thread_name);
    atomic_fetch_add(&asked, 1);
    if (door != NULL) {
        gate_pass(door);
    }
    *result = NULL;
    if (strcmp(host, "qemu.example") != 0) {
        return EAI_NONAME;
    }
    for (size_t i = 0; i < 3 && answer[i] != NULL; i++) {
        struct addrinfo *one = calloc(1, sizeof *one + sizeof(struct sockaddr_in6));

        if (one == NULL) {
            return EAI_MEMORY;
        }
        one->ai_addr = (struct sockaddr *)(one + 1);
        one->ai_socktype = SOCK_STREAM;
        if (strchr(answer[i], ':') == NULL) {
            struct sockaddr_in *name = (struct sockaddr_in *)one->ai_addr;

            one->ai_family = name->sin_family = AF_INET;
            one->ai_addrlen = sizeof *name;
            inet_pton(AF_INET, answer[i], &name->sin_addr);
        } else {
            struct sockaddr_in6 *name = (struct sockaddr_in6 *)one->ai_addr;

            one->ai_family = name->sin6_family = AF_INET6;
            one->ai_addrlen = sizeof *name;
            inet_pton(AF_INET6, answer[i], &name->sin6_addr);
        }
        *end = one;
        end = &one->ai_next;
    }
    atomic_fetch_add(&answered, 1);
    return 0;
}

void freeaddrinfo(struct addrinfo *result)
{
    while (result != NULL) {
        struct addrinfo *next = result->ai_next;

        free(result);
        result = next;
    }
}

static int begin(void **state)
{
    door = NULL;
    memset(answer, 0, sizeof answer);
    answer[0] = "127.0.0.1";
    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    return world_begin(state);
}

/* A monitor of the name, at the port of the scripted one. */
static blockjob_monitor *named(struct world *world, const char *host, const char *number)
{
    blockjob_monitor *monitor = NULL;
    char address[128];

    snprintf(address, sizeof address, "tcp:%s:%s", host, strrchr(number, ':') + 1);
    assert_result(blockjob_monitor_new(world->listener, address, &monitor), 0);
    return monitor;
}

static void a_name_is_looked_up_and_reached(void **state)
{
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_monitor *monitor = named(*state, "qemu.example", scripted_monitor_address(qemu));

    connect_to(monitor, qemu);
    assert_int_equal(atomic_load(&asked), 1);
    assert_string_equal(thread_name, "blockjob-name");
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
}

static void others_are_read_while_no_name_server_answers(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_monitor *monitor = named(world, "qemu.example", scripted_monitor_address(qemu));
    blockjob_event *event;

    door = gate_new();
    assert_result(blockjob_monitor_set_reconnect(monitor, 1, 1), 0);
    assert_result(blockjob_monitor_set_connect_timeout(monitor, 1000), 0);
    assert_result(blockjob_monitor_start(monitor), 0);
    gate_wait_entered(door);

    /* Another monitor is connected and read meanwhile. */
    connect_to(world->monitor, world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    for (int i = 0; i < 100; i++) {
        say_status(world->qemu, "job", i % 2 == 0 ? "running" : "paused");
    }
    for (int i = 0; i < 100; i++) {
        event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
        assert_ptr_equal(blockjob_event_get_monitor(event), world->monitor);
    }

    /* The attempt's time passes, the next one does not ask again, and the late answer serves it. */
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    assert_ptr_equal(blockjob_event_get_monitor(event), monitor);
    assert_non_null(strstr(blockjob_event_get_reason(event),
                           "the host qemu.example was not looked up in time"));
    wait_until(blockjob_monitor_get_state(monitor) == BLOCKJOB_STATE_CONNECTING);
    assert_int_equal(atomic_load(&answered), 0);
    assert_int_equal(atomic_load(&asked), 1);
    then_negotiate(qemu);
    gate_open(door);
    event = recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    assert_ptr_equal(blockjob_event_get_monitor(event), monitor);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    scripted_monitor_destroy(qemu);
    gate_destroy(door);
}

static void nobody_waits_for_it_at_the_end(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_listener *listener;
    blockjob_monitor *monitor = NULL;
    char address[128];

    (void)world;
    door = gate_new();
    assert_result(blockjob_listener_new(&listener), 0);
    snprintf(address, sizeof address, "tcp:qemu.example:%s",
             strrchr(scripted_monitor_address(qemu), ':') + 1);
    assert_result(blockjob_monitor_new(listener, address, &monitor), 0);
    assert_result(blockjob_monitor_start(monitor), 0);
    gate_wait_entered(door);
    assert_result(blockjob_listener_free(listener), 0);
    blockjob_monitor_unref(monitor);
    assert_int_equal(atomic_load(&answered), 0);
    gate_open(door);
    wait_until(atomic_load(&answered) == 1);
    scripted_monitor_destroy(qemu);
    left = door; /* the thread may still stand in it */
}

static void numbers_are_not_looked_up(void **state)
{
    struct world *world = *state;
    const char *const hosts[] = { "127.0.0.1", "::1" };

    for (int i = 0; i < 2; i++) {
        struct scripted_monitor *qemu = monitor_on_tcp(hosts[i]);
        blockjob_monitor *monitor = connected_monitor(world->listener, qemu);

        assert_result(blockjob_monitor_close(monitor), 0);
        blockjob_monitor_unref(monitor);
        scripted_monitor_destroy(qemu);
    }
    assert_int_equal(atomic_load(&asked), 0);
}

static void an_unknown_host_is_said_to_be_so(void **state)
{
    blockjob_monitor *monitor = named(*state, "unknown.example", ":4444");

    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -EHOSTUNREACH);
    assert_non_null(strstr(blockjob_last_error(), "the host unknown.example is not known"));
    blockjob_monitor_unref(monitor);
}

/* Of several addresses the first one that takes the connection is it. */
static void each_address_is_tried(void **state)
{
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    blockjob_monitor *monitor = named(*state, "qemu.example", scripted_monitor_address(qemu));

    answer[0] = "::1";
    answer[1] = "127.0.0.2";
    answer[2] = "127.0.0.1";
    stay_down(monitor);
    connect_to(monitor, qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    scripted_monitor_destroy(qemu);
    blockjob_monitor_unref(monitor);

    /* Of none at all it is told of the last. */
    monitor = named(*state, "qemu.example", ":1");
    stay_down(monitor);
    assert_result(blockjob_monitor_connect(monitor, -1), -ECONNREFUSED);
    assert_non_null(strstr(blockjob_last_error(), "127.0.0.1:1"));
    blockjob_monitor_unref(monitor);
}

/* One that never answers costs an attempt, and the next one begins with the others. */
static void a_silent_address_is_the_last_one_next_time(void **state)
{
    struct world *world = *state;
    struct scripted_monitor *qemu = monitor_on_tcp("127.0.0.1");
    const char *number = scripted_monitor_address(qemu);
    blockjob_monitor *monitor = named(world, "qemu.example", number);
    int port = atoi(strrchr(number, ':') + 1), silent = listen_on_tcp("127.0.0.2", 0, &port);
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int others[2];

    /* Its queue is full, and the kernel lets further ones wait for an answer. */
    inet_pton(AF_INET, "127.0.0.2", &name.sin_addr);
    for (int i = 0; i < 2; i++) {
        others[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(others[i], (struct sockaddr *)&name, sizeof name);
    }
    answer[0] = "127.0.0.2";
    answer[1] = "127.0.0.1";
    assert_result(blockjob_monitor_set_reconnect(monitor, 1, 1), 0);
    assert_result(blockjob_monitor_set_connect_timeout(monitor, 200), 0);
    then_negotiate(qemu);
    assert_result(blockjob_monitor_connect(monitor, -1), -ETIMEDOUT);
    assert_non_null(strstr(blockjob_last_error(), "127.0.0.2"));
    assert_non_null(strstr(blockjob_last_error(), "did not answer"));
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CONNECTED);
    script_done(qemu);
    assert_result(blockjob_monitor_close(monitor), 0);
    blockjob_monitor_unref(monitor);
    close(others[0]);
    close(others[1]);
    close(silent);
    scripted_monitor_destroy(qemu);
}

#define with_names(f) cmocka_unit_test_setup_teardown(f, begin, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_names(a_name_is_looked_up_and_reached),
        with_names(others_are_read_while_no_name_server_answers),
        with_names(nobody_waits_for_it_at_the_end),
        with_names(numbers_are_not_looked_up),
        with_names(an_unknown_host_is_said_to_be_so),
        with_names(each_address_is_tried),
        with_names(a_silent_address_is_the_last_one_next_time),
    };

    return run_all(tests);
}
