/* clock.h - seconds. */
#ifndef METASD_BENCH_CLOCK_H
#define METASD_BENCH_CLOCK_H

#include <time.h>

/* Seconds since some moment in the past, by a clock that is never set back. */
static inline double
clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
