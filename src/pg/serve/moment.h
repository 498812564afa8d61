/*
 * moment.h - what a call site may remember of the source, until its role or its snapshot changes.
 */
#ifndef METASD_PG_SERVE_MOMENT_H
#define METASD_PG_SERVE_MOMENT_H

#include "pg/base/compat.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

/* A role, and what its query sees. */
typedef struct MetasdMoment {
    Oid user;
    TransactionId xmin, xmax; /* of the snapshot */
    uint32 xcnt;
    CommandId command;
} MetasdMoment;

static inline MetasdMoment
metasd_moment_now(void)
{
    Snapshot snapshot = GetActiveSnapshot();

    return (MetasdMoment){.user = GetUserId(),
                          .xmin = snapshot->xmin,
                          .xmax = snapshot->xmax,
                          .xcnt = snapshot->xcnt,
                          .command = snapshot->curcid};
}

static inline bool
metasd_moment_lasts(const MetasdMoment *moment)
{
    MetasdMoment now = metasd_moment_now();

    return moment->user == now.user && moment->xmin == now.xmin && moment->xmax == now.xmax &&
           moment->xcnt == now.xcnt && moment->command == now.command;
}

#endif
