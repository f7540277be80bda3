/*
 * An id that blockjob_job_new() makes up is no other job's: of this listener or another, of this
 * process or another, also where they have one owner, and where a process has the number of one
 * before it.
 */
#include "harness.h"

#include <sys/syscall.h>

enum { OF_EACH = 50, LENGTH = 128 };

static pid_t pretended; /* what the library takes for the number of this process; 0: the true one */

pid_t getpid(void)
{
    return pretended != 0 ? pretended : (pid_t)syscall(SYS_getpid);
}

struct ids {
    char (*text)[LENGTH];
    size_t count;
};

static void add_id(struct ids *ids, const char *id)
{
    assert_non_null(id);
    assert_true(strlen(id) < LENGTH);
    ids->text = realloc(ids->text, (ids->count + 1) * sizeof *ids->text);
    assert_non_null(ids->text);
    strcpy(ids->text[ids->count++], id);
}

static int by_text(const void *one, const void *other)
{
    return strcmp(one, other);
}

static void assert_all_differ(struct ids *ids)
{
    qsort(ids->text, ids->count, sizeof *ids->text, by_text);
    for (size_t i = 0; i < ids->count; i++) {
        assert_int_equal(strncmp(ids->text[i], OWNER "-", strlen(OWNER "-")), 0);
        if (i > 0 && strcmp(ids->text[i - 1], ids->text[i]) == 0) {
            fail_msg("two jobs are called %s", ids->text[i]);
        }
    }
    free(ids->text);
}

struct listening {
    blockjob_listener *listener;
    blockjob_monitor *monitors[2];
};

/* Nobody need be there for an id to be made. These run in children too, so they only tell. */
static bool begin_listening(struct listening *it)
{
    return blockjob_listener_new(&it->listener) == 0 &&
           blockjob_listener_set_owner(it->listener, OWNER) == 0 &&
           blockjob_monitor_new(it->listener, "unix:/nowhere", &it->monitors[0]) == 0 &&
           blockjob_monitor_new(it->listener, "unix:/nowhere", &it->monitors[1]) == 0;
}

static bool make_ids(struct listening *it, void (*take)(void *, const char *), void *opaque)
{
    for (int i = 0; i < OF_EACH; i++) {
        blockjob_job *job = NULL;

        if (blockjob_job_new(it->monitors[i % 2], NULL, 0, &job) != 0) {
            return false;
        }
        take(opaque, blockjob_job_get_id(job));
        blockjob_job_free(job);
    }
    return true;
}

static bool end_listening(struct listening *it)
{
    blockjob_monitor_unref(it->monitors[0]);
    blockjob_monitor_unref(it->monitors[1]);
    return blockjob_listener_free(it->listener) == 0;
}

static void take_id(void *opaque, const char *id)
{
    add_id(opaque, id);
}

static void of_two_listeners(void **state)
{
    struct listening one, other;
    struct ids ids = { 0 };

    (void)state;
    assert_true(begin_listening(&one));
    assert_true(begin_listening(&other));
    for (int i = 0; i < 3; i++) {
        assert_true(make_ids(&one, take_id, &ids));
        assert_true(make_ids(&other, take_id, &ids));
    }
    assert_true(end_listening(&one));
    assert_true(end_listening(&other));
    assert_int_equal(ids.count, 6 * OF_EACH);
    assert_all_differ(&ids);
}

static void print_id(void *opaque, const char *id)
{
    char line[LENGTH] = { 0 };

    strncpy(line, id, LENGTH - 1);
    child_check(write(*(int *)opaque, line, sizeof line) == (ssize_t)sizeof line);
}

static void print_ids(void *opaque)
{
    struct listening own;

    child_check(begin_listening(&own));
    child_check(make_ids(&own, print_id, opaque));
    child_check(end_listening(&own));
}

/* Adds what a child prints, which has ended when this returns. */
static void add_ids_of_child(struct ids *ids)
{
    int ends[2];
    char line[LENGTH];
    FILE *printed;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = child_start(print_ids, &ends[1]);
    close(ends[1]);
    printed = fdopen(ends[0], "r");
    assert_non_null(printed);
    while (fread(line, sizeof line, 1, printed) == 1) {
        add_id(ids, line);
    }
    fclose(printed);
    assert_int_equal(child_wait(child), 0);
}

static void of_two_processes(void **state)
{
    struct listening own;
    struct ids ids = { 0 };

    (void)state;
    assert_true(begin_listening(&own));
    assert_true(make_ids(&own, take_id, &ids));
    add_ids_of_child(&ids);
    add_ids_of_child(&ids);
    assert_true(end_listening(&own));
    assert_int_equal(ids.count, 3 * OF_EACH);
    assert_all_differ(&ids);
}

/*
 * Numbers are given again, and in a container each first process has the same. All that the parent
 * had in its memory at the fork its children have in common.
 */
static void of_processes_with_one_number(void **state)
{
    struct listening own;
    struct ids ids = { 0 };

    (void)state;
    assert_true(begin_listening(&own));
    assert_true(make_ids(&own, take_id, &ids));
    pretended = 1;
    add_ids_of_child(&ids);
    add_ids_of_child(&ids);
    pretended = 0;
    assert_true(end_listening(&own));
    assert_int_equal(ids.count, 3 * OF_EACH);
    assert_all_differ(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_listeners),
        cmocka_unit_test(of_two_processes),
        cmocka_unit_test(of_processes_with_one_number),
    };

    return run_all(tests);
}
