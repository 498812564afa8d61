/* training.h - one training by a team of processes, and its measurements. */
#ifndef METASD_BENCH_TRAINING_H
#define METASD_BENCH_TRAINING_H

#include "options.h"
#include "tally.h"
#include "triples.h"

typedef struct BenchTraining {
    const BenchOptions *options;
    MetasdGraph graph;
    size_t graph_bytes, shared_bytes, own_bytes; /* own: of each member */
    void *graph_memory, *filter_memory, *shared;

    /* set by the caller between training_prepare and training_run */
    MetasdStatus (*fill)(struct BenchTraining *training,
                         MetasdTeam *team); /* the tables, or NULL */
    const void *from;                       /* for that */
    bool quiet;                             /* no line an epoch */

    /* of member 0, which is the program itself */
    MetasdTrainer trainer;
    MetasdEpoch best;
    Tally *tallies; /* epochs begun */
    int epochs;
    Phases phases;
    bool stopped; /* within an epoch, as seconds=S asked */
    double started, ended, waited;
    double own, others; /* processor seconds of the members, and of other work meanwhile */
} BenchTraining;

/* Bytes of a training with such triples, before anything is built; SIZE_MAX if too many. */
extern size_t training_bytes(const BenchOptions *options, const TripleSet *set);

/* Builds the graph (the set is reordered) and takes the shared memory. */
extern MetasdStatus training_prepare(BenchTraining *training, const BenchOptions *options,
                                     TripleSet *set);

/* Trains, an epoch a line. METASD_OK also where it was stopped. */
extern MetasdStatus training_run(BenchTraining *training);

/* Filtered MRR, 0 where nothing was ranked. */
extern double training_mrr(const MetasdRanks *ranks);

#endif
