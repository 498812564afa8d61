/*
 * similar.c - kg_similar: the entities whose embeddings have the smallest angle to one.
 */
#include "pg/base/compat.h"

#include "utils/tuplestore.h"

#include "core/ranking/best_first.h"
#include "core/ranking/ties.h"
#include "core/serve/query.h"
#include "core/serve/search.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_similar);

/* The entities that compete, in memory of the current context. */
typedef struct Pool {
    uint32 n;
    float *scores;
    uint32 *ids; /* NULL: all, in order */
} Pool;

/* Scores all entities. */
static Pool
score_all(const MetasdQuestion *question, MetasdGiven entity)
{
    const MetasdImage *image = question->image;
    Pool pool = {.n = image->plan.entities};
    void *scratch = palloc(metasd_query_scratch_bytes(image->plan.width));

    pool.scores = palloc_extended((size_t)pool.n * sizeof(float), MCXT_ALLOC_HUGE);
    metasd_query_scores_similar_of(image, entity, pool.scores, scratch);
    pfree(scratch);
    return pool;
}

/* Scores some entities, those that promise most. */
static Pool
score_some(const MetasdQuestion *question, MetasdGiven entity, uint32 least)
{
    const MetasdImage *image = question->image;
    void *memory = palloc(metasd_search_bytes(&image->plan));
    Pool pool;
    MetasdSearch search;
    size_t room;

    metasd_search_start(&search, image, memory);
    room = metasd_search_similar_of(&search, entity, least);
    pool.scores = palloc_extended(room * sizeof(float), MCXT_ALLOC_HUGE);
    pool.ids = palloc_extended(room * sizeof(uint32), MCXT_ALLOC_HUGE);
    pool.n = metasd_search_scores(&search, pool.scores, pool.ids);
    pfree(memory);
    return pool;
}

static void
put_answer(const MetasdQuestion *question, uint32 rank, uint32 id, float score)
{
    FunctionCallInfo fcinfo = question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    Datum values[3];
    bool nulls[3] = {false};

    values[0] = Int32GetDatum((int32)rank);
    values[1] = metasd_identifier_answer(fcinfo, TupleDescAttr(result->setDesc, 1)->atttypid,
                                         metasd_question_label(question, false, id));
    values[2] = Float4GetDatum(score);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* kg_similar(entity, k, model); the entity itself is not among the answers */
Datum
metasd_kg_similar(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    MetasdBestFirst best;
    MetasdTies ties = {0};
    MetasdGiven given;
    Pool pool;
    uint32 entity, id, k, least, *scratch;
    float score;

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 2))
        return (Datum)0;
    k = metasd_call_limit(fcinfo, 1);
    question = metasd_question_open(fcinfo, 2);
    if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, 0), false, &entity))
        return (Datum)0;
    given = metasd_question_entity(&question, entity);
    least = metasd_question_searched(&question);
    pool = least > 0 ? score_some(&question, given, least) : score_all(&question, given);
    scratch = palloc_extended(2 * (size_t)pool.n * sizeof(*scratch), MCXT_ALLOC_HUGE);
    metasd_best_first_start(&best, pool.n, pool.scores, pool.ids, scratch);
    while (ties.count < k && metasd_best_first_next(&best, &id, &score)) {
        if (id == entity)
            continue;
        put_answer(&question, metasd_ties_rank(&ties, score), id, score);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scratch);
    pfree(pool.scores);
    if (pool.ids)
        pfree(pool.ids);
    return (Datum)0;
}
