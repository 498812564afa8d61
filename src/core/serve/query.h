/*
 * query.h - the scores of questions to an image.
 *
 * A score is the sum of the columns (dense_columns.h) + the weights of the lists, in ascending
 * order, each step in float. The same image gives the same bits on all processors, for all entities
 * at once or for one. The score of an entity in an irreflexive relation to itself is
 * METASD_IMPOSSIBLE. Queries allocate no memory. Ids must be in range.
 */
#ifndef METASD_CORE_SERVE_QUERY_H
#define METASD_CORE_SERVE_QUERY_H

#include "core/serve/image.h"

/*
 * Bytes of the scratch memory of a query about rows of WIDTH weights; aligned as malloc does. After
 * the query it starts with `width` floats, whose inner products with the entities are the scores.
 */
extern size_t metasd_query_scratch_bytes(uint32_t width);

/*
 * What a question gives: an entity, or a relation row 0 .. P - 1, of the image by its number, or a
 * row from elsewhere (fold.h).
 */
typedef struct MetasdGiven {
    uint32_t id;
    const float *row; /* `width` weights; NULL: it is in the image, by its number */
    bool irreflexive; /* of a row that is a relation */
} MetasdGiven;

static inline MetasdGiven
metasd_given(uint32_t id)
{
    return (MetasdGiven){.id = id};
}

/* Is a relation, or its reciprocal, irreflexive? */
extern bool metasd_query_is_irreflexive(const MetasdImage *image, MetasdGiven relation);

/* scores[N] = the score of (head, relation, t) for every t of the image. */
extern void metasd_query_scores_tails_of(const MetasdImage *image, MetasdGiven head,
                                         MetasdGiven relation, float *scores, void *scratch);

/* A question of a batch, and the place of its scores. */
typedef struct MetasdAsk {
    MetasdGiven head, relation;
    float *scores; /* N */
} MetasdAsk;

/* Bytes of the scratch memory of a batch of N questions. */
extern size_t metasd_query_batch_bytes(uint32_t width, size_t n);

/*
 * What metasd_query_scores_tails_of does for each of N questions, the same bits. A dozen of them
 * take less time together than one after the other, because they read the image once.
 */
extern void metasd_query_scores_tails_of_batch(const MetasdImage *image, const MetasdAsk *asks,
                                               size_t n, void *scratch);

/* The same by another query of finite weights, which must not be in the scratch memory. */
extern void metasd_query_scores_composed(const MetasdImage *image, const float *query,
                                         uint32_t head, uint32_t relation, float *scores,
                                         void *scratch);

/*
 * The score of one triple: the same as in metasd_query_scores_tails_of. Two rows from elsewhere are
 * one entity if they are at the same place.
 */
extern float metasd_query_score_of(const MetasdImage *image, MetasdGiven head, MetasdGiven relation,
                                   MetasdGiven tail, void *scratch);

/* scores[R] = the score of (head, r, tail) for every relation r, forward rows. */
extern void metasd_query_scores_relations_of(const MetasdImage *image, MetasdGiven head,
                                             MetasdGiven tail, float *scores, void *scratch);

/* scores[N] = the cosine of the angle to every entity, -1 .. 1; 0 if either row is all zeros. */
extern void metasd_query_scores_similar_of(const MetasdImage *image, MetasdGiven entity,
                                           float *scores, void *scratch);

/* The same for what is in the image. */
static inline void
metasd_query_scores_tails(const MetasdImage *image, uint32_t head, uint32_t relation, float *scores,
                          void *scratch)
{
    metasd_query_scores_tails_of(image, metasd_given(head), metasd_given(relation), scores,
                                 scratch);
}

static inline float
metasd_query_score(const MetasdImage *image, uint32_t head, uint32_t relation, uint32_t tail,
                   void *scratch)
{
    return metasd_query_score_of(image, metasd_given(head), metasd_given(relation),
                                 metasd_given(tail), scratch);
}

static inline void
metasd_query_scores_relations(const MetasdImage *image, uint32_t head, uint32_t tail, float *scores,
                              void *scratch)
{
    metasd_query_scores_relations_of(image, metasd_given(head), metasd_given(tail), scores,
                                     scratch);
}

static inline void
metasd_query_scores_similar(const MetasdImage *image, uint32_t entity, float *scores, void *scratch)
{
    metasd_query_scores_similar_of(image, metasd_given(entity), scores, scratch);
}

/* A question as a query, in scratch memory: for search.h. */
typedef struct MetasdPrepared {
    const float *query;     /* width */
    MetasdDenseQuery asked; /* its columns */
    uint32_t impossible;    /* the entity whose score is METASD_IMPOSSIBLE; UINT32_MAX: none */
} MetasdPrepared;

/* The query of (head, relation, ?), and that of the entities similar to one: a unit vector. */
extern MetasdPrepared metasd_query_prepare_tails(const MetasdImage *image, MetasdGiven head,
                                                 MetasdGiven relation, void *scratch);
extern MetasdPrepared metasd_query_prepare_similar(const MetasdImage *image, MetasdGiven entity,
                                                   void *scratch);

/* The product of a prepared query with one entity: the same bits as for all. */
extern float metasd_query_prepared_score(const MetasdImage *image, const MetasdPrepared *prepared,
                                         uint32_t entity);

/*
 * Adds the lists' part to the product of one entity, of which SCORE is that of the columns: the
 * same bits as for all. Row NUMBER has its weights in lists.
 */
extern float metasd_query_add_lists(const MetasdImage *image, const float *query,
                                    const MetasdSparse *rows, uint64_t number, float score);

/*
 * products[i] = <query, entity ids[i]>, for a query of finite weights: the sums that scores are.
 * QUERY must not be in the scratch memory.
 */
extern void metasd_query_products(const MetasdImage *image, const float *query, const uint32_t *ids,
                                  size_t n, float *products, void *scratch);

/* The sigmoid of a relation row, 0 .. P - 1, or P: of questions that ask for relations. */
extern MetasdSigmoid metasd_query_sigmoid(const MetasdImage *image, uint32_t relation);

/* A sigmoid for relations that are not in the image: the mean of those that are. */
extern MetasdSigmoid metasd_query_mean_sigmoid(const MetasdImage *image);

/* row[width] = the embedding of an entity, or a relation row, zeros included. */
extern void metasd_query_embedding(const MetasdImage *image, uint32_t entity, float *row);
extern void metasd_query_relation_row(const MetasdImage *image, uint32_t relation, float *row);

#endif
