/* clock.h - seconds: of the clock, and of processors. */
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

/* Seconds of processor time that this process and children it has waited for have had. */
extern double clock_own(void);

/* The same of everything on this machine; 0 where it does not tell. */
extern double clock_machine(void);

#endif
