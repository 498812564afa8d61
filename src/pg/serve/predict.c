/*
 * predict.c - kg_predict, kg_predict_heads and kg_predict_relations: the best answers to a
 * question.
 *
 * All functions of this room find the model and its image under the snapshot of the query, convert
 * the caller's identifiers to labels and the answers back to the caller's type. For an identifier
 * that the model does not know they return no rows, or NULL, and give one NOTICE per statement.
 */
#include "pg/base/compat.h"

#include "pg/serve/identifier.h"
#include "pg/serve/predictor.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict);
PG_FUNCTION_INFO_V1(metasd_kg_predict_heads);
PG_FUNCTION_INFO_V1(metasd_kg_predict_relations);

/*
 * kg_predict(head, relation, k, model, known, candidates, candidate_ids, min_probability),
 * kg_predict_heads(relation, tail, ...), kg_predict_relations(head, tail, k, model, known,
 * min_probability): arguments 0 and 1 are the given places.
 */
static Datum
predict(FunctionCallInfo fcinfo, MetasdAsked asked)
{
    bool relation_given[2] = {asked == METASD_ASKED_HEAD, asked == METASD_ASKED_TAIL};
    MetasdPredictor predictor = {.asked = asked, .answer_column = 1};
    MetasdQuestion question;
    uint32 id[2];

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        return (Datum)0;
    predictor.k = metasd_call_limit(fcinfo, 2);
    predictor.mode = metasd_predictor_known_argument(fcinfo, 4);
    predictor.least_probability =
        metasd_predictor_least_argument(fcinfo, asked == METASD_ASKED_RELATION ? 5 : 7);
    question = metasd_question_open(fcinfo, 3);
    predictor.question = &question;
    if (asked != METASD_ASKED_RELATION)
        predictor.candidates = metasd_candidates_argument(&question, 5);
    for (int i = 0; i < 2; i++) {
        predictor.given[i] = metasd_identifier_argument(fcinfo, i);
        if (!metasd_question_find(&question, predictor.given[i], relation_given[i], &id[i]))
            return (Datum)0;
    }
    metasd_predictor_start(&predictor);
    metasd_predictor_answer(&predictor, id);
    metasd_predictor_end(&predictor);
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
