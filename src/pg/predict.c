/*
 * predict.c - the functions that ask a model.
 *
 * Each finds the model and its image under the query's own snapshot, turns the
 * caller's identifiers into labels and the answers back into the caller's type.
 * What the model does not know gives no rows, and one NOTICE a statement.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "cache.h"
#include "calibrate.h"
#include "catalog.h"
#include "known.h"
#include "labels.h"
#include "predict.h"
#include "standing.h"
#include "topk.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict);
PG_FUNCTION_INFO_V1(metasd_kg_predict_heads);
PG_FUNCTION_INFO_V1(metasd_kg_predict_relations);
PG_FUNCTION_INFO_V1(metasd_kg_score);
PG_FUNCTION_INFO_V1(metasd_kg_rank);
PG_FUNCTION_INFO_V1(metasd_kg_similar);
PG_FUNCTION_INFO_V1(metasd_kg_embedding);

/* Candidates looked up as known facts at once: at first, and how that grows. */
#define FIRST_PROBE 32
#define PROBE_GROWTH 4

/* ---- answers ---- */

MetasdKnownMode
metasd_known_argument(FunctionCallInfo fcinfo, int n)
{
    char *mode = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(mode, "exclude") == 0)
        return METASD_KNOWN_EXCLUDE;
    if (strcmp(mode, "mark") == 0)
        return METASD_KNOWN_MARK;
    if (strcmp(mode, "include") == 0)
        return METASD_KNOWN_INCLUDE;
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for known: \"%s\"", mode),
         errhint("It must be \"exclude\" (the default: answers that are facts of the source are "
                 "left out), \"mark\" or \"include\".")));
}

float
metasd_least_argument(FunctionCallInfo fcinfo, int n)
{
    float least = PG_ARGISNULL(n) ? 0 : PG_GETARG_FLOAT4(n);

    if (!(least >= 0 && least <= 1))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("min_probability must be between 0 and 1"),
                 errhint("Give a probability, such as 0.5: less probable answers are left out.")));
    return least;
}

static float
probability_of(const MetasdPrediction *prediction, float score)
{
    return (float)metasd_probability(prediction->sigmoid,
                                     metasd_field_odds(&prediction->field, score));
}

static void
put_answer(const MetasdPrediction *prediction, uint32 rank, const MetasdAnswer *answer)
{
    FunctionCallInfo fcinfo = prediction->question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    int first = prediction->given_columns;
    Oid type = TupleDescAttr(result->setDesc, first + 1)->atttypid;
    Datum row[METASD_MOST_GIVEN + 5], *values = row + first;
    bool missing[METASD_MOST_GIVEN + 5] = {false}, *nulls = missing + first;
    MetasdLabel label;
    size_t len;

    label.data = metasd_labels_get(
        metasd_question_labels(prediction->question, prediction->asked == METASD_ASKED_RELATION),
        answer->id, &len);
    label.len = (uint32)len;
    for (int i = 0; i < first; i++)
        row[i] = prediction->given_values[i];
    values[0] = Int32GetDatum((int32)rank);
    values[1] = metasd_answer_datum(fcinfo, type, label);
    values[2] = Float4GetDatum(answer->score);
    values[3] = Float4GetDatum(answer->probability);
    nulls[3] = answer->known; /* no prediction */
    values[4] = BoolGetDatum(answer->known);
    nulls[4] = prediction->mode == METASD_KNOWN_INCLUDE;
    tuplestore_putvalues(result->setResult, result->setDesc, row, missing);
}

static void
keep_answer(MetasdAnswers *kept, const MetasdAnswer *answer)
{
    if (kept->count < kept->room)
        kept->list[kept->count++] = *answer;
    else
        kept->whole = false;
}

void
metasd_prediction_repeat(const MetasdPrediction *prediction, const MetasdAnswer *answers, uint32 n)
{
    for (uint32 i = 0; i < n; i++)
        put_answer(prediction, i + 1, &answers[i]);
}

/*
 * Writes the k best candidates that are not known facts (or all, by mode). Facts are looked up for a
 * few candidates at first: a group may have thousands, and most questions are answered by these. Where
 * they do not suffice most of them are known, and the whole group is read, once. Probabilities fall
 * with the scores, so the first that is too low ends it.
 */
