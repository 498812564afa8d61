/*
 * row_levels.h - the magnitudes that the integers of a row stand for (doc/method.md).
 *
 * A weight is a code times the unit of its row. A row has one scale, a float: the magnitude of its
 * highest level. METASD_INT4 has few levels, and their distances follow one of four shapes; the
 * scale has zeros in its lowest bits there, and the number of the shape is in the last two.
 */
#ifndef METASD_CORE_CODEC_ROW_LEVELS_H
#define METASD_CORE_CODEC_ROW_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How weights are stored, and how far they may be from their values before. */
typedef enum MetasdStorage {
    METASD_FLOAT32, /* exactly */
    METASD_INT8,    /* half a step, a 254th of the row's largest; below half a step a whole one */
    METASD_INT6,    /* half a step: a 63rd of it */
    METASD_INT4     /* half the distance of two levels; what is above the highest, down to it */
} MetasdStorage;

#define METASD_STORAGES 4

/*
 * How rows of relations are stored where those of entities are stored so. There are few of them,
 * and each stands in many scores: half of what Kinship loses as int4 comes from 50 rows of
 * relations, where they are stored in 4 bits, too.
 */
static inline MetasdStorage
metasd_row_levels_of_relations(MetasdStorage storage)
{
    return storage == METASD_INT4 ? METASD_INT6 : storage;
}

/*
 * The highest level of a row is at least this: units could be 0 otherwise. Magnitudes of a row
 * without any so large do not reach it.
 */
#define METASD_LEAST_SCALE 0x1p-100f

/* The numbers of levels from 1 on, and of the bits of a scale as it is stored. 0 for floats. */
extern uint32_t metasd_row_levels_count(MetasdStorage storage);
extern unsigned metasd_row_levels_scale_bits(MetasdStorage storage);

/* The largest code. */
extern int metasd_row_levels_most_code(MetasdStorage storage);

/* What a row's scale makes of the levels: the code of a level, and the unit of codes. */
typedef struct MetasdRowLevels {
    uint32_t count;
    int apart;                /* the code of level q is 1 + apart x q */
    const uint8_t *shape;     /* or, if this is not NULL, shape[q] */
    double unit;              /* of codes */
    double per_weight, shift; /* level per_weight x magnitude + shift, towards 0 */
    float limits[7];          /* of a shape: from limits[q] on a magnitude has level q + 1 */
} MetasdRowLevels;

extern MetasdRowLevels metasd_row_levels(MetasdStorage storage, float scale);

static inline int
metasd_row_levels_code(const MetasdRowLevels *levels, uint32_t level)
{
    return levels->shape ? levels->shape[level] : 1 + levels->apart * (int)level;
}

/* The level that a weight is rounded to. */
extern uint32_t metasd_row_levels_find(const MetasdRowLevels *levels, float weight);

/*
 * The scale of least error among some for a row whose largest and smallest magnitudes are these.
 * That of a row which was rounded is the one that it was rounded with.
 */
extern float metasd_row_levels_fit(MetasdStorage storage, size_t width, const float *row,
                                   float high, float low);

/*
 * What a decoder returns for each of n weights of a row with that scale; of 0 it is 0. Integers
 * only; ROUNDED may be WEIGHTS.
 */
extern void metasd_row_levels_round(MetasdStorage storage, float scale, size_t n,
                                    const float *weights, float *rounded);

/* A scale as it is stored, and the way back: NAN if no row has it. */
extern uint32_t metasd_row_levels_pack_scale(MetasdStorage storage, float scale);
extern float metasd_row_levels_unpack_scale(MetasdStorage storage, uint32_t bits);

/* Is this the scale of a row whose lowest and highest levels are these? */
extern bool metasd_row_levels_fits(MetasdStorage storage, float scale, uint32_t lowest,
                                   uint32_t highest);

#endif
