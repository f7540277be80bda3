#include "wire.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "harness.h"

void wire_open(struct wire *wire, const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listening >= 0);
    assert_in_range(strlen(path), 1, sizeof name.sun_path - 1);
    strcpy(name.sun_path, path);
    assert_int_equal(bind(listening, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listening, 8), 0);
    wire_open_on(wire, listening);
}

void wire_open_on(struct wire *wire, int listening)
{
    memset(wire, 0, sizeof *wire);
    wire->connection = -1;
    wire->passed = -1;
    wire->wake = eventfd(0, EFD_CLOEXEC);
    assert_true(wire->wake >= 0);
    wire->listening = listening;
}

bool wire_forget_passed(struct wire *wire)
{
    if (wire->passed >= 0) {
        close(wire->passed);
        wire->passed = -1;
    }
    return true;
}

void wire_close(struct wire *wire)
{
    wire_hang_up(wire);
    wire_forget_passed(wire);
    if (wire->listening >= 0) {
        close(wire->listening);
    }
    close(wire->wake);
}

void wire_wake(struct wire *wire)
{
    const uint64_t one = 1;

    assert_int_equal(write(wire->wake, &one, sizeof one), sizeof one);
}

static bool failed(struct wire *wire, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool failed(struct wire *wire, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(wire->failure, sizeof wire->failure, format, arguments);
    va_end(arguments);
    return false;
}

static bool ready(struct wire *wire, int descriptor, short what)
{
    struct pollfd descriptors[] = {
        { .fd = wire->wake, .events = POLLIN },
        { .fd = descriptor, .events = what },
    };
    int count;

    do {
        count = poll(descriptors, 2, PATIENCE_SECONDS * 1000);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        return failed(wire, "the peer did nothing for %d seconds", PATIENCE_SECONDS);
    }
    return descriptors[0].revents == 0;
}

static bool woken(struct wire *wire)
{
    struct pollfd wake = { .fd = wire->wake, .events = POLLIN };

    return poll(&wake, 1, 0) > 0;
}

bool wire_accept(struct wire *wire)
{
    if (!ready(wire, wire->listening, POLLIN)) {
        return false;
    }
    wire_hang_up(wire);
    wire->connection = accept4(wire->listening, NULL, NULL, SOCK_CLOEXEC);
    return wire->connection >= 0 || failed(wire, "accept: %s", strerror(errno));
}

bool wire_take(struct wire *wire, int connection)
{
    wire_hang_up(wire);
    wire->connection = connection;
    return true;
}

bool wire_expect_unsent(struct wire *wire)
{
    int sent = 0;

    if (ioctl(wire->connection, FIONREAD, &sent) != 0) {
        return failed(wire, "FIONREAD: %s", strerror(errno));
    }
    return sent == 0 || failed(wire, "%d bytes came that were not expected yet", sent);
}

/* Reads one byte, and a descriptor with it; *end tells that the peer has closed. */
static bool read_byte(struct wire *wire, char *byte, bool *end)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { .iov_base = byte, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header;
    ssize_t size;

    if (!ready(wire, wire->connection, POLLIN)) {
        return false;
    }
    size = recvmsg(wire->connection, &message, MSG_CMSG_CLOEXEC);
    header = size == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        wire_forget_passed(wire);
        memcpy(&wire->passed, CMSG_DATA(header), sizeof wire->passed);
        if (*byte != '{') {
            return failed(wire, "a descriptor came with '%c', in the middle of something", *byte);
        }
    }
    *end = size == 0 || (size < 0 && errno == ECONNRESET);
    return *end || size == 1 || failed(wire, "recv: %s", strerror(errno));
}

/* Reads one command, framed by its braces: a client need not send a newline. */
static bool read_command(struct wire *wire, char *command, size_t room)
{
    bool in_string = false, escaped = false, end;
    size_t size = 0;
    int depth = 0;
    char byte;

    wire_forget_passed(wire);
    do {
        if (!read_byte(wire, &byte, &end)) {
            return false;
        }
        if (end) {
            return failed(wire, "a command was wanted, but the peer closed");
        }
        if (depth == 0 && byte != '{') {
            continue; /* white space between commands */
        }
        if (size == room - 1) {
            return failed(wire, "a command is longer than %zu bytes", size);
        }
        command[size++] = byte;
        if (in_string) {
            in_string = escaped || byte != '"';
            escaped = !escaped && byte == '\\';
        } else {
            in_string = byte == '"';
            depth += (byte == '{') - (byte == '}');
        }
    } while (depth > 0 || size == 0);
    command[size] = '\0';
    return true;
}

