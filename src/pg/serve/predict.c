/*
 * predict.c - the functions that ask a model.
 *
 * Each finds the model and its image under the query's own snapshot, turns the
 * caller's identifiers into labels and the answers back into the caller's type.
 * What the model does not know gives no rows, and one NOTICE a statement.
 */
#include "pg/base/compat.h"

#include "utils/float.h"
#include "utils/tuplestore.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "pg/serve/known.h"
#include "pg/serve/known_whole.h"
#include "pg/source/labelset.h"
#include "pg/serve/predictor.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict);
PG_FUNCTION_INFO_V1(metasd_kg_predict_heads);
PG_FUNCTION_INFO_V1(metasd_kg_predict_relations);
PG_FUNCTION_INFO_V1(metasd_kg_score);
PG_FUNCTION_INFO_V1(metasd_kg_rank);
PG_FUNCTION_INFO_V1(metasd_kg_similar);

/*
 * kg_predict(head, relation, k, model, known, candidates, candidate_ids, min_probability),
 * kg_predict_heads(relation, tail, ...), kg_predict_relations(head, tail, k, model, known,
 * min_probability): arguments 0 and 1 are the places that are given.
 */
static Datum
predict(FunctionCallInfo fcinfo, MetasdAsked asked)
{
    bool relation_given[2] = {asked == METASD_ASKED_HEAD, asked == METASD_ASKED_TAIL};
    MetasdPredictor prediction = {.asked = asked, .answer_column = 1};
    MetasdQuestion question;
    uint32 id[2];

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        return (Datum)0;
    prediction.k = metasd_call_limit(fcinfo, 2);
    prediction.mode = metasd_predictor_known_argument(fcinfo, 4);
    prediction.least =
        metasd_predictor_least_argument(fcinfo, asked == METASD_ASKED_RELATION ? 5 : 7);
    question = metasd_question_open(fcinfo, 3);
    prediction.question = &question;
    if (asked != METASD_ASKED_RELATION)
        prediction.candidates = metasd_candidates_argument(&question, 5);
    for (int i = 0; i < 2; i++) {
        prediction.given[i] = metasd_identifier_argument(fcinfo, i);
        if (!metasd_question_find(&question, prediction.given[i], relation_given[i], &id[i]))
            return (Datum)0;
    }
    metasd_predictor_start(&prediction);
    metasd_predictor_answer(&prediction, id);
    metasd_predictor_end(&prediction);
    return (Datum)0;
}

Datum
metasd_kg_predict(PG_FUNCTION_ARGS)
{
    return predict(fcinfo, METASD_ASKED_TAIL);
}

Datum
metasd_kg_predict_heads(PG_FUNCTION_ARGS)
{
    return predict(fcinfo, METASD_ASKED_HEAD);
}

Datum
metasd_kg_predict_relations(PG_FUNCTION_ARGS)
{
    return predict(fcinfo, METASD_ASKED_RELATION);
}

/*
 * kg_score(head, relation, tail, model, side) returns real: the score of kg_predict for the tail,
 * or of kg_predict_heads for the head, which is a tail of the reciprocal relation.
 */
Datum
metasd_kg_score(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 id[3];
    float *scratch, score;
    bool head;

    if (metasd_call_any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        PG_RETURN_NULL();
    head = metasd_predict_heads_asked(fcinfo, 4);
    question = metasd_question_open(fcinfo, 3);
    for (int i = 0; i < 3; i++)
        if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, i), i == 1, &id[i]))
            PG_RETURN_NULL();
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    score = head ? metasd_query_score(question.image, id[2], question.image->plan.relations + id[1],
                                      id[0], scratch)
                 : metasd_query_score(question.image, id[0], id[1], id[2], scratch);
    pfree(scratch);
    PG_RETURN_FLOAT4(score == METASD_IMPOSSIBLE ? -get_float4_infinity() : score);
}

/*
 * Leaves known tails of (head, relation) out of the scores, except the one given; returns how many
 * are left.
 */
static uint32
leave_out_known(const MetasdQuestion *question, const MetasdLabel *given, const uint32 id[3],
                float *scores)
{
    uint32 n = question->image->plan.entities, left = n;
    bool *known_ids;
    MetasdKnown known;

    if (!metasd_question_has_source(question))
        return left;
    known_ids = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    if (metasd_known_whole(question, METASD_ASKED_TAIL))
        metasd_known_whole_mark(question, METASD_ASKED_TAIL, id, known_ids);
    else {
        metasd_known_start(&known, question->model, METASD_ASKED_TAIL, given);
        metasd_known_mark_all(&known, metasd_question_labels(question, false), known_ids);
    }
    for (uint32 e = 0; e < n; e++)
        if (known_ids[e] && e != id[2]) {
            scores[e] = METASD_LEFT_OUT;
            left--;
        }
    pfree(known_ids);
    return left;
}

/*
 * kg_rank(head, relation, tail, model): one row, or none where the model does not know one of them
 */
Datum
metasd_kg_rank(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MetasdQuestion question;
    MetasdRankCounts tail;
    MetasdLabel label[3];
    uint32 id[3], candidates;
    float *scores, *scratch;
    Datum values[3];
    bool nulls[3] = {false};

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 3))
        return (Datum)0;
    question = metasd_question_open(fcinfo, 3);
    for (int i = 0; i < 3; i++) {
        label[i] = metasd_identifier_argument(fcinfo, i);
        if (!metasd_question_find(&question, label[i], i == 1, &id[i]))
            return (Datum)0;
    }
    scores =
        palloc_extended((size_t)question.image->plan.entities * sizeof(*scores), MCXT_ALLOC_HUGE);
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    metasd_query_scores_tails(question.image, id[0], id[1], scores, scratch);
    tail.score = scores[id[2]];
    candidates = leave_out_known(&question, label, id, scores);
    metasd_rank_counts(question.image->plan.entities, scores, 1, &tail);
    /* It ties with itself. */
    values[0] = Float8GetDatum(1 + tail.higher + 0.5 * (tail.same - 1));
    values[1] = Int64GetDatum((int64)tail.higher + tail.same);
    values[2] = Int64GetDatum(candidates);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    pfree(scores);
    pfree(scratch);
    return (Datum)0;
}

/* kg_similar(entity, k, model): the entity itself is no answer */
Datum
metasd_kg_similar(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MetasdQuestion question;
    MetasdTopk topk;
    MetasdTies ties = {0};
    uint32 entity, id, n, k, *ids;
    float *scores, *scratch, score;

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
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    metasd_query_scores_similar(question.image, entity, scores, scratch);
    metasd_topk_start(&topk, n, scores, ids);
    while (ties.count < k && metasd_topk_next(&topk, &id, &score)) {
        Datum values[3];
        bool nulls[3] = {false};
        MetasdLabel label;
        size_t len;

        if (id == entity)
            continue;
        label.data = metasd_index_entity_label(question.image, id, &len);
        label.len = (uint32)len;
        values[0] = Int32GetDatum((int32)metasd_ties_rank(&ties, score));
        values[1] =
            metasd_identifier_answer(fcinfo, TupleDescAttr(result->setDesc, 1)->atttypid, label);
        values[2] = Float4GetDatum(score);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scores);
    pfree(ids);
    pfree(scratch);
    return (Datum)0;
}
