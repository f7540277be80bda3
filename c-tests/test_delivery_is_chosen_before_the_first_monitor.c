/*
 * How events come is chosen before the first monitor and the first callback, and settled by them.
 * Each way has its functions, which the others refuse, and its threads.
 */
#include "harness.h"

#include <sys/resource.h>

static const int deliveries[] = {
    BLOCKJOB_DELIVERY_THREAD,
    BLOCKJOB_DELIVERY_LOOP,
    BLOCKJOB_DELIVERY_PULL,
};

enum { DELIVERIES = 3 };

static void ignore(blockjob_event *event, void *opaque)
{
    (void)event;
    (void)opaque;
}

static void count_free(void *opaque)
{
    ++*(int *)opaque;
}

static void it_may_be_chosen_again_and_again(void **state)
{
    blockjob_listener *listener = NULL;
    int fd;

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    for (int i = 0; i < DELIVERIES; i++) {
        assert_result(blockjob_listener_set_delivery(listener, deliveries[i]), 0);
    }
    fd = blockjob_listener_get_fd(listener);
    assert_true(fd >= 0);
    assert_result(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP), 0);
    assert_int_equal(blockjob_listener_get_fd(listener), fd);
    assert_result(blockjob_listener_dispatch(listener), 0);
    assert_result(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_THREAD), 0);
    assert_result(blockjob_listener_get_fd(listener), -EINVAL);
    assert_result(blockjob_listener_free(listener), 0);
}

static void another_number_is_refused(void **state)
{
    static const int others[] = { -1, 0, 4, INT32_MAX, INT32_MIN };
    blockjob_listener *listener = listener_of(BLOCKJOB_DELIVERY_LOOP);

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_result(blockjob_listener_set_delivery(listener, others[i]), -EINVAL);
        assert_non_null(strstr(blockjob_last_error(), "BLOCKJOB_DELIVERY_"));
    }
    assert_result(blockjob_listener_dispatch(listener), 0); /* as before */
    assert_result(blockjob_listener_free(listener), 0);
}

static void a_monitor_settles_it(void **state)
{
    (void)state;
    for (int i = 0; i < DELIVERIES; i++) {
        blockjob_listener *listener = listener_of(deliveries[i]);
        blockjob_monitor *monitor = NULL;

        assert_result(blockjob_monitor_new(listener, "nothing", &monitor), -EINVAL);
        assert_result(blockjob_listener_set_delivery(listener, deliveries[i]), 0);
        assert_result(blockjob_monitor_new(listener, "unix:/nonexistent", &monitor), 0);
        for (int j = 0; j < DELIVERIES; j++) {
            assert_result(blockjob_listener_set_delivery(listener, deliveries[j]), -EBUSY);
        }
        blockjob_monitor_unref(monitor);
        assert_result(blockjob_listener_set_delivery(listener, deliveries[i]), -EBUSY);
        assert_result(blockjob_listener_free(listener), 0);
    }
}

static void a_callback_settles_it(void **state)
{
    (void)state;
    for (int i = 0; i < DELIVERIES; i++) {
        blockjob_listener *listener = listener_of(deliveries[i]);
        blockjob_event_fn callback = deliveries[i] == BLOCKJOB_DELIVERY_PULL ? NULL : ignore;
        int64_t id;

        assert_result(blockjob_callback_add(listener, NULL, NULL, 0, callback, NULL, NULL),
                      -EINVAL);
        assert_result(blockjob_listener_set_delivery(listener, deliveries[i]), 0);
        id = blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL, callback, NULL, NULL);
        assert_true(id > 0);
        assert_result(blockjob_callback_remove(listener, id, 0), 0);
        assert_result(blockjob_listener_set_delivery(listener, deliveries[i]), -EBUSY);
        assert_result(blockjob_listener_free(listener), 0);
    }
}

/* A subscription has no function, any other registration has one. */
static void a_callback_is_wanted_but_for_pull(void **state)
{
    (void)state;
    for (int i = 0; i < DELIVERIES; i++) {
        blockjob_listener *listener = listener_of(deliveries[i]);
        bool pull = deliveries[i] == BLOCKJOB_DELIVERY_PULL;
        int freed = 0;

        assert_result(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                            pull ? ignore : NULL, &freed, count_free), -EINVAL);
        assert_int_equal(freed, 1);
        assert_non_null(strstr(blockjob_last_error(), "callback is "));
        assert_true(blockjob_callback_add(listener, NULL, NULL, BLOCKJOB_EVENT_ALL,
                                          pull ? NULL : ignore, &freed, count_free) > 0);
        assert_int_equal(freed, 1);
        assert_result(blockjob_listener_free(listener), 0);
        assert_int_equal(freed, 2);
    }
}

