#include "answers.h"

#include "harness.h"

enum { MOST = 256 };

struct answers {
    struct meeting meeting;
    struct gate *gate;
    size_t count, taken, freed;
    struct answer all[MOST];
};

struct answers *answers_new(void)
{
    struct answers *answers = calloc(1, sizeof *answers);

    assert_non_null(answers);
    meeting_init(&answers->meeting);
    return answers;
}

void answers_destroy(struct answers *answers)
{
    meeting_destroy(&answers->meeting);
    free(answers);
}

void answers_stand_at(struct answers *answers, struct gate *gate)
{
    answers->gate = gate;
}

static void copy(char *to, size_t room, const char *text)
{
    snprintf(to, room, "%s", text == NULL ? "" : text);
}

void answers_callback(blockjob_reply *reply, void *opaque)
{
    struct answers *answers = opaque;

    pthread_mutex_lock(&answers->meeting.lock);
    if (answers->count < MOST) {
        struct answer *answer = &answers->all[answers->count++];

        answer->result = blockjob_reply_get_result(reply);
        answer->number = blockjob_reply_get_number(reply);
        copy(answer->json, sizeof answer->json, blockjob_reply_get_json(reply));
        copy(answer->error_class, sizeof answer->error_class,
             blockjob_reply_get_error_class(reply));
        copy(answer->text, sizeof answer->text, blockjob_reply_get_error_text(reply));
        answer->at = tick();
    }
    pthread_cond_broadcast(&answers->meeting.changed);
    pthread_mutex_unlock(&answers->meeting.lock);
    if (answers->gate != NULL) {
        gate_pass(answers->gate);
    }
}

void answers_release(void *opaque)
{
    struct answers *answers = opaque;

    pthread_mutex_lock(&answers->meeting.lock);
    answers->freed++;
    pthread_cond_broadcast(&answers->meeting.changed);
    pthread_mutex_unlock(&answers->meeting.lock);
}

static size_t read_locked(struct answers *answers, const size_t *value)
{
    size_t read;

    pthread_mutex_lock(&answers->meeting.lock);
    read = *value;
    pthread_mutex_unlock(&answers->meeting.lock);
    return read;
}

size_t answers_count(struct answers *answers)
{
    return read_locked(answers, &answers->count);
}

size_t answers_freed(struct answers *answers)
{
    return read_locked(answers, &answers->freed);
}

static void wait_for(struct answers *answers, const size_t *value, size_t wanted,
                     const char *what)
{
    struct timespec patience = patience_end();
    size_t got;

    pthread_mutex_lock(&answers->meeting.lock);
    while (*value < wanted && meeting_wait(&answers->meeting, &patience)) {
    }
    got = *value;
    pthread_mutex_unlock(&answers->meeting.lock);
    if (got < wanted) {
        fail_msg("%zu %s came, not %zu", got, what, wanted);
    }
}

struct answer answers_next(struct answers *answers)
{
    wait_for(answers, &answers->count, answers->taken + 1, "answers");
    return answers->all[answers->taken++];
}

void answers_wait_freed(struct answers *answers, size_t times)
{
    wait_for(answers, &answers->freed, times, "frees");
}
