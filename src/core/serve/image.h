/*
 * image.h - the serving image of one version of a model.
 *
 * The image is one block without a pointer in it: written once, then only read,
 * wherever it is mapped and by however many processes, on hosts of one byte order.
 * Where its parts lie follows from the counts in its header, so there is no
 * offset to be damaged. It holds, for N entities, R relations and rows of `width`:
 *
 *    the kept weights of every entity, and of the P = 2 R relation rows (r forward,
 *    r + R reciprocal), as positions and values: 8 bytes a weight;
 *    the sigmoid of each relation row, that makes probabilities of its scores;
 *    which relations no entity has to itself; Euclidean norms of the entities; all labels, each
 *    kind with a hash table;
 *    and the entities' weights again by dimensions, so that a query (h, r) reads those of its few
 *    non-zero components and no others. A dimension that METASD_INDEX_DENSE of the entities keep is
 *    a column of codes, one for every entity (dense_columns.h). A weight is its entity's scale
 * times the code, and both are those that the row was stored with: codes of 1 byte where all rows
 * were stored as int6, of 2 where some were stored as int8; floats where a row has no codes. Any
 *    other dimension is a list: a bit an entity, and 4 bytes for each that keeps a weight there
 *    (postings.h).
 *
 * Queries take no memory: scores have N floats (or R), scratch 3 width floats. Ids passed to them
 * must be in range. A score is scale x (the columns' sum, in ascending order) + the lists' weights,
 * in ascending order, each in float: the same image gives the same bits whatever the processor, for
 * all entities or for one. No score is NaN or infinite, since no weight above
 * METASD_INDEX_MAX_WEIGHT is let in; that of an entity in an irreflexive relation to itself is
 * METASD_IMPOSSIBLE. In an image that is damaged after it was opened answers are
 * wrong, perhaps NaN, but ids stay in range and nothing outside it is read.
 */
#ifndef METASD_CORE_SERVE_IMAGE_H
#define METASD_CORE_SERVE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/model/probability.h"
#include "core/serve/dense_columns.h"
#include "core/model/family.h"
#include "core/base/team.h"

/* Products of three such weights, 2^32 times, still fit a float. */
#define METASD_INDEX_MAX_WEIGHT 1e9f

/* Part of the entities that makes a dimension a column: measured at commit 806a1f1. */
#define METASD_INDEX_DENSE 0.3

/* The start of an image, and of memory for one, is aligned to this many bytes. */
#define METASD_INDEX_ALIGN 8

