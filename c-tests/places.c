#include "places.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "harness.h"

static struct sockaddr_un unix_name(const char *text, socklen_t *size)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    size_t length = strlen(text);

    assert_in_range(length, 1, sizeof name.sun_path - 1);
    memcpy(name.sun_path, text, length);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (text[0] == '@') {
        name.sun_path[0] = '\0';
        --*size;
    }
    return name;
}

static int bound(const char *text)
{
    socklen_t size;
    struct sockaddr_un name = unix_name(text, &size);
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listening >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(listening, 8), 0);
    return listening;
}

struct scripted_monitor *monitor_on_abstract(void)
{
    static int count;
    char address[64];

    snprintf(address, sizeof address, "unix:@blockjob-%d-%d", (int)getpid(), ++count);
    return scripted_monitor_on(bound(address + strlen("unix:")), address);
}

/* Bound by a relative name, as a QEMU does that is started there. */
struct scripted_monitor *monitor_on_long_path(void)
{
    static const char directory[] =
        "/tmp/blockjob-a-directory-with-a-name-that-leaves-little-room-for-anything-else-at-all-"
        "in-an-address";
    char address[128];
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), listening;

    mkdir(directory, 0700);
    assert_int_equal(chdir(directory), 0);
    snprintf(address, sizeof address, "unix:%s/socket-%d", directory, (int)getpid());
    unlink(strrchr(address, '/') + 1);
    listening = bound(strrchr(address, '/') + 1);
    assert_int_equal(fchdir(here), 0);
    close(here);
    return scripted_monitor_on(listening, address);
}

struct scripted_monitor *monitor_nowhere(void)
{
    return scripted_monitor_on(-1, "nowhere");
}

/* The name of a number's port; gives its size. */
static socklen_t inet_name(const char *host, int port, struct sockaddr_storage *name)
{
    struct sockaddr_in *four = (struct sockaddr_in *)name;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)name;

    memset(name, 0, sizeof *name);
    if (strchr(host, ':') == NULL) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET, host, &four->sin_addr), 1);
        return sizeof *four;
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    assert_int_equal(inet_pton(AF_INET6, host, &six->sin6_addr), 1);
    return sizeof *six;
}

int listen_on_tcp(const char *host, int queue, int *port)
{
    struct sockaddr_storage name;
    socklen_t size = inet_name(host, *port, &name);
    int listening = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listening >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(listening, queue), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&name, &size), 0);
    *port = ntohs(name.ss_family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port
                                            : ((struct sockaddr_in6 *)&name)->sin6_port);
    return listening;
}

struct scripted_monitor *monitor_on_tcp(const char *host)
{
    const char *format = strchr(host, ':') == NULL ? "tcp:%s:%d" : "tcp:[%s]:%d";
    char address[64];
    int port = 0, listening = listen_on_tcp(host, 8, &port);

    snprintf(address, sizeof address, format, host, port);
    return scripted_monitor_on(listening, address);
}

static int dial_once(const char *address)
{
    struct sockaddr_storage name;
    struct sockaddr_un path;
    const struct sockaddr *to = (struct sockaddr *)&name;
    socklen_t size;
    char host[64];
    int port, socket_fd;

    if (sscanf(address, "tcp:%63[0-9.]:%d", host, &port) == 2) {
        size = inet_name(host, port, &name);
    } else {
        path = unix_name(address + strlen("unix:"), &size);
        to = (struct sockaddr *)&path;
    }
    socket_fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(socket_fd >= 0);
    if (connect(socket_fd, to, size) == 0) {
        return socket_fd;
    }
    close(socket_fd);
    return -1;
}

int dial(const char *address)
{
    int connection = -1;

    wait_until((connection = dial_once(address)) >= 0);
    return connection;
}
