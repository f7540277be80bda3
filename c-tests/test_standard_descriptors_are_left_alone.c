/*
 * A daemon may have closed 0, 1 and 2. No connection of the library's takes their place, so that
 * what is written to a standard error that is not there is not said to QEMU.
 */
#include "harness.h"

#include <sys/stat.h>

enum { PATIENCE = PATIENCE_SECONDS * 1000 };

static void check_no_socket(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        struct stat status;

        child_check(fstat(fd, &status) == -1 || !S_ISSOCK(status.st_mode));
        (void)!write(fd, "12345678\n", 9);
    }
}

static void close_them(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        close(fd);
    }
}

static void dial(void *argument)
{
    blockjob_listener *listener;
    blockjob_monitor *monitor;

    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_monitor_new(listener, argument, &monitor) == 0);
    close_them();
    child_check(blockjob_monitor_connect(monitor, PATIENCE) == 0);
    check_no_socket();
    child_check(blockjob_monitor_execute(monitor, "stop", NULL, 0, PATIENCE, NULL) == 0);
    child_check(blockjob_listener_free(listener) == 0);
    blockjob_monitor_unref(monitor);
}

static void a_connection_that_was_dialled_is_above_them(void **state)
{
    struct scripted_monitor *qemu = scripted_monitor_new();

    (void)state;
    then_negotiate(qemu);
    then_expect(qemu, "\"stop\"");
    then_return(qemu);
    child_run(dial, (void *)(uintptr_t)scripted_monitor_address(qemu));
    script_done(qemu);
    scripted_monitor_destroy(qemu);
}

static void listen_at(void *argument)
{
    blockjob_listener *listener;
    blockjob_monitor *monitor;

    child_check(blockjob_listener_new(&listener) == 0);
    child_check(blockjob_monitor_new(listener, argument, &monitor) == 0);
    close_them();
    child_check(blockjob_monitor_connect(monitor, 100) == -ETIMEDOUT);
    check_no_socket();
    child_check(blockjob_listener_free(listener) == 0);
    blockjob_monitor_unref(monitor);
}

static void what_is_dialled_is_above_them(void **state)
{
    char address[64];

    (void)state;
    snprintf(address, sizeof address, "unix:@blockjob-%ld,server=on", (long)getpid());
    child_run(listen_at, address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_was_dialled_is_above_them),
        cmocka_unit_test(what_is_dialled_is_above_them),
    };

    return run_all(tests);
}