static void
answer(MetasdPrediction *prediction)
{
    const MetasdQuestion *question = prediction->question;
    const MetasdLabels *labels =
        metasd_question_labels(question, prediction->asked == METASD_ASKED_RELATION);
    bool look = prediction->mode != METASD_KNOWN_INCLUDE, over = false;
    uint32 n = prediction->n, rank = 0, looks = 0;
    uint64 probe = Max(FIRST_PROBE, 2 * (uint64)prediction->k);
    uint32 *scratch = palloc_extended((size_t)n * sizeof(*scratch), MCXT_ALLOC_HUGE);
    uint32 *ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    bool *known_ids = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    MetasdKnown known;
    MetasdTopk topk;

    if (look)
        metasd_known_start(&known, question->model, prediction->asked, prediction->given);
    metasd_field_start(&prediction->field, n, prediction->scores);
    metasd_topk_start(&topk, n, prediction->scores, scratch);
    while (rank < prediction->k && !over) {
        uint32 taken = 0;
        float score;

        while (taken < probe && taken < n && metasd_topk_next(&topk, &ids[taken], &score) &&
               score > METASD_LEFT_OUT)
            taken++;
        if (taken == 0)
            break;
        if (look && looks == 0)
            metasd_known_mark(&known, labels, ids, taken, known_ids);
        else if (look && looks == 1)
            metasd_known_mark_all(&known, labels, known_ids);
        looks++;
        for (uint32 i = 0; i < taken; i++)
            metasd_field_show(&prediction->field, prediction->scores[ids[i]], known_ids[ids[i]]);
        for (uint32 i = 0; i < taken && rank < prediction->k && !over; i++) {
            MetasdAnswer one = {
                .id = ids[i], .score = prediction->scores[ids[i]], .known = known_ids[ids[i]]};

            if (!one.known)
                one.probability = probability_of(prediction, one.score);
            over = !one.known && one.probability < prediction->least;
            if (over || (one.known && prediction->mode == METASD_KNOWN_EXCLUDE))
                continue;
            put_answer(prediction, ++rank, &one);
            if (prediction->kept)
                keep_answer(prediction->kept, &one);
        }
        probe *= PROBE_GROWTH;
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scratch);
    pfree(ids);
    pfree(known_ids);
}

void
metasd_prediction_start(MetasdPrediction *prediction)
{
    const MetasdIndexPlan *plan = &prediction->question->image->plan;

    if (prediction->mode != METASD_KNOWN_INCLUDE &&
        !metasd_question_has_source(prediction->question))
        prediction->mode = METASD_KNOWN_INCLUDE;
    prediction->n = prediction->asked == METASD_ASKED_RELATION ? plan->relations : plan->entities;
    prediction->scores = palloc_extended((size_t)prediction->n * sizeof(float), MCXT_ALLOC_HUGE);
    prediction->scratch = palloc(3 * (size_t)plan->width * sizeof(float));
}

void
metasd_prediction_answer(MetasdPrediction *prediction, const uint32 id[2])
{
    const MetasdIndex *image = prediction->question->image;
    float *scores = prediction->scores, *scratch = prediction->scratch;

    if (prediction->asked == METASD_ASKED_TAIL)
        metasd_index_scores_tails(image, id[0], id[1], scores, scratch);
    else if (prediction->asked == METASD_ASKED_HEAD) /* the tails of the reciprocal relation */
        metasd_index_scores_tails(image, id[1], image->plan.relations + id[0], scores, scratch);
    else
        metasd_index_scores_relations(image, id[0], id[1], scores, scratch);
    prediction->sigmoid = metasd_uncalibrated;
    if (prediction->asked == METASD_ASKED_TAIL)
        prediction->sigmoid = metasd_index_sigmoid(image, id[1]);
    else if (prediction->asked == METASD_ASKED_HEAD)
        prediction->sigmoid = metasd_index_sigmoid(image, image->plan.relations + id[0]);
    metasd_candidates_choose(&prediction->candidates, prediction->n, scores);
    answer(prediction);
}

void
metasd_prediction_end(MetasdPrediction *prediction)
{
    pfree(prediction->scores);
    pfree(prediction->scratch);
}

/*
 * kg_predict(head, relation, k, model, known, candidates, candidate_ids, min_probability),
 * kg_predict_heads(relation, tail, ...), kg_predict_relations(head, tail, k, model, known): arguments
 * 0 and 1 are the places that are given.
 */
