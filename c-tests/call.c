#include "call.h"

#include "harness.h"

static void *run(void *argument)
{
    struct call *call = argument;

    atomic_store(&call->task, (int)gettid());
    call->result = call->function(call->argument);
    call->returned_at = tick();
    snprintf(call->last_error, sizeof call->last_error, "%s", blockjob_last_error());
    atomic_store(&call->returned, true);
    return NULL;
}

void call_start(struct call *call, int (*function)(void *), void *argument)
{
    memset(call, 0, sizeof *call);
    call->function = function;
    call->argument = argument;
    assert_int_equal(pthread_create(&call->thread, NULL, run, call), 0);
}

static bool asleep(int task)
{
    char path[64];
    char state = '?';
    FILE *stat;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", task);
    stat = fopen(path, "re");
    if (stat != NULL) {
        if (fscanf(stat, "%*d (%*[^)]) %c", &state) != 1) {
            state = '?';
        }
        fclose(stat);
    }
    return state == 'S';
}

void call_settle(struct call *call)
{
    int looks = 0; /* asleep in this many looks in a row, a millisecond apart */

    wait_until(atomic_load(&call->task) != 0);
    while (looks < 20) {
        struct timespec end = patience_end();

        if (atomic_load(&call->returned)) {
            return;
        }
        looks = asleep(atomic_load(&call->task)) ? looks + 1 : 0;
        patience_pause(&end);
    }
}

int call_join(struct call *call)
{
    wait_until(atomic_load(&call->returned));
    assert_int_equal(pthread_join(call->thread, NULL), 0);
    return call->result;
}
