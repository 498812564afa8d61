/* small_model.h - a small model whose student can be pruned, for tests of masks and fine-tuning. */
#ifndef METASD_UNIT_SMALL_MODEL_H
#define METASD_UNIT_SMALL_MODEL_H

#include "core/graph/batch.h"
#include "core/train/prune.h"

#define SMALL_ENTITIES 200
#define SMALL_RELATION_ROWS 4
#define SMALL_WIDTH ((size_t)6)
#define SMALL_EXAMPLES 90 /* of a batch, at most */

typedef struct SmallModel {
    MetasdState state;
    MetasdPruner pruner;
    MetasdTeam team;
    void *memory; /* to be freed by the caller */
} SmallModel;

/* A model of random weights: the same whenever it is made. Batch sizes of `size` do not count. */
extern SmallModel small_model_of(MetasdStateSize size);

/* With a quiz where it has a student. */
extern SmallModel small_model(bool has_student, bool sparse);

/* A batch that names some of the entities, others for another `salt`. Returns what is to free. */
extern void *small_model_batch(MetasdBatch *batch, uint32_t salt);

/* Takes a mask of that sparsity. */
extern void small_model_prune(SmallModel *model, double sparsity);

#endif
