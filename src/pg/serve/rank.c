/*
 * rank.c - kg_rank: the filtered rank of the tail of one triple.
 */
#include "pg/base/compat.h"

#include "utils/tuplestore.h"

#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/known.h"
#include "pg/serve/known_whole.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_rank);

/*
 * Leaves the known tails of (head, relation) out of the scores, except the tail of the question;
 * returns the number of entities that remain.
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
    if (!metasd_question_is_new(question, false, id[0]) &&
        !metasd_question_is_new(question, true, id[1]) &&
        metasd_known_whole_prepare(question, METASD_ASKED_TAIL))
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

/* kg_rank(head, relation, tail, model): one row, or none if the model does not know all three */
Datum
metasd_kg_rank(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MetasdQuestion question;
    MetasdRankCounts tail;
    MetasdLabel label[3];
    MetasdGiven given[3];
    uint32 id[3], others;
    bool apart; /* the tail is not among the scores, as it is new */
    float *scores;
    void *scratch;
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
    scratch = palloc(metasd_query_scratch_bytes(question.image->plan.width));
    given[0] = metasd_question_entity(&question, id[0]);
    given[1] = metasd_question_relation(&question, id[1], false);
    given[2] = metasd_question_entity(&question, id[2]);
    metasd_query_scores_tails_of(question.image, given[0], given[1], scores, scratch);
    apart = metasd_question_is_new(&question, false, id[2]);
    tail.score = apart
                     ? metasd_query_score_of(question.image, given[0], given[1], given[2], scratch)
                     : scores[id[2]];
    others = leave_out_known(&question, label, id, scores) - !apart;
    metasd_rank_counts(question.image->plan.entities, scores, 1, &tail);
    tail.same -= !apart; /* it ties with itself */
    values[0] = Float8GetDatum(1 + tail.higher + 0.5 * tail.same);
    values[1] = Int64GetDatum(1 + (int64)tail.higher + tail.same);
    values[2] = Int64GetDatum((int64)others + 1);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    pfree(scores);
    pfree(scratch);
    return (Datum)0;
}
