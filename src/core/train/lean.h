/*
 * lean.h - the state of a training of millions of entities, in little memory.
 *
 * Where every step is scored against a sample, nothing but weights, Adagrad's sums and the mask is
 * needed of all rows. So a lean state has the mask in bits and no table of the student: a row of
 * it is computed where it is wanted. The tables that only steps need are in an excerpt. Nothing
 * keeps the start of an epoch, and of the best epoch there is a shelf: its pruned weights as whole
 * multiples of a step of their row, 16 bits each, which is finer than what a version stores.
 */
#ifndef METASD_CORE_TRAIN_LEAN_H
#define METASD_CORE_TRAIN_LEAN_H

#include "core/train/state.h"

/* ---- the mask ---- */

static inline size_t
metasd_lean_row_bytes(size_t width)
{
    return (width + 7) / 8;
}

/* The mask keeps all weights of the rows in spans of the tables. */
extern MetasdStatus metasd_lean_keep_all(MetasdState *state, MetasdTeam *team,
                                         const MetasdSpan *spans, int nspans);

/* The mask of a row of entities or relations: a byte for each of its `width` weights, 1 = kept. */
extern void metasd_lean_get_mask(const MetasdState *state, size_t row, uint8_t *mask);
extern void metasd_lean_put_mask(MetasdState *state, size_t row, const uint8_t *mask);

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

/* Rounds this member's rows of weights, all of them, to what they will be stored as. */
extern MetasdStatus metasd_lean_round(MetasdState *state, MetasdTeam *team, MetasdStorage storage);

/* ---- the shelf ---- */

typedef struct MetasdShelf {
    int16_t *values; /* (N + P) x width */
    float *steps;    /* N + P */
} MetasdShelf;

extern void metasd_shelf_take(MetasdShelf *shelf, MetasdArena *arena, size_t rows, size_t width);

/* Puts this member's rows of the student there, not rounded. No weight that is not 0 becomes 0. */
extern MetasdStatus metasd_shelf_put(MetasdShelf *shelf, const MetasdState *state,
                                     MetasdTeam *team);

/* Overwrites this member's rows of weights with those that were put there. */
extern MetasdStatus metasd_shelf_get(const MetasdShelf *shelf, MetasdState *state,
                                     MetasdTeam *team);

#endif
