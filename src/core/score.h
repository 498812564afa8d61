/*
 * score.h - queries against a sliced table: scores, their row sums, and the way back.
 *
 * A pass has `rows` queries of `width` floats and a table of T rows, which are
 * entities or relations. Each member computes the scores of its own slices of
 * the table, so only row sums and query gradients are shared between members,
 * reduced in slice order. The scores of slice s are a panel of rows x
 * (rows of the slice), and panels lie one after another.
 */
#ifndef METASD_SCORE_H
#define METASD_SCORE_H

#include "arena.h"
#include "kernels.h"
#include "team.h"

typedef struct MetasdScores {
    size_t floats;              /* scores a block holds: rows x table rows */
    float *block[3];            /* source, student, and what is derived from them */
    size_t most_rows;           /* queries of the largest block of any table */
    MetasdPartial *partials[2]; /* slices x most_rows */
    double *dots;               /* (slices + 1) x most_rows x 2: parts, then the sums */
    float *parts;               /* slices x most_rows x width: query gradients */
    float *target_scores[2];    /* batch: the scores of the examples' targets */
} MetasdScores;

/* One pass over one block of queries. */
typedef struct MetasdPass {
    MetasdTeam *team;
    MetasdScores *scores;
    const MetasdSlices *slices; /* of the table */
    size_t width;
    size_t rows; /* queries in this block */
} MetasdPass;

/* The targets of a block's rows: tails[start[i]] .. tails[start[i + 1] - 1], start[0] any. */
typedef struct MetasdTargets {
    const size_t *start;
    const uint32_t *ids;
    const float *class_weights; /* NULL, or by id */
    float scale;                /* a target's weight is scale x its class weight */
} MetasdTargets;

/* Takes memory for blocks of about `floats` scores against a table of the given slices. */
extern void metasd_scores_take(MetasdScores *scores, MetasdArena *arena, size_t batch, size_t width,
                               size_t floats, const MetasdSlices *entities,
                               const MetasdSlices *relations, bool guided);

/* Queries that a block takes at once against a table. */
extern size_t metasd_scores_rows(const MetasdScores *scores, const MetasdSlices *slices,
                                 size_t batch);

/* block[b] = queries x table^T, this member's slices. */
extern MetasdStatus metasd_pass_scores(const MetasdPass *pass, int b, const float *queries,
                                       const float *table);

/* block[b] += queries x table^T, this member's slices. */
extern MetasdStatus metasd_pass_add_scores(const MetasdPass *pass, int b, const float *queries,
                                           const float *table);

/* Keeps the scores of the targets in target_scores[t], for this member's slices. */
extern MetasdStatus metasd_pass_keep_targets(const MetasdPass *pass, int b, int t,
                                             const MetasdTargets *targets);

/* Takes the targets' weights off block[b], for this member's slices. */
extern MetasdStatus metasd_pass_subtract_targets(const MetasdPass *pass, int b,
                                                 const MetasdTargets *targets);

/*
 * Sums the rows of block[b] (and of block[other] guided by each other if other >= 0) over
 * all slices into guides[i].source for b, and .student for other. With a barrier on each side.
 */
extern MetasdStatus metasd_pass_sums(const MetasdPass *pass, int b, int other, float tau,
                                     MetasdGuide *guides);

/* <p, block[2]> and <q, block[2]> of every row over all slices: (*dots)[2 i], (*dots)[2 i + 1]. */
extern MetasdStatus metasd_pass_dots(const MetasdPass *pass, const MetasdGuide *guides,
                                     const double **dots);

/*
 * Back through the scores: table_gradient += block[b]^T queries for this member's slices,
 * dqueries = block[b] table, reduced over all slices; with a barrier on each side.
 */
extern MetasdStatus metasd_pass_back(const MetasdPass *pass, int b, const float *queries,
                                     const float *table, float *table_gradient, float *dqueries);

/*
 * Goes through a block within this member's slices, a row of a panel at a time; polls.
 *
 *     for (at = metasd_pass_rows(&pass); metasd_pass_next(&at);)
 *         ... block[b][at.first] .. block[b][at.first + at.columns - 1] ...
 *     METASD_TRY(at.status);
 */
typedef struct MetasdPassRow {
    size_t row;          /* the query's */
    size_t first;        /* index of its first score of the slice, in each block */
    size_t columns;      /* scores, one a table row of the slice */
    uint32_t low;        /* the first of these table rows */
    size_t part;         /* number of (slice, row), where partial sums are kept */
    MetasdStatus status; /* not METASD_OK where a poll ended the loop */
    const MetasdPass *pass;
    int slice, end;
} MetasdPassRow;

extern MetasdPassRow metasd_pass_rows(const MetasdPass *pass);

/* Goes to the next row; false at the end. */
extern bool metasd_pass_next(MetasdPassRow *at);

#endif