static Datum
predict(FunctionCallInfo fcinfo, MetasdAsked asked)
{
    bool relation_given[2] = {asked == METASD_ASKED_HEAD, asked == METASD_ASKED_TAIL};
    MetasdPrediction prediction = {.asked = asked};
    MetasdQuestion question;
    uint32 id[2];

    metasd_init_materialized_srf(fcinfo);
    if (metasd_any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        return (Datum)0;
    prediction.k = metasd_limit_argument(fcinfo, 2);
    prediction.mode = metasd_known_argument(fcinfo, 4);
    if (asked != METASD_ASKED_RELATION)
        prediction.least = metasd_least_argument(fcinfo, 7);
    question = metasd_question_open(fcinfo, 3);
    prediction.question = &question;
    if (asked != METASD_ASKED_RELATION)
        prediction.candidates = metasd_candidates_argument(&question, 5);
    for (int i = 0; i < 2; i++) {
        prediction.given[i] = metasd_label_argument(fcinfo, i);
        if (!metasd_question_find(&question, prediction.given[i], relation_given[i], &id[i]))
            return (Datum)0;
    }
    metasd_prediction_start(&prediction);
    metasd_prediction_answer(&prediction, id);
    metasd_prediction_end(&prediction);
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

/* kg_score(head, relation, tail, model) returns real */
Datum
metasd_kg_score(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 id[3];
    float *scratch, score;

    if (metasd_any_null(fcinfo, 0, 3))
        PG_RETURN_NULL();
    question = metasd_question_open(fcinfo, 3);
    for (int i = 0; i < 3; i++)
        if (!metasd_question_find(&question, metasd_label_argument(fcinfo, i), i == 1, &id[i]))
            PG_RETURN_NULL();
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    score = metasd_index_score(question.image, id[0], id[1], id[2], scratch);
    pfree(scratch);
    PG_RETURN_FLOAT4(score);
}

/* Leaves known tails of (head, relation) out of the scores, except one; returns how many are left. */
static uint32
leave_out_known(const MetasdQuestion *question, const MetasdLabel *given, uint32 except,
                float *scores)
{
    uint32 n = question->image->plan.entities, left = n;
    bool *known_ids;
    MetasdKnown known;

    if (!metasd_question_has_source(question))
        return left;
    known_ids = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    metasd_known_start(&known, question->model, METASD_ASKED_TAIL, given);
    metasd_known_mark_all(&known, metasd_question_labels(question, false), known_ids);
    for (uint32 e = 0; e < n; e++)
        if (known_ids[e] && e != except) {
            scores[e] = METASD_LEFT_OUT;
            left--;
        }
    pfree(known_ids);
    return left;
}

/* kg_rank(head, relation, tail, model): one row, or none where the model does not know one of them */
Datum
metasd_kg_rank(PG_FUNCTION_ARGS)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MetasdQuestion question;
    MetasdStanding tail;
    MetasdLabel label[3];
    uint32 id[3], candidates;
    float *scores, *scratch;
    Datum values[3];
    bool nulls[3] = {false};

    metasd_init_materialized_srf(fcinfo);
    if (metasd_any_null(fcinfo, 0, 3))
        return (Datum)0;
    question = metasd_question_open(fcinfo, 3);
    for (int i = 0; i < 3; i++) {
        label[i] = metasd_label_argument(fcinfo, i);
        if (!metasd_question_find(&question, label[i], i == 1, &id[i]))
            return (Datum)0;
    }
    scores =
        palloc_extended((size_t)question.image->plan.entities * sizeof(*scores), MCXT_ALLOC_HUGE);
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    metasd_index_scores_tails(question.image, id[0], id[1], scores, scratch);
    tail.score = scores[id[2]];
    candidates = leave_out_known(&question, label, id[2], scores);
    metasd_standings(question.image->plan.entities, scores, 1, &tail);
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
    uint32 entity, id, n, k, rank = 0, *ids;
    float *scores, *scratch, score;

    metasd_init_materialized_srf(fcinfo);
    if (metasd_any_null(fcinfo, 0, 2))
        return (Datum)0;
    k = metasd_limit_argument(fcinfo, 1);
    question = metasd_question_open(fcinfo, 2);
    if (!metasd_question_find(&question, metasd_label_argument(fcinfo, 0), false, &entity))
        return (Datum)0;
    n = question.image->plan.entities;
    scores = palloc_extended((size_t)n * sizeof(*scores), MCXT_ALLOC_HUGE);
    ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    metasd_index_scores_similar(question.image, entity, scores, scratch);
    metasd_topk_start(&topk, n, scores, ids);
    while (rank < k && metasd_topk_next(&topk, &id, &score)) {
        Datum values[3];
        bool nulls[3] = {false};
        MetasdLabel label;
        size_t len;

        if (id == entity)
            continue;
        label.data = metasd_index_entity_label(question.image, id, &len);
        label.len = (uint32)len;
        values[0] = Int32GetDatum((int32)++rank);
        values[1] = metasd_answer_datum(fcinfo, TupleDescAttr(result->setDesc, 1)->atttypid, label);
        values[2] = Float4GetDatum(score);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scores);
    pfree(ids);
    pfree(scratch);
    return (Datum)0;
}

/* kg_embedding(entity, model) returns real[] */
Datum
metasd_kg_embedding(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 entity, width;
    float *row;
    Datum *values;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    question = metasd_question_open(fcinfo, 1);
    if (!metasd_question_find(&question, metasd_label_argument(fcinfo, 0), false, &entity))
        PG_RETURN_NULL();
    width = question.image->plan.width;
    row = palloc(width * sizeof(*row));
    values = palloc(width * sizeof(*values));
    metasd_index_embedding(question.image, entity, row);
    for (uint32 i = 0; i < width; i++)
        values[i] = Float4GetDatum(row[i]);
    PG_RETURN_ARRAYTYPE_P(
        construct_array(values, (int)width, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}
