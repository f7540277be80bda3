#include "delivered.h"

#include "harness.h"

#include <poll.h>

blockjob_listener *listener_of(int how)
{
    blockjob_listener *listener = NULL;

    assert_result(blockjob_listener_new(&listener), 0);
    assert_result(blockjob_listener_set_delivery(listener, how), 0);
    return listener;
}

static int begin(void **state, int how)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->gate = gate_new();
    world->recorder = recorder_new();
    world->qemu = scripted_monitor_new();
    world->listener = listener_of(how);
    assert_result(blockjob_listener_set_owner(world->listener, OWNER), 0);
    world->monitor = connected_monitor(world->listener, world->qemu);
    *state = world;
    return 0;
}

int loop_begin(void **state)
{
    return begin(state, BLOCKJOB_DELIVERY_LOOP);
}

int pull_begin(void **state)
{
    return begin(state, BLOCKJOB_DELIVERY_PULL);
}

int delivered_end(void **state)
{
    struct world *world = *state;

    gate_open(world->gate);
    assert_result(blockjob_listener_free(world->listener), 0);
    blockjob_monitor_unref(world->monitor);
    assert_int_equal(recorder_misuses(world->recorder), 0);
    recorder_destroy(world->recorder);
    scripted_monitor_destroy(world->qemu);
    gate_destroy(world->gate);
    free(world);
    return 0;
}

void end_listener(struct world *world)
{
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
}

void wait_until_read(struct world *world)
{
    blockjob_monitor *nowhere = NULL;

    then_wait_read(world->qemu);
    script_done(world->qemu);
    /* The reader answers this when it is done with what it has read. */
    assert_result(blockjob_monitor_new(world->listener, "unix:/nonexistent", &nowhere), 0);
    stay_down(nowhere);
    assert_result(blockjob_monitor_connect(nowhere, PATIENCE_SECONDS * 1000), -ENOENT);
    blockjob_monitor_unref(nowhere);
}

static int poll_for(int fd, int timeout_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    int ready = poll(&poll_fd, 1, timeout_ms);

    assert_int_equal(poll_fd.revents & ~POLLIN, 0);
    return ready;
}

bool is_readable(int fd)
{
    return poll_for(fd, 0) == 1;
}

void wait_until_readable(int fd)
{
    assert_int_equal(poll_for(fd, PATIENCE_SECONDS * 1000), 1);
}

void dispatch(struct world *world, int count)
{
    int fd = blockjob_listener_get_fd(world->listener);

    while (count > 0) {
        int done;

        wait_until_readable(fd);
        done = blockjob_listener_dispatch(world->listener);
        if (done < 0) {
            fail_msg("dispatch gave %d: %s", done, blockjob_last_error());
        }
        count -= done;
    }
}

int64_t subscribe(struct world *world, const char *job_id, uint32_t kinds)
{
    int64_t id = blockjob_callback_add(world->listener, world->monitor, job_id, kinds, NULL, NULL,
                                       NULL);

    if (id <= 0) {
        fail_msg("there is no subscription: %s", blockjob_last_error());
    }
    return id;
}

blockjob_event *pulled(struct world *world)
{
    blockjob_event *event = NULL;

    assert_result(blockjob_listener_next_event(world->listener, PATIENCE_SECONDS * 1000, &event),
                  0);
    assert_non_null(event);
    return event;
}

void expect_pulled(struct world *world, int kind, const char *job_id)
{
    blockjob_event *event = pulled(world);

    assert_int_equal(blockjob_event_get_kind(event), kind);
    if (job_id != NULL) {
        assert_text(blockjob_event_get_job_id(event), job_id);
    }
    blockjob_event_unref(event);
}

void expect_nothing(struct world *world)
{
    blockjob_event *event = (blockjob_event *)&event, *untouched = event;

    assert_result(blockjob_listener_next_event(world->listener, 0, &event), -ETIMEDOUT);
    assert_ptr_equal(event, untouched);
}
