/*
 * finetune.h - only the student is trained: its kept weights change, the others do not
 * (doc/method.md, "Finetuning").
 *
 * Where nine in ten weights of a table are pruned, nearly every cache line has a kept one. So
 * clearing it, packing it and Adagrad's pass would move whole tables through memory in every batch,
 * which takes as long as the products. Therefore kept weights, sums and gradients of entities are
 * packed from the first batch of an epoch to its last (state.h, MetasdPackedWeights). Only heads
 * and tails of a batch are needed as rows: they are laid out in `student`, and their gradients are
 * gathered from masked_gradient, whose entity rows are 0 between two batches.
 */
#ifndef METASD_CORE_TRAIN_FINETUNE_H
#define METASD_CORE_TRAIN_FINETUNE_H

#include "core/train/objective.h"

/*
 * Before the first and after the last step of an epoch, whose steps have options->finetune: packs
 * the entities' weights where their products are sparse, and lays them out again. Not where
 * entities are sampled. A caller that ends the steps with METASD_NON_FINITE and fills weights and
 * sums anew begins again.
 */
extern MetasdStatus metasd_finetune_begin(MetasdState *state, MetasdTeam *team);
extern MetasdStatus metasd_finetune_end(MetasdState *state, MetasdTeam *team);

extern MetasdStatus metasd_finetune_step(MetasdObjective *objective, double *loss);

#endif
