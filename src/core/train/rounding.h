/*
 * rounding.h - the student's weights as they will be stored (doc/method.md, "Rounding").
 *
 * In the last epochs of fine-tuning the student's products see each weight as `storage` rounds it,
 * and the gradient passes straight through to the weight that is not rounded (Bengio, Léonard and
 * Courville 2013). Then state->rounds is that storage, the rows of state->student are rounded after
 * each step, and so are the packed weights, in state->packed.seen. The highest level of a row is
 * fitted as the epoch begins, and stays: fitting takes twenty times as long as rounding.
 */
#ifndef METASD_CORE_TRAIN_ROUNDING_H
#define METASD_CORE_TRAIN_ROUNDING_H

#include "core/train/state.h"

/*
 * Rounds this member's rows of the student, which is mask x weights, and fits their highest levels.
 * For integers; METASD_NON_FINITE where a weight is.
 */
extern MetasdStatus metasd_rounding_fit(MetasdState *state, MetasdTeam *team,
                                        MetasdStorage storage);

/* Rounds the student's rows in spans of the table, which Adagrad has made mask x weights again. */
extern MetasdStatus metasd_rounding_rows(MetasdState *state, MetasdTeam *team,
                                         const MetasdSpan *spans, int nspans);

/* packed.seen = the packed weights of this member's entities, rounded. */
extern MetasdStatus metasd_rounding_packed(MetasdState *state, MetasdTeam *team);

#endif
