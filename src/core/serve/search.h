/*
 * search.h - the best answers to a question, probably: from the clusters that promise most.
 *
 * A cluster promises the largest score that so many normal numbers of its mean and variance along
 * the query have on average. The entities of the best clusters get their exact scores; the others
 * are not answers. So an answer can be missing, but none has a wrong score. What the others add to
 * a sum of exponentials is estimated, also from mean and variance. With all clusters the answers
 * are those of query.h.
 */
#ifndef METASD_CORE_SERVE_SEARCH_H
#define METASD_CORE_SERVE_SEARCH_H

#include "core/serve/query.h"

typedef struct MetasdSearch {
    const MetasdImage *image;
    MetasdPrepared query;
    bool cosines;      /* scores are those of metasd_query_scores_similar_of */
    bool lists;        /* the query has weights in lists */
    float *means;      /* C: of the clusters' scores */
    float *deviations; /* C: their standard deviations */
    float *promises;   /* C; infinity: it is visited */
    uint32_t *chosen;  /* C, of which `visited` are */
    uint32_t visited;
    uint32_t *order; /* C: scratch of the choice */
    void *scratch;   /* of the query */
} MetasdSearch;

/* Bytes of the memory of a search; aligned as malloc does. */
extern size_t metasd_search_bytes(const MetasdImagePlan *plan);

extern void metasd_search_start(MetasdSearch *search, const MetasdImage *image, void *memory);

/*
 * Chooses the clusters to visit for a question, the most promising first, until they have LEAST
 * entities. Returns the room that scores and ids of these need.
 */
extern size_t metasd_search_tails_of(MetasdSearch *search, MetasdGiven head, MetasdGiven relation,
                                     uint32_t least);
extern size_t metasd_search_similar_of(MetasdSearch *search, MetasdGiven entity, uint32_t least);

/*
 * Scores the entities of these clusters, and returns their number. Ids come in no order, each once.
 */
extern uint32_t metasd_search_scores(const MetasdSearch *search, float *scores, uint32_t *ids);

/* scores[i] = the score of entity ids[i], in whichever cluster: the same bits. */
extern void metasd_search_scores_of(const MetasdSearch *search, const uint32_t *ids, size_t n,
                                    float *scores);

/* An estimate of the sum of exp(score - first) over all entities of other clusters. */
extern double metasd_search_rest(const MetasdSearch *search, float first);

#endif
