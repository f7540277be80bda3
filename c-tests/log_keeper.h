/*
 * What the library says of itself, kept for the test's thread: a log function, its opaque, its free.
 */
#ifndef LOG_KEEPER_H
#define LOG_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include <blockjob.h>

#include "recorder.h"

struct log_keeper;

struct log_keeper *log_keeper_new(void);
void log_keeper_destroy(struct log_keeper *keeper);

/* To set: the function, its opaque (the keeper), and its free. */
void log_keeper_take(int level, const char *monitor_name, const char *message, void *opaque);
void log_keeper_release(void *opaque);

/* Each line stands at this gate before the function returns; NULL: none. */
void log_keeper_stand_at(struct log_keeper *keeper, struct gate *gate);

size_t log_keeper_count(struct log_keeper *keeper);
size_t log_keeper_freed(struct log_keeper *keeper);

/* Waits for a line with all of `words` in it, as "LEVEL NAME MESSAGE"; it must be released. */
char *log_keeper_find(struct log_keeper *keeper, const char *words);

/* Whether there is such a line now. */
bool log_keeper_has(struct log_keeper *keeper, const char *words);

/* How many lines have these words in them. */
size_t log_keeper_lines_with(struct log_keeper *keeper, const char *words);

#endif
