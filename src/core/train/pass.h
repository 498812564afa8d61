/*
 * pass.h - queries against a sliced table: scores, their sums, and the way back.
 *
 * A pass has `rows` queries of `width` floats and a table of T rows, which are entities or
 * relations. The scores of a table row lie together, `stride` queries each, so that a slice of the
 * table is one piece of the block and a query keeps its lane throughout. Each member computes
 * the scores of its own slices and works on one of them at a time, while it is in the cache;
 * only sums and query gradients are shared between members, reduced in the order of slices and
 * parts. Products with a pruned table use its pattern where there is one.
 */
#ifndef METASD_CORE_TRAIN_PASS_H
#define METASD_CORE_TRAIN_PASS_H

#include "core/base/arena.h"
#include "core/math/softmax.h"
#include "core/math/pattern.h"
#include "core/base/team.h"

typedef struct MetasdScores {
    size_t floats;   /* scores a block may hold: table rows x queries */
    float *block[3]; /* full model, student, and gradients or derivatives of both */
    MetasdSoftmaxPartial *partials[2]; /* slices x tiles */
    double (*dots)[2][METASD_TILE];    /* slices x tiles */
    float (*means)[2][METASD_TILE];    /* tiles: sums of the dots */
    MetasdSoftmaxTile *softmax_tiles;  /* tiles */
    float *parts;                      /* parts x queries x width: query gradients */
    float *whole_parts;                /* parts x queries x whole columns: the same */
    float *target_scores[2];           /* batch: the scores of the examples' targets */
    size_t packed;                     /* floats of a packed slice at most */
    float *packs;                      /* members x 3 x packed: see MetasdPack */
    size_t gathered;                   /* floats of a sampled slice at most */
    float *gathers;                    /* members x 2 x gathered: its rows, and their gradient */
} MetasdScores;

/* A weight table as the products of a pass see it. */
typedef struct MetasdTable {
    const float *rows;            /* T x width */
    const MetasdPattern *pattern; /* of the weights that are not 0; NULL: all of them */
    const float *packed;          /* those, packed like it; or NULL */
    /* Copies rows first .. first + n - 1, as products see them; NULL: they are in `rows`. */
    MetasdStatus (*copy)(const void *source, MetasdTeam *team, size_t first, size_t n, float *to);
    const void *source;
} MetasdTable;

/*
 * Queries one after another and, where a pattern is used, in tiles (sparse_products.h) and without
 * the columns that are not whole.
 */
typedef struct MetasdQueries {
    const float *rows;  /* rows x width */
    const float *tiles; /* tiles x width x METASD_TILE */
    const float *whole; /* rows x whole columns */
} MetasdQueries;

/* One pass over one block of queries. */
typedef struct MetasdPass {
    MetasdTeam *team;
    MetasdScores *scores;
    const MetasdSlices *slices; /* of the table */
    size_t width;
    size_t rows;         /* queries in this block */
    size_t stride;       /* the same in whole tiles */
    const uint32_t *ids; /* of a sampled table: its rows are these of the tables given; or NULL */
    const float *each;   /* of a sampled table: see softmax.h; or NULL */
    uint32_t base;       /* the row whose scores begin at `room` of each block */
    size_t room;
} MetasdPass;

/* The targets of a block's queries: ids[start[i]] .. ids[start[i + 1] - 1], start[0] any. */
typedef struct MetasdTargets {
    const size_t *start;
    const uint32_t *ids;  /* rows of the pass's table */
    const float *weights; /* NULL for 1 each, or one per example */
    float scale;          /* multiplies them */
} MetasdTargets;

/* The sizes that the memory of scores depends on. */
typedef struct MetasdScoresNeed {
    size_t batch, width;
    size_t queries;               /* against entities at once, at most */
    size_t floats;                /* a block holds about so many scores */
    const MetasdSlices *entities; /* that a batch is scored against: all, or the largest sample */
    const MetasdSlices *relations;
    const MetasdSlices *ranked; /* scored for ranks, and in fine-tuning: in one block, */
    bool rank_slices;           /* or for ranks only, a slice of each member at a time */
    int members;
    bool paired;     /* full model and student are scored side by side */
    size_t packed;   /* floats of a packed slice at most; 0: no products are sparse */
    size_t whole;    /* whole columns at most */
    size_t gathered; /* floats of a slice of a sample at most; 0: there are no samples */
} MetasdScoresNeed;

extern void metasd_pass_take(MetasdScores *scores, MetasdArena *arena,
                             const MetasdScoresNeed *need);

/* Queries that a block takes at once against a table, in whole tiles: `most`, or fewer. */
extern size_t metasd_pass_rows(const MetasdScores *scores, const MetasdSlices *slices, size_t most);

/* A pass of `rows` queries against a table. */
extern MetasdPass metasd_pass(MetasdTeam *team, MetasdScores *scores, const MetasdSlices *slices,
                              size_t width, size_t rows);

/* ---- one of this member's slices ---- */

static inline size_t
metasd_slice_rows(const MetasdPass *pass, int s)
{
    return metasd_team_slice_start(pass->slices, s + 1) - metasd_team_slice_start(pass->slices, s);
}

/* Where its scores begin in each block: rows x stride. */
static inline size_t
metasd_slice_place(const MetasdPass *pass, int s)
{
    return pass->room + (metasd_team_slice_start(pass->slices, s) - pass->base) * pass->stride;
}

static inline float *
metasd_slice_block(const MetasdPass *pass, int s, int b)
{
    return pass->scores->block[b] + metasd_slice_place(pass, s);
}

/* Keeps the scores of the targets in target_scores[t]. */
extern MetasdStatus metasd_pass_keep_targets(const MetasdPass *pass, int s, int b, int t,
                                             const MetasdTargets *targets);

/* Takes the targets' weights off block[b]. */
extern MetasdStatus metasd_pass_subtract_targets(const MetasdPass *pass, int s, int b,
                                                 const MetasdTargets *targets);

/*
 * Goes through a slice's scores, one tile at a time; polls.
 *
 *     for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
 *         use block[b] + tile.first, tile.rows, pass->stride, tile.each
 *     METASD_TRY(tile.status);
 */
typedef struct MetasdTiles {
    size_t tile;         /* its number in the block of queries */
    size_t first;        /* index of its first score of the slice, in each block */
    size_t rows;         /* of the table, in the slice */
    size_t part;         /* number of (slice, tile), where partial sums are kept */
    const float *each;   /* of the slice's rows, or NULL */
    MetasdStatus status; /* not METASD_OK where a poll ended the loop */
    const MetasdPass *pass;
    size_t tiles;
} MetasdTiles;

extern MetasdTiles metasd_pass_tiles(const MetasdPass *pass, int s);

/* Goes to the next tile; false at the end. */
extern bool metasd_pass_next_tile(MetasdTiles *tile);

/* ---- all slices, with a barrier on each side ---- */

/* Joins the sums of block 0, or of the pair of blocks 0 and 1, into pairs[i] and tiles. */
extern MetasdStatus metasd_pass_join(const MetasdPass *pass, bool paired, float tau,
                                     MetasdSoftmaxPair *pairs);

/* The tiles again, for pairs whose weights have changed. */
extern MetasdStatus metasd_pass_prepare(const MetasdPass *pass, const MetasdSoftmaxPair *pairs);

/* Sums the dots over the slices into means. */
extern MetasdStatus metasd_pass_means(const MetasdPass *pass);

#endif
