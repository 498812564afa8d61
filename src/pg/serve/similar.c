/*
 * similar.c - kg_similar: the entities whose embeddings have the smallest angle to one.
 */
#include "pg/base/compat.h"

#include "utils/tuplestore.h"

#include "core/ranking/ties.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_similar);

/* kg_similar(entity, k, model); the entity itself is not among the answers */
Datum
metasd_kg_similar(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MetasdQuestion question;
    MetasdTopk topk;
    MetasdTies ties = {0};
    uint32 entity, id, n, k, *ids;
    float *scores, score;
    void *scratch;

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 2))
        return (Datum)0;
    k = metasd_call_limit(fcinfo, 1);
    question = metasd_question_open(fcinfo, 2);
    if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, 0), false, &entity))
        return (Datum)0;
    n = question.image->plan.entities;
    scores = palloc_extended((size_t)n * sizeof(*scores), MCXT_ALLOC_HUGE);
    ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    scratch = palloc(metasd_query_scratch_bytes(question.image->plan.width));
    metasd_query_scores_similar_of(question.image, metasd_question_entity(&question, entity),
                                   scores, scratch);
    metasd_topk_start(&topk, n, scores, ids);
    while (ties.count < k && metasd_topk_next(&topk, &id, &score)) {
        Datum values[3];
        bool nulls[3] = {false};

        if (id == entity)
            continue;
        values[0] = Int32GetDatum((int32)metasd_ties_rank(&ties, score));
        values[1] = metasd_identifier_answer(fcinfo, TupleDescAttr(result->setDesc, 1)->atttypid,
                                             metasd_question_label(&question, false, id));
        values[2] = Float4GetDatum(score);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scores);
    pfree(ids);
    pfree(scratch);
    return (Datum)0;
}
