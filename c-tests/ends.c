#include "ends.h"

#include "harness.h"

enum { MOST = 1024 };

struct taker {
    struct meeting meeting;
    struct gate *gate;
    bool keeps;
    blockjob_event *kept;
    size_t count, taken;
    struct end ends[MOST];
};

struct taker *taker_new(void)
{
    struct taker *taker = calloc(1, sizeof *taker);

    assert_non_null(taker);
    meeting_init(&taker->meeting);
    return taker;
}

void taker_destroy(struct taker *taker)
{
    meeting_destroy(&taker->meeting);
    free(taker);
}

static void take(blockjob_event *event, void *opaque)
{
    struct taker *taker = opaque;
    struct gate *gate;

    pthread_mutex_lock(&taker->meeting.lock);
    if (taker->count < MOST) {
        struct end *end = &taker->ends[taker->count++];

        end->kind = blockjob_event_get_kind(event);
        end->outcome = blockjob_event_get_outcome(event);
        end->origin = blockjob_event_get_origin(event);
        end->pivoted = blockjob_event_get_pivoted(event);
        end->loss = blockjob_event_get_loss(event);
        snprintf(end->job_id, sizeof end->job_id, "%s", blockjob_event_get_job_id(event));
        snprintf(end->line, sizeof end->line, "%s", blockjob_event_get_line(event));
        end->at = tick();
    }
    if (taker->keeps) {
        taker->kept = blockjob_event_ref(event);
    }
    gate = taker->gate;
    pthread_cond_broadcast(&taker->meeting.changed);
    pthread_mutex_unlock(&taker->meeting.lock);
    if (gate != NULL) {
        gate_pass(gate);
    }
}

int64_t taker_add(struct taker *taker, blockjob_listener *listener, blockjob_monitor *monitor,
                  const char *job_id, uint32_t flags)
{
    int64_t id = blockjob_callback_add(listener, monitor, job_id, BLOCKJOB_EVENT_FINAL | flags,
                                       take, taker, NULL);

    if (id <= 0) {
        fail_msg("no taker could be added: %s", blockjob_last_error());
    }
    return id;
}

void taker_stand_at(struct taker *taker, struct gate *gate)
{
    taker->gate = gate;
}

void taker_keep(struct taker *taker)
{
    taker->keeps = true;
}

blockjob_event *taker_kept(struct taker *taker)
{
    return taker->kept;
}

size_t taker_count(struct taker *taker)
{
    size_t count;

    pthread_mutex_lock(&taker->meeting.lock);
    count = taker->count;
    pthread_mutex_unlock(&taker->meeting.lock);
    return count;
}

struct end taker_next(struct taker *taker)
{
    struct timespec patience = patience_end();
    struct end end = { 0 };
    bool came;

    pthread_mutex_lock(&taker->meeting.lock);
    while (taker->count <= taker->taken && meeting_wait(&taker->meeting, &patience)) {
    }
    came = taker->count > taker->taken;
    if (came) {
        end = taker->ends[taker->taken++];
    }
    pthread_mutex_unlock(&taker->meeting.lock);
    if (!came) {
        fail_msg("no end came after the first %zu", taker->taken);
    }
    return end;
}

void say_begun(struct scripted_monitor *qemu, const char *job_id)
{
    say_status(qemu, job_id, "created");
    say_status(qemu, job_id, "running");
}

void say_ended(struct scripted_monitor *qemu, const char *job_id)
{
    say_status(qemu, job_id, "waiting");
    say_status(qemu, job_id, "pending");
    say_completed(qemu, job_id);
    say_status(qemu, job_id, "concluded");
}

void say_job(struct scripted_monitor *qemu, const char *job_id)
{
    say_begun(qemu, job_id);
    say_ended(qemu, job_id);
}

void then_dismiss(struct scripted_monitor *qemu, const char *job_id)
{
    char word[256];

    snprintf(word, sizeof word, "\"job-dismiss\",\"arguments\":{\"id\":\"%s\"}", job_id);
    then_expect(qemu, word);
    say_status(qemu, job_id, "null");
    then_return(qemu);
}

void expect_nothing_sent(struct world *world)
{
    blockjob_job *fence = handle_of(world, NULL, 0);

    then_expect(world->qemu, "\"fence\"");
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"CommandNotFound\", "
                             "\"desc\": \"there is no fence\"}}\r\n");
    assert_result(blockjob_job_start(fence, "fence", "{}", PATIENCE_SECONDS * 1000), -EREMOTEIO);
    blockjob_job_free(fence);
    script_done(world->qemu);
}

blockjob_job *handle_of(struct world *world, const char *job_id, uint32_t flags)
{
    blockjob_job *job = NULL;

    assert_result(blockjob_job_new(world->monitor, job_id, flags, &job), 0);
    return job;
}

void start_job(struct world *world, blockjob_job *job)
{
    then_expect(world->qemu, "\"block-stream\"");
    then_return(world->qemu);
    assert_result(blockjob_job_start(job, "block-stream", "{\"device\":\"d0\"}",
                                     PATIENCE_SECONDS * 1000), 0);
    say_begun(world->qemu, blockjob_job_get_id(job));
    script_done(world->qemu);
}
