/* What benchmarks share: they end at the first failure, and tell the time. */
#ifndef NETGAZE_BENCH_BENCH_H
#define NETGAZE_BENCH_BENCH_H

#include <netgaze/netgaze.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static ng_error err;

static inline void must(ng_status status)
{
    if (status != NG_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(3);
    }
}

static inline void *must_have(void *memory)
{
    if (!memory)
        exit(3);
    return memory;
}

static inline double milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Of one thread the processor's time, which other programs disturb less. */
static inline clockid_t clock_of(int threads)
{
    return threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
}

#endif
