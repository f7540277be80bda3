#include "child.h"

#include <signal.h>
#include <sys/wait.h>

#include "harness.h"
#include "watched.h"

static unsigned errors_before; /* that valgrind had found before the fork */

void child_begin(void)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };

    /* cmocka's handlers would go on with the parent's tests; a fault is to be a fault. */
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        signal(faults[i], SIG_DFL);
    }
    alarm(PATIENCE_SECONDS + 5); /* the parent's is not inherited */
    errors_before = VALGRIND_COUNT_ERRORS;
}

/*
 * By _exit, since exit handlers and what the parent had buffered are not the child's. Under
 * valgrind that would look for leaks, and find what the parent's threads had in hand at the fork:
 * they are not in the child, so nobody there points to it. So valgrind's other findings are asked
 * for, and then it is left behind.
 */
void child_end(void)
{
    child_check(VALGRIND_COUNT_ERRORS == errors_before);
    if (RUNNING_ON_VALGRIND) {
        execl("/bin/true", "true", (char *)NULL);
    }
    _exit(0);
}

pid_t child_start(void (*function)(void *), void *argument)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        child_begin();
        function(argument);
        child_end();
    }
    return child;
}

int child_wait(pid_t child)
{
    int status = 0;

    wait_until(waitpid(child, &status, WNOHANG) == child);
    return status;
}

void child_run(void (*function)(void *), void *argument)
{
    int status = child_wait(child_start(function, argument));

    if (WIFSIGNALED(status)) {
        fail_msg("the child was killed by signal %d", WTERMSIG(status));
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

void child_fail(const char *file, int line, const char *condition)
{
    dprintf(STDERR_FILENO, "%s:%d: in the child: this was not true: %s (last error: \"%s\")\n",
            file, line, condition, blockjob_last_error());
    _exit(1);
}
