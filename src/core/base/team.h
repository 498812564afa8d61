/*
 * team.h - the processes that train together.
 *
 * Training is SPMD: every member of the team runs the same functions on the same arguments and
 * works on its own part. Tables are cut into slices, whose number depends on the table alone. A
 * member owns a span of whole slices, and sums are taken in the order of slices, so that the size
 * of the team never changes a bit of the result.
 *
 * In PostgreSQL the members are background workers, in tests and benchmarks threads or just the
 * caller. Nothing here starts a thread.
 */
#ifndef METASD_CORE_BASE_TEAM_H
#define METASD_CORE_BASE_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct MetasdTeam MetasdTeam;

struct MetasdTeam {
    int rank; /* the number of this member, 0 .. size - 1 */
    int size;
    MetasdStatus (*barrier)(MetasdTeam *team); /* returns when all members have called it */
    MetasdStatus (*poll)(MetasdTeam *team);    /* serves interrupts; called every 20 ms or so */
    void *context;                             /* for the two functions above */
    size_t worked;                             /* since the last poll; see metasd_team_work */
};

#define METASD_MAX_PARTS 12     /* shares evenly among 1, 2, 3, 4, 6 and 12 members */
#define METASD_SLICE_ROWS 2048u /* of a slice, at most: its scores for 64 queries fit in a cache */

/*
 * The rows of a table, cut into parts, which members own. A part consists of count / parts slices,
 * which are worked on one at a time.
 */
typedef struct MetasdSlices {
    uint32_t rows;
    int parts;            /* 1 .. METASD_MAX_PARTS */
    int count;            /* of slices; a multiple of parts */
    const uint32_t *cuts; /* count + 1: first rows and the end; NULL: slices of equal size */
} MetasdSlices;

/* The first row of slice s; of s = count, the number of rows. */
static inline uint32_t
metasd_team_slice_start(const MetasdSlices *slices, int s)
{
    return slices->cuts
               ? slices->cuts[s]
               : (uint32_t)((uint64_t)slices->rows * (uint64_t)s / (uint64_t)slices->count);
}

/* A team of one without interrupts. */
extern MetasdTeam metasd_team_of_one(void);

/* Cuts ROWS rows; the result depends on ROWS alone. */
extern MetasdSlices metasd_team_cut(uint32_t rows);

/* This member's slices: *first .. *end - 1. */
extern void metasd_team_slices(const MetasdTeam *team, const MetasdSlices *slices, int *first,
                               int *end);

/* This member's rows of a sliced table: *first .. *end - 1. */
extern void metasd_team_rows(const MetasdTeam *team, const MetasdSlices *slices, uint32_t *first,
                             uint32_t *end);

/* This member's share of N independent pieces of work: *first .. *end - 1. */
extern void metasd_team_share(const MetasdTeam *team, size_t n, size_t *first, size_t *end);

/* ---- interrupts ---- */

/* The work between two polls, in floats of up to 4 ns each from memory: about 4 ms. */
#define METASD_POLL_WORK ((size_t)1 << 20)

/* The work of one access that misses all caches. */
#define METASD_FAR_WORK 32

/*
 * Notes that this member handled so many floats, or did work of the same time, and polls if that is
 * due. Every loop whose length the caller decides calls this.
 */
static inline MetasdStatus
metasd_team_work(MetasdTeam *team, size_t floats)
{
    team->worked += floats;
    if (team->worked < METASD_POLL_WORK)
        return METASD_OK;
    team->worked = 0;
    return team->poll(team);
}

/* Floats first .. end - 1 of a weight table. */
typedef struct MetasdSpan {
    size_t first, end;
} MetasdSpan;

/*
 * Goes through spans of a table, one chunk between two calls of metasd_team_work:
 *
 *     for (chunk = metasd_team_chunks(team, spans, 2, 1); metasd_team_next_chunk(&chunk);)
 *         for (size_t i = chunk.first; i < chunk.end; i++)
 *             ...
 *     return chunk.status;
 */
typedef struct MetasdChunks {
    size_t first, end;   /* the chunk */
    MetasdStatus status; /* not METASD_OK where a poll ended the loop */
    MetasdTeam *team;
    const MetasdSpan *span, *last;
    size_t cost;
} MetasdChunks;

/* Each float of the runs costs as much time as `cost` from memory; `runs` outlives the chunk. */
extern MetasdChunks metasd_team_chunks(MetasdTeam *team, const MetasdSpan *spans, int nspans,
                                       size_t cost);

/* Goes to the next chunk; false at the end. */
extern bool metasd_team_next_chunk(MetasdChunks *chunk);

#endif
