/*
 * rounding.h - the student's weights as they will be stored (doc/method.md, "Rounding").
 *
 * In the last epochs of fine-tuning the student's products see each weight as `storage` rounds it,
 * and the gradient passes straight through to the weight that is not rounded (Bengio, Léonard and
 * Courville 2013). Then state->rounds is that storage, the rows of state->student are rounded after
 * each step, and so are the packed weights, in state->packed.seen. The levels of a row are
 * fitted as the epoch begins, and again every METASD_ROUNDING_BATCHES: fitting rounds a row up to
 * 36 times, but weights above the highest level would grow unseen. How often made no difference
 * beyond chance: FB15k-237 (dense rank 24, 3 epochs, one of them rounded) had a validation MRR of
 * .3098 as int4 with levels of the epoch's start, .3111 at 16, .3100 at 4, .3116 at 1; .3135 as
 * float32, and .3097 as int4 of that training.
 */
#ifndef METASD_CORE_TRAIN_ROUNDING_H
#define METASD_CORE_TRAIN_ROUNDING_H

#include "core/train/state.h"

#define METASD_ROUNDING_BATCHES 16

/* Are levels fitted anew in the step of this round (step.h)? */
static inline bool
metasd_rounding_is_due(uint64_t round)
{
    return (uint32_t)round % METASD_ROUNDING_BATCHES == 0;
}

/*
 * Rounds this member's rows of the student, which is mask x weights, and fits their highest levels.
 * For integers; METASD_NON_FINITE where a weight is.
 */
extern MetasdStatus metasd_rounding_fit(MetasdState *state, MetasdTeam *team,
                                        MetasdStorage storage);

/*
 * Rounds the student's rows in spans of the table, which Adagrad has made mask x weights again;
 * `fit` with levels that are fitted to them.
 */
extern MetasdStatus metasd_rounding_rows(MetasdState *state, MetasdTeam *team,
                                         const MetasdSpan *spans, int nspans, bool fit);

/* packed.seen = this member's packed weights, rounded. Rows to fit use `student`. */
extern MetasdStatus metasd_rounding_packed(MetasdState *state, MetasdTeam *team, bool fit);

#endif
