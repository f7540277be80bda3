/*
 * Less than which nothing is: a read() loop that looks for newlines.
 *
 *     bare flood PATH WHAT COUNT ROUNDS [each]
 *     bare latency PATH COUNT
 */
#define _GNU_SOURCE

#include "client.h"

static char buffer[64 << 10];

static size_t fill(int fd, size_t kept)
{
    ssize_t count = read(fd, buffer + kept, sizeof buffer - kept);
    if (count <= 0)
        die("read");
    return kept + (size_t)count;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int fd = connect_to(argv[2]), wanted = atoi(argv[3]), taken = 0;
    size_t filled = 0;
    char order[300];
    if (strcmp(argv[1], "flood") == 0) {
        int64_t events = 0, cpu = cpu_ns(), wall = clock_ns(CLOCK_MONOTONIC);
        order_flood(order, sizeof order, argv[3], argv[4], argc > 6);
        for (int64_t rounds = atoll(argv[5]); rounds > 0; rounds--) {
            send_line(fd, order);
            /* The reply, the burst, and the two lines of its end. */
            for (int64_t lines = atoll(argv[4]) + 3; lines > 0;) {
                size_t count = fill(fd, 0);
                for (char *at = buffer; (at = memchr(at, '\n', buffer + count - at)) != NULL; at++)
                    lines--;
            }
            events += atoll(argv[4]) + 2;
        }
        print_flood(events, cpu_ns() - cpu, clock_ns(CLOCK_MONOTONIC) - wall);
        return 0;
    }
    double *times = calloc((size_t)wanted, sizeof *times);
    puts("ready");
    fflush(stdout);
    while (taken < wanted) {
        filled = fill(fd, filled);
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', buffer + filled - line)) != NULL) {
            long long seconds, microseconds;
            *end = '\0';
            if ((strstr(line, "BLOCK_JOB_COMPLETED") != NULL || strstr(line, "\"lone\"") != NULL) &&
                sscanf(line, "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %lld}", &seconds,
                       &microseconds) == 2 &&
                taken < wanted)
                times[taken++] = since_us(seconds, microseconds);
            line = end + 1;
        }
        filled = buffer + filled - line;
        memmove(buffer, line, filled);
    }
    print_times(times, taken);
    return 0;
}
