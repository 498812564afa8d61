/*
 * lean.h - the state of a training of millions of entities, in little memory.
 *
 * Where every step is scored against a sample, nothing but weights, Adagrad's sums and the mask is
 * needed of all rows. So a lean state has the mask in bits and no table of the student: a row of
 * it is computed where it is wanted. The tables that only steps need are in an excerpt
 * (excerpt.h). Nothing keeps the start of an epoch, and the weights of the best one have 16
 * bits each (best_weights.h).
 */
#ifndef METASD_CORE_TRAIN_LEAN_H
#define METASD_CORE_TRAIN_LEAN_H

#include "core/train/state.h"

/* ---- the mask ---- */

/* Sets the mask of a row of entities or relations: a byte for each of its weights, 1 = kept. */
extern void metasd_lean_put_mask(MetasdState *state, size_t row, const uint8_t *mask);

/* The mask of a row, likewise. */
extern void metasd_lean_get_mask(const MetasdState *state, size_t row, uint8_t *mask);

/* state->relation_mask of this member's rows, from the bits. */
extern MetasdStatus metasd_lean_read_relations(MetasdState *state, MetasdTeam *team);

/* ---- the student ---- */

/* A row of it: mask x weights, rounded if state->student_as says so. */
extern void metasd_lean_student_row(const MetasdState *state, size_t row, float *to);

/* Rows of entities from `first` on, of the state that `source` is: see MetasdTable. */
extern MetasdStatus metasd_lean_copy_student(const void *source, MetasdTeam *team, size_t first,
                                             size_t n, float *to);

/* From now on the student is as it will be stored, or not rounded where that is METASD_FLOAT32. */
extern MetasdStatus metasd_lean_show_student(MetasdState *state, MetasdTeam *team,
                                             MetasdStorage storage);

/* mask x weights of a row, not rounded. */
extern void metasd_lean_masked_row(const MetasdState *state, size_t row, float *to);

/* Rounds this member's rows of weights, all of them, to what they will be stored as. */
extern MetasdStatus metasd_lean_round(MetasdState *state, MetasdTeam *team, MetasdStorage storage);

#endif
