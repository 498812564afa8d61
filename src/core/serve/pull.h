/*
 * pull.h - how much one fact speaks for a triple: to first order, by the rows that both share.
 *
 * A score is linear in each row that it reads. A training step on a fact moves a row along the
 * gradient of the fact's own score, so it changes the score of a triple by the inner product of
 * both gradients towards that row: the pull of the fact through the row. A row keeps some columns
 * only, so only these count. Facts are learned in both directions, as a tail of (head, relation)
 * and as a head of (relation, tail) by the reciprocal row. The triple is asked in one of them, or
 * in both.
 *
 * The pull through the row of an entity is exact: it is the change of the score when the fact's
 * gradient is added to the row, unless the triple is a loop.
 *
 * A row of the triple may be from elsewhere (fold.h). That of an entity was made of its facts as
 * questions to which others are the answers. So these facts count in that direction only.
 *
 * Nothing here allocates memory. Ids must be those of the image, or of the triple.
 */
#ifndef METASD_CORE_SERVE_PULL_H
#define METASD_CORE_SERVE_PULL_H

#include "core/serve/query.h"

/* The rows that a triple reads. A loop has one row of an entity: that of the head. */
typedef enum MetasdPullRow {
    METASD_PULL_HEAD,
    METASD_PULL_TAIL,
    METASD_PULL_RELATION,   /* forward: scores tails */
    METASD_PULL_RECIPROCAL, /* scores heads */
    METASD_PULL_ROWS
} MetasdPullRow;

/* The directions in which a triple is asked. */
typedef enum MetasdPullSides {
    METASD_PULL_TAILS = 1,
    METASD_PULL_HEADS = 2,
    METASD_PULL_BOTH = METASD_PULL_TAILS | METASD_PULL_HEADS
} MetasdPullSides;

/* A triple that facts pull at, in memory that the caller has. */
typedef struct MetasdPull {
    const MetasdImage *image;
    uint32_t head, relation, tail;
    MetasdGiven given[METASD_PULL_ROWS]; /* its rows */
    float *towards[METASD_PULL_ROWS]; /* the score's gradients, 0 in columns that the row prunes */
    const float *mean;                /* the mean answer (metasd_pull_center), or NULL */
    float *rows[2], *gradient;        /* of a fact */
    void *scratch;
} MetasdPull;

/* Bytes of that memory for rows of WIDTH weights; aligned as malloc does. */
extern size_t metasd_pull_bytes(uint32_t width);

/* The rows may be from elsewhere; their ids are those that facts have here. */
extern void metasd_pull_start(MetasdPull *pull, const MetasdImage *image,
                              const MetasdGiven given[METASD_PULL_ROWS], MetasdPullSides sides,
                              void *memory);

/* A row of the triple, `width` weights. */
extern void metasd_pull_read_row(const MetasdPull *pull, MetasdPullRow row, float *weights);

/*
 * For a triple that is asked for tails: measures pulls against what competes with it. RIVAL is the
 * mean row of the tails that compete: what pulls at them as well says nothing. MEAN is the mean row
 * of all entities: a fact is learned against the other answers to its own question, so that part of
 * its gradient is the same for all answers. Both have `width` weights, and MEAN must stay.
 */
extern void metasd_pull_center(MetasdPull *pull, const float *rival, const float *mean);

/*
 * The pulls of facts that share an entity with the triple, through its row: METASD_PULL_HEAD or
 * METASD_PULL_TAIL. The facts are (entity, relation, others[i]) if the entity is their head, else
 * (others[i], relation, entity). A fact that is a loop counts in both ways.
 */
extern void metasd_pull_entity(MetasdPull *pull, MetasdPullRow row, uint32_t relation, bool is_head,
                               const uint32_t *others, size_t n, float *pulls);

/* The pulls of facts of the triple's relation and of ENTITY, through both rows of the relation. */
extern void metasd_pull_relation(MetasdPull *pull, uint32_t entity, bool is_head,
                                 const uint32_t *others, size_t n, float *pulls);

/*
 * The most that a fact of a relation can pull through the row of an entity, for an other entity of
 * norm 1; not centered. Facts of relations that reach far are worth looking at first.
 */
extern float metasd_pull_reach(MetasdPull *pull, MetasdPullRow row, uint32_t relation,
                               bool is_head);

#endif
