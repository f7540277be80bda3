/*
 * What the C programs of the benchmarks share: time, and a connection that has negotiated.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LAST "bench-end"

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The CPU time of this process so far, with that of the kernel for it. */
static inline int64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int64_t us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
                 usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    return us * 1000;
}

/* Microseconds since this moment of the wall clock. */
static inline double since_us(int64_t seconds, int64_t microseconds)
{
    return clock_ns(CLOCK_REALTIME) / 1e3 - (seconds * 1e6 + microseconds);
}

static inline void send_line(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t sent = write(fd, text, len);
        if (sent < 0)
            die("write");
        text += sent;
        len -= (size_t)sent;
    }
}

/* Reads byte by byte, so that nothing behind the line is read. */
static inline void read_line(int fd, char *line, size_t room)
{
    size_t len = 0;
    do {
        if (read(fd, line + len, 1) != 1)
            die("read");
    } while (line[len++] != '\n' && len < room - 1);
    line[len] = '\0';
}

static inline int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char line[4096];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die(path);
    read_line(fd, line, sizeof line);
    send_line(fd, "{\"execute\": \"qmp_capabilities\"}\n");
    do
        read_line(fd, line, sizeof line);
    while (strstr(line, "\"return\"") == NULL);
    return fd;
}

static inline void order_flood(char *line, size_t room, const char *what, const char *count,
                               int each)
{
    snprintf(line, room,
             "{\"execute\": \"x-flood\", \"arguments\": {\"what\": \"%s\", \"count\": %s, "
             "\"each\": %s}}\n",
             what, count, each ? "true" : "false");
}

static inline void print_flood(int64_t events, int64_t cpu, int64_t wall)
{
    printf("events %lld\ncpu_ns %lld\nwall_ns %lld\n", (long long)events, (long long)cpu,
           (long long)wall);
}

static inline void print_times(const double *times, int count)
{
    fputs("times", stdout);
    for (int i = 0; i < count; i++)
        printf(" %.0f", times[i]);
    putchar('\n');
    fflush(stdout);
}

#endif
