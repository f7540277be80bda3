/* The lines of the log, kept. */
#include "log_keeper.h"

#include "harness.h"

struct log_keeper {
    struct meeting meeting;
    struct gate *gate;
    char **lines;
    size_t count, room;
    atomic_size_t freed;
};

struct log_keeper *log_keeper_new(void)
{
    struct log_keeper *keeper = calloc(1, sizeof *keeper);

    assert_non_null(keeper);
    meeting_init(&keeper->meeting);
    return keeper;
}

void log_keeper_destroy(struct log_keeper *keeper)
{
    for (size_t i = 0; i < keeper->count; i++) {
        free(keeper->lines[i]);
    }
    free(keeper->lines);
    meeting_destroy(&keeper->meeting);
    free(keeper);
}

void log_keeper_stand_at(struct log_keeper *keeper, struct gate *gate)
{
    pthread_mutex_lock(&keeper->meeting.lock);
    keeper->gate = gate;
    pthread_mutex_unlock(&keeper->meeting.lock);
}

void log_keeper_take(int level, const char *monitor_name, const char *message, void *opaque)
{
    struct log_keeper *keeper = opaque;
    struct gate *gate;
    char *line = NULL;

    if (asprintf(&line, "%d %s %s", level, monitor_name == NULL ? "(null)" : monitor_name,
                 message) < 0) {
        abort();
    }
    pthread_mutex_lock(&keeper->meeting.lock);
    if (keeper->count == keeper->room) {
        keeper->room = keeper->room * 2 + 16;
        keeper->lines = realloc(keeper->lines, keeper->room * sizeof *keeper->lines);
    }
    keeper->lines[keeper->count++] = line;
    gate = keeper->gate;
    pthread_cond_broadcast(&keeper->meeting.changed);
    pthread_mutex_unlock(&keeper->meeting.lock);
    if (gate != NULL) {
        gate_pass(gate);
    }
}

void log_keeper_release(void *opaque)
{
    struct log_keeper *keeper = opaque;

    atomic_fetch_add(&keeper->freed, 1);
}

size_t log_keeper_count(struct log_keeper *keeper)
{
    size_t count;

    pthread_mutex_lock(&keeper->meeting.lock);
    count = keeper->count;
    pthread_mutex_unlock(&keeper->meeting.lock);
    return count;
}

size_t log_keeper_freed(struct log_keeper *keeper)
{
    return atomic_load(&keeper->freed);
}

/* With the lock held. */
static const char *find(const struct log_keeper *keeper, const char *words)
{
    for (size_t i = 0; i < keeper->count; i++) {
        if (strstr(keeper->lines[i], words) != NULL) {
            return keeper->lines[i];
        }
    }
    return NULL;
}

char *log_keeper_find(struct log_keeper *keeper, const char *words)
{
    struct timespec end = patience_end();
    const char *found;
    char *line;

    pthread_mutex_lock(&keeper->meeting.lock);
    while ((found = find(keeper, words)) == NULL) {
        if (!meeting_wait(&keeper->meeting, &end)) {
            for (size_t i = 0; i < keeper->count; i++) {
                print_error("log: %s\n", keeper->lines[i]);
            }
            pthread_mutex_unlock(&keeper->meeting.lock);
            fail_msg("no line of the log has \"%s\"", words);
        }
    }
    line = strdup(found);
    pthread_mutex_unlock(&keeper->meeting.lock);
    assert_non_null(line);
    return line;
}

bool log_keeper_has(struct log_keeper *keeper, const char *words)
{
    return log_keeper_lines_with(keeper, words) > 0;
}

size_t log_keeper_lines_with(struct log_keeper *keeper, const char *words)
{
    size_t count = 0;

    pthread_mutex_lock(&keeper->meeting.lock);
    for (size_t i = 0; i < keeper->count; i++) {
        count += strstr(keeper->lines[i], words) != NULL;
    }
    pthread_mutex_unlock(&keeper->meeting.lock);
    return count;
}
