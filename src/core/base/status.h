/*
 * status.h - the results of functions of the core.
 *
 * The core never exits, prints or jumps: every function that can fail returns
 * one of these, and src/pg turns it into an error a user can act on.
 */
#ifndef METASD_CORE_BASE_STATUS_H
#define METASD_CORE_BASE_STATUS_H

#include "core/base/host.h"

typedef enum MetasdStatus {
    METASD_OK = 0,
    METASD_NO_MEMORY,   /* an allocation failed or a size overflowed */
    METASD_INTERRUPTED, /* team.poll or team.barrier asked to stop */
    METASD_NON_FINITE,  /* a loss became infinite or not a number */
    METASD_INVALID,     /* an argument is outside its documented range */
    METASD_CORRUPT      /* stored bytes are damaged or not ours */
} MetasdStatus;

/* A short English phrase for a status, never NULL. */
extern const char *metasd_status_text(MetasdStatus status);

/* Leaves the calling function with the status of EXPR unless that is METASD_OK. */
#define METASD_TRY(expr)                                                                           \
    do {                                                                                           \
        MetasdStatus try_status_ = (expr);                                                         \
        if (try_status_ != METASD_OK)                                                              \
            return try_status_;                                                                    \
    } while (0)

#endif
