/*
 * A plain client in C, with json-c: each line becomes a tree, and what it says is taken from that.
 *
 *     json-c flood PATH WHAT COUNT ROUNDS [each]
 *     json-c latency PATH COUNT
 */
#define _GNU_SOURCE

#include "client.h"

#include <json-c/json.h>

static char buffer[64 << 10];
static size_t filled;
static int64_t events, len, offset, speed;
static double *times;
static int wanted, taken, over;

static const char *text(json_object *data, const char *name)
{
    json_object *value;
    return json_object_object_get_ex(data, name, &value) ? json_object_get_string(value) : NULL;
}

static int64_t number(json_object *data, const char *name)
{
    json_object *value;
    return json_object_object_get_ex(data, name, &value) ? json_object_get_int64(value) : -1;
}

static void hear(json_object *message)
{
    json_object *data, *at;
    const char *event = text(message, "event");
    if (event == NULL || !json_object_object_get_ex(message, "timestamp", &at))
        return;
    int64_t seconds = number(at, "seconds"), microseconds = number(at, "microseconds");
    events++;
    if (!json_object_object_get_ex(message, "data", &data))
        return;
    const char *job = text(data, "device");
    if (job == NULL)
        job = text(data, "id");
    len = number(data, "len");
    offset = number(data, "offset");
    speed = number(data, "speed");
    int completed = strcmp(event, "BLOCK_JOB_COMPLETED") == 0;
    over |= completed && job != NULL && strcmp(job, LAST) == 0;
    if (times != NULL && taken < wanted &&
        (completed || (job != NULL && strcmp(job, "lone") == 0)))
        times[taken++] = since_us(seconds, microseconds);
}

static void turn(int fd, json_tokener *tokener)
{
    ssize_t count = read(fd, buffer + filled, sizeof buffer - filled);
    if (count <= 0)
        die("read");
    filled += (size_t)count;
    char *line = buffer, *end;
    while ((end = memchr(line, '\n', buffer + filled - line)) != NULL) {
        json_tokener_reset(tokener);
        json_object *message = json_tokener_parse_ex(tokener, line, (int)(end - line));
        hear(message);
        json_object_put(message);
        line = end + 1;
    }
    filled = buffer + filled - line;
    memmove(buffer, line, filled);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int fd = connect_to(argv[2]);
    json_tokener *tokener = json_tokener_new();
    char order[300];
    if (strcmp(argv[1], "flood") == 0) {
        int64_t cpu = cpu_ns(), wall = clock_ns(CLOCK_MONOTONIC);
        order_flood(order, sizeof order, argv[3], argv[4], argc > 6);
        for (int64_t rounds = atoll(argv[5]); rounds > 0; rounds--) {
            send_line(fd, order);
            for (over = 0; !over;)
                turn(fd, tokener);
        }
        print_flood(events, cpu_ns() - cpu, clock_ns(CLOCK_MONOTONIC) - wall);
        return 0;
    }
    wanted = atoi(argv[3]);
    times = calloc((size_t)wanted, sizeof *times);
    puts("ready");
    fflush(stdout);
    while (taken < wanted)
        turn(fd, tokener);
    print_times(times, taken);
    return 0;
}
