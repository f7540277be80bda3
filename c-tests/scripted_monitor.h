/*
 * A monitor that does what no real QEMU can be made to do: it follows the test's script.
 *
 * It listens on a Unix socket in a directory of its own. Each then_ function adds one step to the
 * end of the script, and a thread carries the steps out in order. At the end of the script so far
 * it holds still, with the connection open, until the test adds a step: silence needs no sleeping.
 * script_done waits until all steps were carried out, and fails the test if one could not be.
 */
#ifndef SCRIPTED_MONITOR_H
#define SCRIPTED_MONITOR_H

#include <stddef.h>

struct scripted_monitor;

struct scripted_monitor *scripted_monitor_new(void);

/* One that listens on a socket of the test's, which is its from now on, by this address. */
struct scripted_monitor *scripted_monitor_on(int listening, const char *address);

void scripted_monitor_destroy(struct scripted_monitor *monitor);

const char *scripted_monitor_address(const struct scripted_monitor *monitor); /* "unix:PATH" */
const char *scripted_monitor_path(const struct scripted_monitor *monitor);
const char *scripted_monitor_directory(const struct scripted_monitor *monitor);

/* What it greets with: QEMU 7.2.22, verbatim but for the line's end. */
extern const char scripted_greeting[];

void then_accept(struct scripted_monitor *monitor); /* the next connection */
void then_greet(struct scripted_monitor *monitor);

/* Instead of accepting one: a connection that the test has made, the monitor's from now on. */
void then_take(struct scripted_monitor *monitor, int connection);
void then_expect(struct scripted_monitor *monitor, const char *word); /* a command with it */
void then_answer(struct scripted_monitor *monitor, const char *text); /* $ID: that command's id */
void then_return(struct scripted_monitor *monitor);    /* answers it with {} */
void then_refuse(struct scripted_monitor *monitor);    /* with DeviceNotFound, "no d0" */

/* Writes the text to the descriptor that came with the last command's first byte, and closes it. */
void then_write_passed(struct scripted_monitor *monitor, const char *text);
void then_forget_passed(struct scripted_monitor *monitor); /* closes it */
void then_skip_line(struct scripted_monitor *monitor);     /* a command of any length */
void then_negotiate(struct scripted_monitor *monitor); /* all of it: how most scripts begin */
void then_agree(struct scripted_monitor *monitor);     /* the same on the present connection */

/*
 * Answers which jobs there are, in query-jobs and query-block-jobs; with ' written for ". The
 * second one answers the command that was expected last.
 */
void then_list(struct scripted_monitor *monitor, const char *jobs, const char *block_jobs);
void then_answer_list(struct scripted_monitor *monitor, const char *jobs);

/* One message as printf gives it, with ' written for ", and with CRLF after it. */
void then_say(struct scripted_monitor *monitor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes as they are, in one write. */
void then_send(struct scripted_monitor *monitor, const char *text);
void then_send_bytes(struct scripted_monitor *monitor, const void *bytes, size_t size);

/* From here on all is sent in pieces of so many bytes, each when the last was read; 0: at once. */
void then_cut(struct scripted_monitor *monitor, size_t piece);

void then_wait_read(struct scripted_monitor *monitor);     /* until the peer has read all bytes */
void then_stop_reading(struct scripted_monitor *monitor);  /* the peer's next write gets EPIPE */
void then_half_close(struct scripted_monitor *monitor);    /* the peer reads EOF, may still write */
void then_hang_up(struct scripted_monitor *monitor);       /* closes the connection */
void then_expect_hang_up(struct scripted_monitor *monitor); /* until the peer closes it */

/* So far the peer has sent nothing that was not expected. */
void then_expect_unsent(struct scripted_monitor *monitor);

void then_expect_end(struct scripted_monitor *monitor); /* the same, and no command before it */

void script_done(struct scripted_monitor *monitor);

#endif
