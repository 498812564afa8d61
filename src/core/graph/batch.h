/*
 * batch.h - batches of (head, relation) groups in a new random order in every epoch; only large
 * groups are divided.
 */
#ifndef METASD_CORE_GRAPH_BATCH_H
#define METASD_CORE_GRAPH_BATCH_H

#include "core/graph/graph.h"

/*
 * One batch of n examples in `groups` groups. Group g is the query (heads[g],
 * relations[g]) with the tails[start[g]] .. tails[start[g + 1] - 1]; a tail may
 * occur more than once. A batcher's batches hold a query once, in ascending order
 * of the graph's groups; other batches may repeat a query.
 */
typedef struct MetasdBatch {
    size_t groups;
    size_t n;
    uint32_t *heads;     /* groups */
    uint32_t *relations; /* groups; rows of the relation table, below P */
    size_t *start;       /* groups + 1 */
    uint32_t *tails;     /* n */
    uint32_t *group_of;  /* n: the group of each example */
} MetasdBatch;

/*
 * A group, or a part of one that is too large for a batch. Pieces are numbered in the order of the
 * groups. They take no memory, as hardly any group is large: metasd_batcher_piece finds one.
 */
typedef struct MetasdPiece {
    uint32_t group;
    uint32_t examples;
    size_t first; /* index of its first tail in the groups */
} MetasdPiece;

/* A group of more than one piece. */
typedef struct MetasdLargeGroup {
    uint32_t group;
    uint32_t piece; /* the number of its first one */
} MetasdLargeGroup;

typedef struct MetasdBatcher {
    const MetasdGroups *groups;
    size_t size;             /* examples of a batch at most */
    size_t most;             /* examples of a piece at most */
    size_t pieces;           /* of all groups together */
    MetasdLargeGroup *large; /* ascending; none where all pieces are of one example */
    size_t large_groups;
    uint32_t *order;   /* pieces: the order of this round */
    uint32_t *drawn;   /* the pieces of the current batch, ascending: at most one per example */
    size_t next;       /* position in `order` of the next batch */
    MetasdBatch batch; /* the current one */
} MetasdBatcher;

/*
 * Takes the memory of a batcher; `size` >= 1. Of the groups only the number of examples counts:
 * no batch has more of them, whatever its size. Pieces are of at most max(1, size / 8) examples.
 */
extern void metasd_batcher_take(MetasdBatcher *batcher, MetasdArena *arena,
                                const MetasdGroups *groups, size_t size);

/*
 * Cuts the groups into pieces of at most batcher->most examples, which the caller may set to 1
 * before: the examples of a batch are drawn singly then. Once, after taking.
 */
extern MetasdStatus metasd_batcher_prepare(MetasdBatcher *batcher, MetasdTeam *team);

/* The piece of a number; for tests. */
extern MetasdPiece metasd_batcher_piece(const MetasdBatcher *batcher, uint32_t number);

/* Starts a round over all groups in the order of (seed, stream). */
extern MetasdStatus metasd_batcher_shuffle(MetasdBatcher *batcher, MetasdTeam *team, uint64_t seed,
                                           uint64_t stream);

/* *batches = the number of them in this round; 0 if there are no examples. */
extern MetasdStatus metasd_batcher_count(const MetasdBatcher *batcher, MetasdTeam *team,
                                         size_t *batches);

/*
 * Fills batcher->batch with the next pieces of the round, those of one group joined to one query;
 * it is empty when the round is over.
 */
extern MetasdStatus metasd_batcher_next(MetasdBatcher *batcher, MetasdTeam *team);

/* Examples that a batch of at most `size` of them can have. */
extern size_t metasd_batch_most(const MetasdGroups *groups, size_t size);

/* Takes memory for a batch of up to `size` examples. Public for tests. */
extern void metasd_batch_take(MetasdBatch *batch, MetasdArena *arena, size_t size);

#endif
