/*
 * training.h - the training of one member of a team: options, graph, trainer, and their memory.
 */
#ifndef METASD_PG_WORKER_TRAINING_H
#define METASD_PG_WORKER_TRAINING_H

#include "pg/base/compat.h"

#include "core/train/train.h"
#include "pg/worker/held_out.h"
#include "pg/worker/process.h"

typedef struct MetasdTraining {
    MetasdTrainOptions options;
    MetasdSplit split;
    MetasdHeldOut held_out; /* facts that it is not trained on */
    MetasdGraph graph;
    MetasdTrainer trainer;
    MetasdEpoch best; /* trainer.best are its weights */
    void *memory[3];  /* of this process alone: the graph, and the trainer's tables and arrays */
} MetasdTraining;

/* Takes the trainer's memory for a process that trains alone. */
extern void metasd_training_take(MetasdTraining *training);

/*
 * Measures the memory that MEMBERS share, with the graph, as regions of up to MOST bytes; false if
 * that is too much to count.
 */
extern bool metasd_training_measure(const MetasdTraining *training, int members, size_t most,
                                    MetasdRegions *regions);

/*
 * Takes graph and trainer from the shared regions, once they have memory, and the member's own
 * arrays from its process. The graph's numbers are set; one member fills its arrays.
 */
extern void metasd_training_take_shared(MetasdTraining *training, int members,
                                        MetasdRegions *regions);

/* Frees the memory of graph and trainer, or the leader's share in it. */
extern void metasd_training_free(MetasdTraining *training, const MetasdProcess *process);

#endif
