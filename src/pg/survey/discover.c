/*
 * discover.c - kg_discover: the most probable facts that the source does not hold.
 */
#include "pg/base/compat.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/ranking/ties.h"
#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/predictor.h"
#include "pg/serve/question.h"
#include "pg/survey/discover_visitor.h"
#include "pg/survey/sweep.h"

PG_FUNCTION_INFO_V1(metasd_kg_discover);

/* The arguments. */
enum { MODEL, K, RELATION, HEAD, TAIL, CANDIDATES, MIN_PROBABILITY, SUBJECTS };

static void
put_triple(const MetasdQuestion *question, MetasdTies *ties, const MetasdScoredTriple *triple)
{
    ReturnSetInfo *result = (ReturnSetInfo *)question->fcinfo->resultinfo;
    Datum values[6];
    bool nulls[6] = {false};

    values[0] = Int32GetDatum((int32)metasd_ties_rank(ties, triple->key));
    for (int i = 0; i < 3; i++) {
        MetasdLabel label = metasd_question_label(question, i == 1, triple->id[i]);

        values[1 + i] = PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
    }
    values[4] = Float4GetDatum(triple->value[METASD_DISCOVERED_SCORE]);
    values[5] = Float4GetDatum(triple->key);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* kg_discover(model, k, relation, head, tail, candidates, min_probability, subjects) */
Datum
metasd_kg_discover(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    MetasdFactChoice choice = {.tails = true, .relation = METASD_ANY, .entity = METASD_ANY};
    MetasdSweepPass pass = {.kind = METASD_VISIT_TO_DISCOVER, .sides = METASD_SIDE_TAILS};
    MetasdSweep *sweep;
    MetasdBestTriples best;
    MetasdTies ties = {0};

    metasd_compat_init_materialized_srf(fcinfo);
    if (PG_ARGISNULL(K) || PG_ARGISNULL(SUBJECTS))
        return (Datum)0;
    pass.k = metasd_call_limit(fcinfo, K);
    pass.least = metasd_predictor_least_argument(fcinfo, MIN_PROBABILITY);
    question = metasd_question_open(fcinfo, MODEL);
    if (!metasd_question_has_source(&question))
        return (Datum)0;
    sweep = metasd_sweep_begin(&question, &choice);
    metasd_sweep_sort(sweep);
    metasd_sweep_pass(sweep, &pass, &best);
    metasd_sweep_end(sweep);
    for (uint32 i = 0; i < best.count; i++)
        put_triple(&question, &ties, &best.heap[i]);
    return (Datum)0;
}
