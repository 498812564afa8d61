/* check.h - the end of a benchmark program where the core has failed. */
#ifndef METASD_BENCH_CHECK_H
#define METASD_BENCH_CHECK_H

#include "core/base/status.h"

/* Ends the program with the status's text, unless that is METASD_OK. */
extern void check(MetasdStatus status);

#endif
