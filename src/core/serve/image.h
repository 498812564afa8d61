/*
 * image.h - the serving image of one version of a model: how it is built, checked and opened.
 *
 * The image is one block without pointers. It is written once, then only read, by any number of
 * processes, on hosts of one byte order. The counts in its header determine the places of its
 * parts, so there are no offsets that could be damaged. For N entities, R relations and rows of
 * `width` weights it holds
 *
 *    the kept weights of the P = 2 R relation rows (r forward, r + R reciprocal), as positions and
 *    values: 8 bytes per weight;
 *    the sigmoid of each relation row, for probabilities of its scores;
 *    one byte per relation: is it irreflexive?; the Euclidean norms of the entities; all labels,
 *    each kind with a hash table;
 *    the entities' weights by dimensions, so that a query (h, r) reads only those of its few
 *    non-zero components. A dimension that metasd_image_dense() of the entities keep is a column of
 *    codes, one per entity (dense_columns.h). A weight is its entity's scale times the code; both
 *    are those of the stored row. Codes have 1 byte; they are floats, of 4, if a row has no codes
 *    because it was stored as float32. Any other dimension is a list: one bit per entity, and 4
 *    bytes for each entity that keeps a weight there (postings.h). The weights in lists are there
 *    again by entities, as those of relations are;
 *    if there are many entities, their codes again by clusters (clusters.h).
 *
 * No score is NaN or infinite, because no weight above METASD_IMAGE_MAX_WEIGHT is accepted. If an
 * image is damaged after it was opened, answers are wrong, perhaps NaN, but ids stay in range and
 * no query reads outside the image.
 */
#ifndef METASD_CORE_SERVE_IMAGE_H
#define METASD_CORE_SERVE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/team.h"
#include "core/codec/row_codec.h"
#include "core/model/family.h"
#include "core/model/probability.h"
#include "core/serve/dense_columns.h"
#include "core/serve/label_table.h"

/* The sum of 2^32 products of three such weights still fits in a float. */
#define METASD_IMAGE_MAX_WEIGHT 1e9f

/*
 * A dimension is a column if this part of the entities keeps it, by the type of its codes. A list
 * takes five times as long as a column of bytes at any density, and there it is as large. From a
 * third on it is slower, and larger, than a column of floats.
 */
static inline double
metasd_image_dense(MetasdCodes codes)
{
    return codes == METASD_CODES_FLOAT ? 0.3 : 0.07;
}

/* The alignment of an image, in bytes. */
#define METASD_IMAGE_ALIGN 8

/* All counts that determine the size of an image. */
typedef struct MetasdImagePlan {
    const MetasdFamily *family;
    uint32_t entities;      /* N, below 2^32 - 1 */
    uint32_t relations;     /* R, below 2^31 */
    uint32_t width;         /* a multiple of family->reals_per_rank */
    uint64_t entity_kept;   /* kept weights of all entities */
    uint64_t relation_kept; /* of all relations, forward and reciprocal */
    uint64_t entity_label_bytes;
    uint64_t relation_label_bytes;
    /* Set by metasd_image_choose_columns; while it is 0 all dimensions are lists. */
    uint32_t columns;     /* D, dimensions that are columns */
    MetasdCodes codes;    /* of these */
    uint64_t column_kept; /* kept weights of all entities in them */
    uint32_t clusters;    /* C; 0: only exact answers */
} MetasdImagePlan;

/* Rows of kept weights: row i is start[i] .. start[i + 1] - 1 of ids and values, ids ascending. */
typedef struct MetasdSparse {
    uint64_t kept; /* of all rows */
    uint64_t *start;
    uint32_t *ids; /* positions */
    float *values;
} MetasdSparse;

/*
 * The same weights by dimensions: place[j] is the number of the column that dimension j is, or D +
 * that of its list; both ascend. List l has the weights from start[l] to start[l + 1] - 1 of
 * values, and in `words` words of bits from l x words on a bit for each entity that keeps one,
 * ascending. Columns have METASD_WORD codes each in all of the words.
 */
typedef struct MetasdDimensions {
    uint64_t words;  /* N / 64, rounded up */
    uint64_t lists;  /* width - D */
    uint64_t kept;   /* weights in lists */
    uint32_t *place; /* width */
    uint64_t *start; /* lists + 1 */
    uint64_t *bits;  /* lists x words */
    float *values;   /* kept; METASD_WORD more are there to be read */
    void *codes;     /* words x D x METASD_WORD */
} MetasdDimensions;

/*
 * The entities by clusters. Cluster c has tiles start[c] to start[c + 1] - 1: places of entities,
 * METASD_WORD to a tile, of which the first sizes[c] are taken, by ascending ids.
 */
