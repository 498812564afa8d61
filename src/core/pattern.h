/*
 * pattern.h - which weights of a sliced table are kept, for the products that use only those.
 *
 * Taken from a mask by the members of a team, each for its own slices. Values are not kept here: a
 * slice's are packed from a dense table when a product wants them, or somebody holds them (alone.c).
 */
#ifndef METASD_PATTERN_H
#define METASD_PATTERN_H

#include "arena.h"
#include "sparse_kernels.h"
#include "team.h"

typedef struct MetasdPattern {
    MetasdSlices slices;
    size_t width;
    size_t room;            /* weights that can be kept; 0: the products are dense in any case */
    size_t *kept;           /* slices: weights kept in each */
    size_t *first;          /* slices: where those of each begin in the arrays below */
    uint32_t *row_start;    /* of slice s from [start of s + s]: its rows + 1 */
    uint32_t *column_start; /* of slice s from [s x (width + 1)]: width + 1 */
    uint16_t *column;       /* room: of each kept weight, row by row */
    uint16_t *row;          /* room: row in its slice, column by column */
    uint32_t *from;         /* room: its place, within the slice, in the order of rows */
} MetasdPattern;

/* The kept weights of one row. */
typedef struct MetasdKeptRow {
    const uint16_t *column; /* n, ascending */
    size_t first;           /* place of the first one, row by row, in the whole pattern */
    size_t n;
} MetasdKeptRow;

/* Packed values of one slice, and sums for its kept weights. */
typedef struct MetasdPack {
    float *by_row, *by_column, *sum; /* metasd_pattern_most each */
} MetasdPack;

/* Takes memory for up to `density` of the weights. */
extern void metasd_pattern_take(MetasdPattern *pattern, MetasdArena *arena,
                                const MetasdSlices *slices, size_t width, double density);

/* Weights that one slice can keep at most. */
extern size_t metasd_pattern_most(const MetasdPattern *pattern);

/*
 * Takes the pattern of a mask (rows x width, 1 = kept). *sparse: whether no more are kept than
 * there is memory for; else the pattern is not usable. With barriers; every member gets the same
 * answer.
 */
extern MetasdStatus metasd_pattern_build(MetasdPattern *pattern, MetasdTeam *team,
                                         const uint8_t *mask, bool *sparse);

/* Weights kept, of all slices; of a pattern in use. */
extern size_t metasd_pattern_kept(const MetasdPattern *pattern);

extern MetasdKeptRow metasd_pattern_row(const MetasdPattern *pattern, uint32_t row);

/*
 * The kept weights of slice s (one of this member's) with values from a dense table, packed into
 * `pack`: by row, or by column as well. `held`: these values, of all slices, already packed by
 * row; or NULL.
 */
extern MetasdStatus metasd_pattern_pack(const MetasdPattern *pattern, MetasdTeam *team, int s,
                                        const float *table, const float *held, bool by_column,
                                        const MetasdPack *pack, MetasdKept *kept);

/* Adds pack->sum of slice s to the kept weights' places in a dense table. */
extern MetasdStatus metasd_pattern_unpack(const MetasdPattern *pattern, MetasdTeam *team, int s,
                                          const MetasdPack *pack, float *table);

#endif