static void each_has_its_functions(void **state)
{
    (void)state;
    for (int i = 0; i < DELIVERIES; i++) {
        blockjob_listener *listener = listener_of(deliveries[i]);
        blockjob_event *event = NULL;
        bool loop = deliveries[i] == BLOCKJOB_DELIVERY_LOOP;
        bool pull = deliveries[i] == BLOCKJOB_DELIVERY_PULL;

        if (loop || pull) {
            assert_true(blockjob_listener_get_fd(listener) >= 0);
        } else {
            assert_result(blockjob_listener_get_fd(listener), -EINVAL);
        }
        assert_result(blockjob_listener_dispatch(listener), loop ? 0 : -EINVAL);
        assert_result(blockjob_listener_next_event(listener, 0, &event),
                      pull ? -ETIMEDOUT : -EINVAL);
        assert_null(event);
        assert_result(blockjob_listener_free(listener), 0);
    }
}

static void nothing_is_taken_for_something(void **state)
{
    blockjob_listener *listener = listener_of(BLOCKJOB_DELIVERY_PULL);
    blockjob_event *event = NULL;

    (void)state;
    assert_result(blockjob_listener_set_delivery(NULL, BLOCKJOB_DELIVERY_LOOP), -EINVAL);
    assert_result(blockjob_listener_get_fd(NULL), -EINVAL);
    assert_result(blockjob_listener_dispatch(NULL), -EINVAL);
    assert_result(blockjob_listener_next_event(NULL, 0, &event), -EINVAL);
    assert_result(blockjob_listener_next_event(listener, 0, NULL), -EINVAL);
    assert_result(blockjob_listener_next_event(listener, -2, &event), -EINVAL);
    assert_non_null(strstr(blockjob_last_error(), "timeout_ms"));
    assert_null(event);
    assert_result(blockjob_listener_free(listener), 0);
}

static void a_stopped_listener_takes_no_choice(void **state)
{
    blockjob_listener *listener = listener_of(BLOCKJOB_DELIVERY_THREAD);

    (void)state;
    assert_result(blockjob_listener_stop(listener), 0);
    assert_result(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP), -ESHUTDOWN);
    assert_result(blockjob_listener_free(listener), 0);
}

static void without_a_descriptor_all_is_as_before(void **state)
{
    struct rlimit before, none;
    blockjob_listener *listener = NULL;

    (void)state;
    assert_result(blockjob_listener_new(&listener), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_result(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_result(blockjob_listener_dispatch(listener), -EINVAL);
    assert_result(blockjob_listener_set_delivery(listener, BLOCKJOB_DELIVERY_LOOP), 0);
    assert_result(blockjob_listener_dispatch(listener), 0);
    assert_result(blockjob_listener_free(listener), 0);
}

/* The limit is of a user's, and does not bind root. */
static void find_no_thread(void *argument)
{
    blockjob_listener *listener = NULL;
    blockjob_monitor *monitor = NULL;
    struct rlimit before, none;

    (void)argument;
    child_check(geteuid() != 0 || setuid(65534) == 0);
    child_check(blockjob_listener_new(&listener) == 0);
    child_check(getrlimit(RLIMIT_NPROC, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    child_check(setrlimit(RLIMIT_NPROC, &none) == 0);
    child_check(blockjob_monitor_new(listener, "unix:/nonexistent", &monitor) == -EAGAIN);
    child_check(monitor == NULL);
    child_check(strstr(blockjob_last_error(), "blockjob-call") != NULL);
    child_check(setrlimit(RLIMIT_NPROC, &before) == 0);
    child_check(blockjob_monitor_new(listener, "unix:/nonexistent", &monitor) == 0);
    blockjob_monitor_unref(monitor);
    child_check(blockjob_listener_free(listener) == 0);
}

static void without_a_thread_there_is_no_monitor(void **state)
{
    (void)state;
    child_run(find_no_thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_may_be_chosen_again_and_again),
        cmocka_unit_test(another_number_is_refused),
        cmocka_unit_test(a_monitor_settles_it),
        cmocka_unit_test(a_callback_settles_it),
        cmocka_unit_test(a_callback_is_wanted_but_for_pull),
        cmocka_unit_test(each_has_its_functions),
        cmocka_unit_test(nothing_is_taken_for_something),
        cmocka_unit_test(a_stopped_listener_takes_no_choice),
        cmocka_unit_test(without_a_descriptor_all_is_as_before),
        cmocka_unit_test(without_a_thread_there_is_no_monitor),
    };

    return run_all(tests);
}
