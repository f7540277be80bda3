/*
 * Whoever asks for COMPLETED or CANCELLED gets LOST too, without having named it: there is no
 * silence. It is an end like the others: claimed by who gets it, and once. Who asks for no end of a
 * job gets none.
 */
#include "harness.h"

static const uint32_t masks[] = {
    BLOCKJOB_EVENT_COMPLETED,
    BLOCKJOB_EVENT_CANCELLED,
    BLOCKJOB_EVENT_LOST,
    BLOCKJOB_EVENT_COMPLETED | BLOCKJOB_OBSERVE,
    BLOCKJOB_EVENT_CANCELLED | BLOCKJOB_EVENT_READY,
    BLOCKJOB_EVENT_ALL & ~BLOCKJOB_EVENT_FINAL, /* no end at all */
};
enum { ASKING = sizeof masks / sizeof masks[0], NOT_ASKING = ASKING - 1 };

struct registered {
    struct recorder *recorders[ASKING];
};

static void register_all(struct world *world, struct registered *all, const char *job_id)
{
    for (int i = 0; i < ASKING; i++) {
        int64_t id;

        all->recorders[i] = recorder_new();
        id = blockjob_callback_add(world->listener, NULL, job_id, masks[i], recorder_callback,
                                   all->recorders[i], recorder_release);
        assert_true(id > 0);
    }
}

/* Each that asked for an end has this one. */
static void assert_each_has(struct registered *all, const char *job_id, int loss)
{
    for (int i = 0; i < NOT_ASKING; i++) {
        blockjob_event *event = recorder_next_of(all->recorders[i], BLOCKJOB_EVENT_LOST);

        assert_text(blockjob_event_get_job_id(event), job_id);
        assert_int_equal(blockjob_event_get_loss(event), loss);
    }
}

static void end_all(struct world *world, struct registered *all)
{
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;
    for (int i = 0; i < ASKING; i++) {
        struct recorder *recorder = all->recorders[i];
        size_t ends = 0;

        for (size_t at = 0; at < recorder_count(recorder); at++) {
            int kind = blockjob_event_get_kind(recorder_get(recorder, at));

            ends += (kind & BLOCKJOB_EVENT_FINAL) != 0;
        }
        assert_int_equal(ends, i == NOT_ASKING ? 0 : 1);
        recorder_destroy(recorder);
    }
}

static void when_the_monitor_is_closed(void **state)
{
    struct world *world = *state;
    struct registered all;

    register_all(world, &all, NULL);
    say_status(world->qemu, "j", "created");
    say_status(world->qemu, "j", "running");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    assert_each_has(&all, "j", BLOCKJOB_LOSS_CLOSED);
    end_all(world, &all);
}

static void when_qemu_has_it_no_longer(void **state)
{
    struct world *world = *state;
    struct registered all;

    register_all(world, &all, "j");
    say_status(world->qemu, "j", "created");
    say_status(world->qemu, "j", "running");
    then_hang_up(world->qemu);
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_DISCONNECTED);
    connect_to(world->monitor, world->qemu);
    assert_each_has(&all, "j", BLOCKJOB_LOSS_GONE);
    end_all(world, &all);
}

/* The other ends come to those alone that named them. */
static void and_of_the_other_ends_only_what_was_named(void **state)
{
    struct world *world = *state;
    struct recorder *completed = recorder_new(), *cancelled = recorder_new();
    struct recorder *lost = recorder_new();
    const struct {
        struct recorder *recorder;
        int kind;
    } asked[] = {
        { completed, BLOCKJOB_EVENT_COMPLETED },
        { cancelled, BLOCKJOB_EVENT_CANCELLED },
        { lost, BLOCKJOB_EVENT_LOST },
    };

    for (int i = 0; i < 3; i++) {
        assert_true(blockjob_callback_add(world->listener, NULL, NULL, (uint32_t)asked[i].kind,
                                          recorder_callback, asked[i].recorder,
                                          recorder_release) > 0);
    }
    say_completed(world->qemu, "well");
    then_say(world->qemu, "{'event': 'BLOCK_JOB_CANCELLED', 'data': {'device': 'off'}}");
    say_status(world->qemu, "gone", "created");
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_STATUS);
    assert_result(blockjob_monitor_close(world->monitor), 0);
    /* It is the last that any of them could be told of. */
    recorder_next_of(world->recorder, BLOCKJOB_EVENT_CLOSED);
    assert_result(blockjob_listener_free(world->listener), 0);
    world->listener = NULL;

    assert_int_equal(recorder_count(completed), 2);
    assert_text(blockjob_event_get_job_id(recorder_get(completed, 0)), "well");
    assert_text(blockjob_event_get_job_id(recorder_get(completed, 1)), "gone");
    assert_int_equal(recorder_count(cancelled), 2);
    assert_text(blockjob_event_get_job_id(recorder_get(cancelled, 0)), "off");
    assert_text(blockjob_event_get_job_id(recorder_get(cancelled, 1)), "gone");
    assert_int_equal(recorder_count(lost), 1);
    assert_text(blockjob_event_get_job_id(recorder_get(lost, 0)), "gone");
    for (int i = 0; i < 3; i++) {
        recorder_destroy(asked[i].recorder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_connected(when_the_monitor_is_closed),
        test_connected(when_qemu_has_it_no_longer),
        test_connected(and_of_the_other_ends_only_what_was_named),
    };

    return run_all(tests);
}
