/*
 * For promises about fork() and about dying: a piece of a test that runs in a forked child. cmocka
 * lives in the parent, so the child checks with child_check and tells by its exit status.
 */
#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

/* Forks; the child runs `function` and exits with 0. */
pid_t child_start(void (*function)(void *), void *argument);

/* Waits until the child ended; gives what waitpid told. */
int child_wait(pid_t child);

/* Both, and asserts that the child exited with 0. */
void child_run(void (*function)(void *), void *argument);

/* For a child that was forked otherwise: its first call and its last. */
void child_begin(void);
_Noreturn void child_end(void);

#define child_check(condition)                               \
    do {                                                     \
        if (!(condition)) {                                  \
            child_fail(__FILE__, __LINE__, #condition);      \
        }                                                    \
    } while (0)

_Noreturn void child_fail(const char *file, int line, const char *condition);

#endif
