#include "patience.h"

#include <errno.h>

void meeting_init(struct meeting *meeting)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&meeting->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&meeting->lock, NULL);
}

void meeting_destroy(struct meeting *meeting)
{
    pthread_cond_destroy(&meeting->changed);
    pthread_mutex_destroy(&meeting->lock);
}

struct timespec patience_end(void)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += PATIENCE_SECONDS;
    return end;
}

bool meeting_wait(struct meeting *meeting, const struct timespec *end)
{
    return pthread_cond_timedwait(&meeting->changed, &meeting->lock, end) != ETIMEDOUT;
}

bool patience_pause(const struct timespec *end)
{
    const struct timespec millisecond = { .tv_nsec = 1000000 };
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec > end->tv_nsec)) {
        return false;
    }
    nanosleep(&millisecond, NULL);
    return true;
}