/* A command's own id is the last member of that name: its arguments come before it. */
bool wire_expect(struct wire *wire, const char *word)
{
    const char *command = wire->command;
    const char *id = NULL;
    size_t length;

    if (!read_command(wire, wire->command, sizeof wire->command)) {
        return false;
    }
    if (strstr(command, word) == NULL) {
        return failed(wire, "a command with \"%s\" was wanted, but this came: %s", word, command);
    }
    for (const char *c = command; (c = strstr(c, "\"id\":")) != NULL; c++) {
        id = c;
    }
    if (id == NULL) {
        return failed(wire, "a command without an id came: %s", command);
    }
    id += strlen("\"id\"");
    id += strspn(id, ": ");
    length = *id == '"' ? strcspn(id + 1, "\"") + 2 : strcspn(id, ",} ");
    snprintf(wire->id, sizeof wire->id, "%.*s", (int)length, id);
    return true;
}

bool wire_answer(struct wire *wire, const char *text)
{
    const char *place = strstr(text, "$ID");
    char answer[4096];
    int size;

    if (place == NULL) {
        return failed(wire, "the script answers without $ID: %s", text);
    }
    size = snprintf(answer, sizeof answer, "%.*s%s%s", (int)(place - text), text, wire->id,
                    place + strlen("$ID"));
    return wire_send(wire, answer, (size_t)size);
}

bool wire_skip_line(struct wire *wire)
{
    bool begun = false;
    char piece[4096];
    const char *end;

    /* By pieces, of which no more is taken than the line. */
    do {
        ssize_t size;

        if (!ready(wire, wire->connection, POLLIN)) {
            return false;
        }
        size = recv(wire->connection, piece, sizeof piece, MSG_PEEK);
        if (size <= 0) {
            return failed(wire, "a command was wanted, but the peer closed");
        }
        end = memchr(piece, '\n', (size_t)size);
        size = end == NULL ? size : end + 1 - piece;
        begun |= memchr(piece, '{', (size_t)size) != NULL;
        if (recv(wire->connection, piece, (size_t)size, 0) != size) {
            return failed(wire, "what was there to be read was not read");
        }
    } while (end == NULL || !begun);
    return true;
}

bool wire_write_passed(struct wire *wire, const char *text, size_t size)
{
    if (wire->passed < 0) {
        return failed(wire, "no descriptor came with %s", wire->command);
    }
    if (write(wire->passed, text, size) != (ssize_t)size) {
        return failed(wire, "write to what was passed: %s", strerror(errno));
    }
    wire_forget_passed(wire);
    return true;
}

static bool send_at_once(struct wire *wire, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent;

        if (!ready(wire, wire->connection, POLLOUT)) {
            return false;
        }
        sent = send(wire->connection, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            return failed(wire, "send: %s", strerror(errno));
        }
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
    }
    return true;
}

bool wire_send(struct wire *wire, const char *bytes, size_t size)
{
    if (wire->piece == 0) {
        return send_at_once(wire, bytes, size);
    }
    for (size_t sent = 0; sent < size; sent += wire->piece) {
        size_t left = size - sent;

        if (!send_at_once(wire, bytes + sent, left < wire->piece ? left : wire->piece)
            || !wire_wait_read(wire)) {
            return false;
        }
    }
    return true;
}

/* The kernel tells how many bytes the peer has not read yet. */
bool wire_wait_read(struct wire *wire)
{
    struct timespec end = patience_end();
    int unread = 0;

    while (!woken(wire)) {
        if (ioctl(wire->connection, SIOCOUTQ, &unread) != 0) {
            return failed(wire, "SIOCOUTQ: %s", strerror(errno));
        }
        if (unread == 0) {
            return true;
        }
        if (!patience_pause(&end)) {
            return failed(wire, "the peer left %d bytes unread", unread);
        }
    }
    return false;
}

bool wire_shutdown(struct wire *wire, int how)
{
    return shutdown(wire->connection, how) == 0 || failed(wire, "shutdown: %s", strerror(errno));
}

bool wire_hang_up(struct wire *wire)
{
    if (wire->connection >= 0) {
        close(wire->connection);
        wire->connection = -1;
    }
    return true;
}

bool wire_expect_hang_up(struct wire *wire)
{
    bool end = false;
    char byte;

    while (!end) {
        if (!read_byte(wire, &byte, &end)) {
            return false;
        }
    }
    return true;
}

bool wire_expect_end(struct wire *wire)
{
    bool end = false;
    char byte;

    while (!end) {
        if (!read_byte(wire, &byte, &end)) {
            return false;
        }
        if (!end && strchr(" \r\n", byte) == NULL) {
            return failed(wire, "the end was wanted, but a command came first");
        }
    }
    return true;
}
