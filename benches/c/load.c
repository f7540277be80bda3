/* How long it takes to load the library: `load PATH`. */
#define _GNU_SOURCE

#include "client.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int64_t begun = clock_ns(CLOCK_MONOTONIC);
    if (dlopen(argv[1], RTLD_NOW) == NULL) {
        fprintf(stderr, "load: %s\n", dlerror());
        return 1;
    }
    printf("load_ns %lld\n", (long long)(clock_ns(CLOCK_MONOTONIC) - begun));
    return 0;
}