typedef struct MetasdClusters {
    uint32_t count;    /* C */
    uint64_t tiles;    /* room for them: words + C */
    uint64_t *start;   /* C + 1 */
    uint32_t *sizes;   /* C */
    float *lengths;    /* C: roots of the mean squared norms */
    float *means;      /* width x C: weight j of the mean row of cluster c is at j x C + c */
    float *variances;  /* width x C: of the weights around it */
    uint32_t *ids;     /* tiles x METASD_WORD */
    double *scales;    /* tiles x METASD_WORD, as those of the image */
    MetasdSparse rows; /* tiles x METASD_WORD: the weights in lists; not there if no list has any */
    void *codes;       /* tiles x D x METASD_WORD */
} MetasdClusters;

/* A process's pointers into an image. The image outlives them and is not written through them. */
typedef struct MetasdImage {
    MetasdImagePlan plan;
    MetasdSparse entity;   /* N rows: their weights in lists */
    MetasdSparse relation; /* P rows: 2 r is relation r, 2 r + 1 its reciprocal */
    double *scales;        /* of the entities' codes: words x METASD_WORD, 1 behind N */
    MetasdDimensions dimension;
    MetasdClusters cluster;
    MetasdSigmoid *sigmoids; /* P in the order of `relation`, then one for relations asked for */
    float *norms;            /* N */
    uint8_t *irreflexive;    /* R: 1 = no entity has this relation to itself */
    MetasdLabelTable entity_labels, relation_labels;
} MetasdImage;

typedef struct MetasdImageWriter {
    MetasdImage image;
    void *memory;
    uint32_t entities, relations; /* added so far */
    uint32_t *counts; /* of each dimension: entities that keep it and are still to come */
} MetasdImageWriter;

/* ---- building ---- */

/* Bytes of the image; SIZE_MAX if the plan is out of range or too large for this host. */
extern size_t metasd_image_bytes(const MetasdImagePlan *plan);

/*
 * Chooses the dimensions that become columns. COUNTS has `width` numbers: of the entities that keep
 * each dimension. CODES are METASD_CODES_INT8 if the rows of all entities have codes. Without this
 * step all dimensions are lists.
 */
extern void metasd_image_choose_columns(MetasdImagePlan *plan, MetasdCodes codes,
                                        const uint32_t *counts);

/*
 * Starts an image in memory of metasd_image_bytes(plan). COUNTS are those of
 * metasd_image_choose_columns; the memory belongs to the writer until the image is finished.
 */
extern MetasdStatus metasd_image_begin(MetasdImageWriter *writer, const MetasdImagePlan *plan,
                                       uint32_t *counts, void *memory);

/*
 * Adds entity or relation number ID; ids come in order from 0. A label is any number of bytes,
 * unlike the others of its kind. Weights have magnitudes above 0 and at most
 * METASD_IMAGE_MAX_WEIGHT. METASD_INVALID for anything else or beyond the plan; the image is then
 * of no use.
 */
extern MetasdStatus metasd_image_add_entity(MetasdImageWriter *writer, uint32_t id,
                                            const char *label, size_t len, MetasdSparseRow row);
extern MetasdStatus metasd_image_add_relation(MetasdImageWriter *writer, uint32_t id,
                                              const char *label, size_t len,
                                              MetasdSparseRow forward, MetasdSparseRow reciprocal);

/*
 * Sets the sigmoid of a relation row, 0 .. P - 1 (row r + R is the reciprocal of r), or P: that of
 * questions that ask for relations. Until then it is metasd_uncalibrated. METASD_INVALID unless
 * metasd_probability_sigmoid_ok.
 */
extern MetasdStatus metasd_image_set_sigmoid(MetasdImageWriter *writer, uint32_t relation,
                                             MetasdSigmoid sigmoid);

/* Notes that no entity has relation ID to itself. METASD_INVALID if there is no such relation. */
extern MetasdStatus metasd_image_set_irreflexive(MetasdImageWriter *writer, uint32_t id);

/*
 * Completes the image after all planned rows have been added (else METASD_INVALID), and the
 * clusters have been made if the plan has any (metasd_clusters_make). Polls the team; works alone.
 * The same rows give the same bytes.
 */
extern MetasdStatus metasd_image_finish(MetasdImageWriter *writer, MetasdTeam *team);

/* ---- opening ---- */

/*
 * Reads all of an image and opens it. Any BYTES bytes at MEMORY that are no image, or a damaged
 * one, are METASD_CORRUPT. Queries on an accepted image stay inside it and give finite scores.
 * Polls the team; works alone.
 */
extern MetasdStatus metasd_image_open(const void *memory, size_t bytes, MetasdTeam *team,
                                      MetasdImage *image);

/* Reads the header alone: for an image that metasd_image_finish completed or that was opened. */
extern MetasdStatus metasd_image_attach(const void *memory, size_t bytes, MetasdImage *image);

#endif
