/*
 * tally.h - where the seconds of a training go, as member 0 learns it from the callbacks.
 *
 * Nothing says when an epoch's first batch begins: what comes before it (initial weights in epoch
 * 1, the copy to go back to, the mask, the order) is told apart by taking the first batch to be
 * as fast as the others.
 */
#ifndef METASD_BENCH_TALLY_H
#define METASD_BENCH_TALLY_H

#include "core/train/train.h"

/* One epoch. */
typedef struct Tally {
    double began, first, last, ended; /* moments: first and last batch done, and validated */
    double first_own, last_own;       /* processor time of member 0 at the same moments */
    size_t batches, total;            /* done, and of the whole epoch */
    double first_queries, queries;    /* of the batches done */
    int units;                        /* dense products of the source, G, that a batch takes */
} Tally;

/* Notes that a batch is done. */
extern void tally_batch(Tally *tally, size_t done, size_t total, size_t queries);

/* Queries of the whole epoch, and seconds of its batches: extrapolated where not all are done. */
extern double tally_queries(const Tally *tally);
extern double tally_seconds(const Tally *tally);

/* Seconds that member 0 computes for a batch: the same on a busy machine. */
extern double tally_own(const Tally *tally);

/* Seconds before the first batch. */
extern double tally_start(const Tally *tally);

/* ---- by stage of the step ---- */

#define STAGES (METASD_MUTUAL_DONE + 1)

typedef struct Phases {
    double last;              /* moment of the last event */
    double seconds[STAGES];   /* up to each stage's event from the one before */
    size_t batches, epochs;   /* observed */
    double start, validation; /* `start` with the source's gradients of first batches */
    bool started;             /* a batch of this epoch is under way or done */
} Phases;

extern void phases_observe(Phases *phases, MetasdStage stage);
extern void phases_batch(Phases *phases);
extern void phases_epoch(Phases *phases);
extern void phases_print(const Phases *phases);

#endif
