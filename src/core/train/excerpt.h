/*
 * excerpt.h - a step on the rows that it touches, as a small state of their own.
 *
 * A step that is scored against a sample touches the sample's rows, the heads of its batch, and the
 * relations: some ten thousand rows, of however many entities. They are copied from the tables of
 * all rows, the step computes with them as if there were no others, and they are copied back. So
 * gradients, the student and the trial step have tables of these rows only, no pass goes through
 * all rows, and the rows of a step lie together.
 */
#ifndef METASD_CORE_TRAIN_EXCERPT_H
#define METASD_CORE_TRAIN_EXCERPT_H

#include "core/train/step.h"

typedef struct MetasdExcerpt {
    /* this member's own */
    MetasdNegatives sampler;
    MetasdBatch batch[2]; /* batch and quiz: rows of the excerpt in place of entities */
    float *class_weights; /* of its rows */
    uint32_t cuts[METASD_MAX_PARTS + 1]; /* of its rows: those of each part of the entities */

    MetasdState state; /* its tables are shared by the team; `entities` is the room for rows */
} MetasdExcerpt;

/* Takes the memory beside a state whose memory is taken and whose size.negatives is above 0. */
extern void metasd_excerpt_take(MetasdExcerpt *excerpt, MetasdArena *shared, MetasdArena *own,
                                const MetasdState *of);

/*
 * metasd_step on rows of the state `of`, scored against a sample: one step, and the state is as it
 * would be if all its tables had taken part. All members call it.
 */
extern MetasdStatus metasd_excerpt_step(MetasdExcerpt *excerpt, MetasdState *of, MetasdTeam *team,
                                        const MetasdStepOptions *options,
                                        const MetasdStepContext *context, const MetasdBatch *batch,
                                        const MetasdBatch *quiz, MetasdLosses *losses);

#endif
