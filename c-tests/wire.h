/*
 * The socket of a scripted monitor: what its thread does for each step of a script. Every deed
 * ends, by the peer, by patience, or by wire_wake from another thread.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct wire {
    int listening;
    int connection; /* -1 when there is none */
    int wake;       /* an eventfd: whoever waits is to stop */
    size_t piece;   /* how many bytes are sent at a time; 0 is all */
    char command[4096]; /* the last one */
    char id[256];       /* of that, as it stood there */
    int passed;         /* the descriptor that came with its first byte; -1: none */
    char failure[4608]; /* what a deed wanted and what came; empty as long as all is well */
};

void wire_open(struct wire *wire, const char *path);
void wire_close(struct wire *wire);
void wire_wake(struct wire *wire);

/* The same with a socket that listens already, which is the wire's from now on. */
void wire_open_on(struct wire *wire, int listening);

/* The deeds. False when one failed, or was woken, which leaves no failure. */
bool wire_accept(struct wire *wire);
bool wire_expect(struct wire *wire, const char *word);  /* a command with the word in it */
bool wire_answer(struct wire *wire, const char *text);  /* with $ID replaced by that command's */
bool wire_write_passed(struct wire *wire, const char *text, size_t size); /* and closes it */
bool wire_forget_passed(struct wire *wire);
bool wire_skip_line(struct wire *wire); /* the next one that has a command */
bool wire_send(struct wire *wire, const char *bytes, size_t size);
bool wire_wait_read(struct wire *wire); /* until the peer has read everything */
bool wire_shutdown(struct wire *wire, int how);
bool wire_hang_up(struct wire *wire);
bool wire_expect_hang_up(struct wire *wire);
bool wire_take(struct wire *wire, int connection); /* instead of accepting one */
bool wire_expect_unsent(struct wire *wire); /* the peer has sent nothing that was not expected */
bool wire_expect_end(struct wire *wire); /* the same, and only white space before it */

#endif
