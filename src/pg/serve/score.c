/*
 * score.c - kg_score: the score of one triple.
 */
#include "pg/base/compat.h"

#include "utils/float.h"

#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_score);

/*
 * kg_score(head, relation, tail, model, side) returns real: the score that kg_predict gives the
 * tail, or that kg_predict_heads gives the head, which is a tail of the reciprocal relation.
 */
Datum
metasd_kg_score(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 id[3];
    void *scratch;
    float score;
    bool head;

    if (metasd_call_any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        PG_RETURN_NULL();
    head = metasd_call_side_is_head(fcinfo, 4);
    question = metasd_question_open(fcinfo, 3);
    for (int i = 0; i < 3; i++)
        if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, i), i == 1, &id[i]))
            PG_RETURN_NULL();
    scratch = palloc(metasd_query_scratch_bytes(question.image->plan.width));
    score =
        metasd_query_score_of(question.image, metasd_question_entity(&question, id[head ? 2 : 0]),
                              metasd_question_relation(&question, id[1], head),
                              metasd_question_entity(&question, id[head ? 0 : 2]), scratch);
    pfree(scratch);
    PG_RETURN_FLOAT4(score == METASD_IMPOSSIBLE ? -get_float4_infinity() : score);
}