/* Everything that decides the size of an image. */
typedef struct MetasdImagePlan {
    const MetasdFamily *family;
    uint32_t entities;      /* N, below 2^32 - 1 */
    uint32_t relations;     /* R, below 2^31 */
    uint32_t width;         /* a multiple of family->reals_per_rank */
    uint64_t entity_kept;   /* kept weights of all entities */
    uint64_t relation_kept; /* of all relations, forward and reciprocal */
    uint64_t entity_label_bytes;
    uint64_t relation_label_bytes;
    /* Set by metasd_image_settle; 0 until then, and all dimensions are lists. */
    uint32_t columns;     /* D, dimensions that are columns */
    MetasdCodes codes;    /* of these */
    uint64_t column_kept; /* kept weights of all entities in them */
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

typedef struct MetasdSlot {
    uint32_t tag;    /* bits of the label's hash: few labels are compared in vain */
    uint32_t number; /* id + 1; 0: empty */
} MetasdSlot;

/* Labels: id i is start[i] .. start[i + 1] - 1 of bytes; open addressing, at least half empty. */
typedef struct MetasdLabelTable {
    uint32_t count;
    uint64_t size; /* of bytes */
    uint64_t *start;
    char *bytes;
    MetasdSlot *slots;
    uint64_t slot_mask;
} MetasdLabelTable;

/* A process's view of an image; the image must outlive it, and is never written through it. */
typedef struct MetasdImage {
    MetasdImagePlan plan;
    MetasdSparse entity;   /* N rows of positions */
    MetasdSparse relation; /* P rows: 2 r is relation r, 2 r + 1 its reciprocal */
    float *scales;         /* of the entities' codes: words x METASD_WORD, 1 behind N */
    MetasdDimensions dimension;
    MetasdSigmoid
        *sigmoids; /* P, in the order of the relation rows here, and of relations asked for */
    float *norms;  /* N */
    uint8_t *irreflexive; /* R: 1 = no entity stands in this relation to itself */
    MetasdLabelTable entity_labels, relation_labels;
} MetasdImage;

/*
 * A row to be added: positions strictly ascending, 0 < |weight| <= METASD_INDEX_MAX_WEIGHT. Weights
 * that are whole numbers, of magnitudes up to most_code, times `step`, as float, say so
 * (row_codec.h); where most_code is 0 they have no codes.
 */
typedef struct MetasdSparseRow {
    const uint32_t *positions;
    const float *values;
    size_t kept;
    int most_code;
    double step;
} MetasdSparseRow;

typedef struct MetasdImageWriter {
    MetasdImage index;
    void *memory;
    uint32_t entities, relations; /* added so far */
    MetasdCodes codes;            /* that hold those of all entities so far */
} MetasdImageWriter;

/* ---- building ---- */

/* Bytes of the image; SIZE_MAX if the plan is out of range or too large for this host. */
extern size_t metasd_image_bytes(const MetasdImagePlan *plan);

/* How many of them come first, and are all that is written until metasd_image_finish. */
extern size_t metasd_image_row_bytes(const MetasdImagePlan *plan);

/*
 * Starts an image in memory of metasd_image_bytes(plan); or only of metasd_image_row_bytes(plan),
 * where it is to be moved. In the plan no dimension is a column.
 */
extern MetasdStatus metasd_image_begin(MetasdImageWriter *writer, const MetasdImagePlan *plan,
                                       void *memory);

/*
 * Adds entity or relation number ID; ids come in order from 0. A label is any
 * bytes, an empty one included, and unlike the others of its kind. METASD_INVALID
 * for anything else or beyond the plan; the image is then of no use.
 */
extern MetasdStatus metasd_image_add_entity(MetasdImageWriter *writer, uint32_t id,
                                            const char *label, size_t len, MetasdSparseRow row);
extern MetasdStatus metasd_image_add_relation(MetasdImageWriter *writer, uint32_t id,
                                              const char *label, size_t len,
                                              MetasdSparseRow forward, MetasdSparseRow reciprocal);

/*
 * Sets the sigmoid of a relation row, 0 .. P - 1 (relation r + R is r's reciprocal), or for P, 2 R,
 * that of relations themselves, between two entities; it is metasd_uncalibrated until then.
 * METASD_INVALID where metasd_probability_sigmoid_ok says no.
 */
extern MetasdStatus metasd_image_set_sigmoid(MetasdImageWriter *writer, uint32_t relation,
                                             MetasdSigmoid sigmoid);

/* No entity stands in relation ID to itself. METASD_INVALID where there is no such relation. */
extern MetasdStatus metasd_image_set_irreflexive(MetasdImageWriter *writer, uint32_t id);

/*
 * Makes columns of the dimensions that are to be, once all that was planned has been added, no less
 * (METASD_INVALID): writer->index.plan, and so the size, is then another. COUNTS is scratch of
 * `width` numbers. Polls the team; works alone. Without this all dimensions are lists, which some
 * questions are too few to make up for.
 */
extern MetasdStatus metasd_image_settle(MetasdImageWriter *writer, uint32_t *counts,
                                        MetasdTeam *team);

/* Moves what has been added to other memory, of metasd_image_bytes(&writer->index.plan). */
extern void metasd_image_move(MetasdImageWriter *writer, void *memory);

/*
 * Completes the image once all that was planned has been added, no less
 * (METASD_INVALID). Polls the team; works alone. The same rows give the same bytes.
 */
extern MetasdStatus metasd_image_finish(MetasdImageWriter *writer, MetasdTeam *team);

/* ---- opening ---- */

/*
 * Opens an image after reading all of it: any BYTES bytes at MEMORY that are not
 * an image, or a damaged one, are METASD_CORRUPT, and a query on what was
 * accepted stays inside it. Polls the team; works alone.
 */
extern MetasdStatus metasd_image_open(const void *memory, size_t bytes, MetasdTeam *team,
                                      MetasdImage *index);

/* The same from the header alone: for an image as metasd_image_finish left it, or opened before. */
extern MetasdStatus metasd_image_attach(const void *memory, size_t bytes, MetasdImage *index);

/* ---- asking ---- */

/* The id of a label, or false; the label of an id: *len bytes inside the image, not terminated. */
extern bool metasd_label_find(const MetasdLabelTable *labels, const char *label, size_t len,
                              uint32_t *id);
extern const char *metasd_label_get(const MetasdLabelTable *labels, uint32_t id, size_t *len);

static inline bool
metasd_index_entity(const MetasdImage *index, const char *label, size_t len, uint32_t *id)
{
    return metasd_label_find(&index->entity_labels, label, len, id);
}

static inline bool
metasd_index_relation(const MetasdImage *index, const char *label, size_t len, uint32_t *id)
{
    return metasd_label_find(&index->relation_labels, label, len, id);
}

static inline const char *
metasd_index_entity_label(const MetasdImage *index, uint32_t id, size_t *len)
{
    return metasd_label_get(&index->entity_labels, id, len);
}

static inline const char *
metasd_index_relation_label(const MetasdImage *index, uint32_t id, size_t *len)
{
    return metasd_label_get(&index->relation_labels, id, len);
}

/* scores[N] = the score of (head, relation, t) for every t; relation is a row, 0 .. P - 1. */
extern void metasd_query_scores_tails(const MetasdImage *index, uint32_t head, uint32_t relation,
                                      float *scores, float *scratch);

/* The sigmoid of a relation row, 0 .. P - 1, or, P, of relations themselves. */
extern MetasdSigmoid metasd_query_sigmoid(const MetasdImage *index, uint32_t relation);

/* The score of one triple: that of metasd_query_scores_tails. */
extern float metasd_query_score(const MetasdImage *index, uint32_t head, uint32_t relation,
                                uint32_t tail, float *scratch);

/* scores[R] = the score of (head, r, tail) for every relation r, forward rows. */
extern void metasd_query_scores_relations(const MetasdImage *index, uint32_t head, uint32_t tail,
                                          float *scores, float *scratch);

/* scores[N] = the cosine of the angle to every entity, -1 .. 1; 0 where either row is all zeros. */
extern void metasd_query_scores_similar(const MetasdImage *index, uint32_t entity, float *scores,
                                        float *scratch);

/* row[width] = the embedding of an entity, zeros included. */
extern void metasd_query_embedding(const MetasdImage *index, uint32_t entity, float *row);

#endif
