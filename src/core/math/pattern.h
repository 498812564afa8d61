/*
 * pattern.h - which weights of a sliced table are kept, for the products that use only those.
 *
 * Columns that many rows keep are whole: they are multiplied as a dense table of their own, with
 * zeros for pruned weights, which is faster from some density on. For all others there are lists.
 *
 * Taken from a mask by the members of a team, each for its own slices. Values are not kept here: a
 * slice's are packed from a dense table for a product, or the caller keeps the whole table packed
 * (finetune.c). A packed slice is one span of floats: its rows x the whole columns, then the
 * weights of the lists row by row. A packed table is the packed slices in order.
 */
#ifndef METASD_CORE_MATH_PATTERN_H
#define METASD_CORE_MATH_PATTERN_H

#include "core/base/arena.h"
#include "core/math/sparse_products.h"
#include "core/base/team.h"

typedef struct MetasdPattern {
    MetasdSlices slices;
    size_t width;
    size_t room;       /* weights that can be kept; 0: the products are dense in any case */
    double whole_from; /* part of the rows that keep a column from which it is whole; 0: none is */
    size_t most_whole; /* whole columns that there is room for */
    size_t whole;      /* whole columns */
    uint16_t *whole_column; /* most_whole: which, ascending */
    uint8_t *whole_kept;    /* rows x whole: 1 = kept */
    uint8_t *listed;        /* width: 1 = not whole */
    size_t *shared;         /* 2: whole columns and kept weights, as member 0 has counted them */
    size_t *kept;           /* slices: weights in the lists of each */
    size_t *first;          /* slices: where the lists of each begin in the arrays below */
    uint32_t *row_start;    /* of slice s from [start of s + s]: its rows + 1 */
    uint32_t *column_start; /* of slice s from [s x (width + 1)]: width + 1 */
    uint16_t *column;       /* room: of each kept weight, row by row */
    uint16_t *row;          /* room: row in its slice, column by column */
    uint32_t *from;         /* room: its place, within the slice, in the order of rows */
} MetasdPattern;

/* Memory for one packed slice: its values, those of the lists by column, and sums. */
typedef struct MetasdPack {
    float *values, *by_column, *sum; /* metasd_pattern_most each */
} MetasdPack;

/* The packed values of one slice. */
typedef struct MetasdPacked {
    const float *whole; /* rows x pattern->whole */
    MetasdKept kept;    /* of the lists */
} MetasdPacked;

/* Takes memory for up to `density` of the weights. */
extern void metasd_pattern_take(MetasdPattern *pattern, MetasdArena *arena,
                                const MetasdSlices *slices, size_t width, double density,
                                double whole_from);

/* Floats of one packed slice at most. */
extern size_t metasd_pattern_most(const MetasdPattern *pattern);

/* Floats of a whole packed table at most. */
extern size_t metasd_pattern_most_packed(const MetasdPattern *pattern);

/*
 * Takes the pattern of a mask (rows x width, 1 = kept). *sparse: whether no more are kept than
 * there is memory for; else the pattern is not usable. With barriers; every member gets the same
 * answer.
 */
extern MetasdStatus metasd_pattern_build(MetasdPattern *pattern, MetasdTeam *team,
                                         const uint8_t *mask, bool *sparse);

/* The start of slice s in a packed table; for s = count, the floats of all. */
extern size_t metasd_pattern_place(const MetasdPattern *pattern, int s);

/* ---- one of this member's slices ---- */

/*
 * Its values, from a dense table, packed into `room`: lists by row, and `by_column` too. If
 * the table is packed already, `packed_table` is it; else NULL.
 */
extern MetasdStatus metasd_pattern_pack(const MetasdPattern *pattern, MetasdTeam *team, int s,
                                        const float *table, const float *packed_table,
                                        bool by_column, const MetasdPack *room,
                                        MetasdPacked *packed);

/* Adds packed sums to the kept weights' places in a dense table. */
extern MetasdStatus metasd_pattern_unpack(const MetasdPattern *pattern, MetasdTeam *team, int s,
                                          const float *sum, float *table);

/* Packed sums = 0 where a whole column has a pruned weight. */
extern MetasdStatus metasd_pattern_mask(const MetasdPattern *pattern, MetasdTeam *team, int s,
                                        float *sum);

/* ---- one row of a packed table ---- */

/* packed = (add ? packed : 0) + the row's kept weights. */
extern void metasd_pattern_gather(const MetasdPattern *pattern, uint32_t row, const float *weights,
                                  bool add, float *packed);

/* Where the row's weights are in a packed table: in the whole columns, and in the lists. */
extern void metasd_pattern_row(const MetasdPattern *pattern, uint32_t row, MetasdSpan spans[2]);

/* Sets the row's kept weights to the packed ones. */
extern void metasd_pattern_scatter(const MetasdPattern *pattern, uint32_t row, const float *packed,
                                   float *weights);

#endif
