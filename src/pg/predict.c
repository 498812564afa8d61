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
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "ask.h"
#include "cache.h"
#include "calibrate.h"
#include "catalog.h"
#include "known.h"
#include "labels.h"
#include "standing.h"
#include "topk.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict);
PG_FUNCTION_INFO_V1(metasd_kg_predict_heads);
PG_FUNCTION_INFO_V1(metasd_kg_predict_relations);
PG_FUNCTION_INFO_V1(metasd_kg_score);
PG_FUNCTION_INFO_V1(metasd_kg_rank);
PG_FUNCTION_INFO_V1(metasd_kg_similar);
PG_FUNCTION_INFO_V1(metasd_kg_embedding);

#define MOST_IDENTIFIERS 3

/* Candidates looked up as known facts at once: at first, and how that grows. */
#define FIRST_PROBE METASD_FIELD_KNOWN
#define PROBE_GROWTH 4

/* ---- identifiers ---- */

/* Kept in fn_extra for one call site of one query. */
typedef struct CallSite {
    FmgrInfo output[MOST_IDENTIFIERS]; /* of the arguments' types; fn_oid 0 until needed */
    Oid type[MOST_IDENTIFIERS];
    FmgrInfo input; /* of the answers' type */
    Oid answer_type, answer_parameter;
    bool noticed; /* the NOTICE about unknown identifiers has been given */
} CallSite;

static CallSite *
call_site(FunctionCallInfo fcinfo)
{
    if (!fcinfo->flinfo->fn_extra)
        fcinfo->flinfo->fn_extra =
            MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CallSite));
    return fcinfo->flinfo->fn_extra;
}

/* The label that argument N stands for: what its type writes. */
static MetasdLabel
label_argument(FunctionCallInfo fcinfo, int n)
{
    CallSite *site = call_site(fcinfo);
    char *text;

    if (!OidIsValid(site->type[n])) {
        Oid type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, n)), output;
        bool varlena;

        if (!OidIsValid(type))
            elog(ERROR, "could not determine the type of argument %d", n + 1);
        getTypeOutputInfo(type, &output, &varlena);
        fmgr_info_cxt(output, &site->output[n], fcinfo->flinfo->fn_mcxt);
        site->type[n] = type;
    }
    if (site->type[n] == TEXTOID || site->type[n] == VARCHAROID || site->type[n] == BPCHAROID) {
        struct varlena *value = PG_GETARG_VARLENA_PP(n);
        char *data = VARDATA_ANY(value);
        int len = (int)VARSIZE_ANY_EXHDR(value);

        if (site->type[n] == BPCHAROID) /* its padding means nothing */
            len = bpchartruelen(data, len);
        return (MetasdLabel){.data = data, .len = (uint32)len};
    }
    text = OutputFunctionCall(&site->output[n], PG_GETARG_DATUM(n));
    return (MetasdLabel){.data = text, .len = (uint32)strlen(text)};
}

/* An answer on its way to the caller's type. */
typedef struct Answer {
    Oid type;
    MetasdLabel label;
} Answer;

static void
answer_context(void *argument)
{
    const Answer *answer = argument;

    errcontext("answer \"%.*s\" as %s, the type of the identifier in the question; asked with "
               "text, the answers are text",
               pg_mbcliplen(answer->label.data, (int)answer->label.len, 200), answer->label.data,
               format_type_be(answer->type));
}

/* An answer as a value of the type that the caller gets. */
static Datum
answer_datum(FunctionCallInfo fcinfo, Oid type, MetasdLabel label)
{
    CallSite *site = call_site(fcinfo);
    Answer answer = {.type = type, .label = label};
    ErrorContextCallback callback = {
        .previous = error_context_stack, .callback = answer_context, .arg = &answer};
    Datum value;

    if (type == TEXTOID || type == VARCHAROID)
        return PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
    if (site->answer_type != type) {
        Oid input;

        getTypeInputInfo(type, &input, &site->answer_parameter);
        fmgr_info_cxt(input, &site->input, fcinfo->flinfo->fn_mcxt);
        site->answer_type = type;
    }
    error_context_stack = &callback;
    value = InputFunctionCall(&site->input, pnstrdup(label.data, label.len), site->answer_parameter,
                              -1);
    error_context_stack = callback.previous;
    return value;
}

/* ---- questions ---- */

typedef struct Question {
    FunctionCallInfo fcinfo;
    MetasdModel *model;
    const MetasdIndex *image;
} Question;

static Question
open_question(FunctionCallInfo fcinfo, int model_argument)
{
    Question question = {.fcinfo = fcinfo};
    char *name =
        PG_ARGISNULL(model_argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(model_argument));

    question.model = metasd_model_to_ask(name);
    question.image = metasd_cache_image(question.model);
    return question;
}

static const MetasdLabels *
labels_of(const Question *question, bool relation)
{
    return relation ? &question->image->relation_labels : &question->image->entity_labels;
}

/* The number of an entity or relation; a NOTICE, and false, if the model does not know it. */
static bool
find_label(const Question *question, MetasdLabel label, bool relation, uint32 *id)
{
    CallSite *site = call_site(question->fcinfo);

    if (metasd_labels_find(labels_of(question, relation), label.data, label.len, id))
        return true;
    if (!site->noticed) {
        site->noticed = true;
        ereport(NOTICE, (errmsg("%s \"%.*s\" is not known to model \"%s\"",
                                relation ? "relation" : "entity",
                                pg_mbcliplen(label.data, (int)label.len, 200), label.data,
                                question->model->name),
                         errhint("It learns what its source holds when it is trained again.")));
    }
    return false;
}

static bool
any_null(FunctionCallInfo fcinfo, int first, int end)
{
    for (int i = first; i < end; i++)
        if (PG_ARGISNULL(i))
            return true;
    return false;
}

static uint32
limit_argument(FunctionCallInfo fcinfo, int n)
{
    int32 k = PG_GETARG_INT32(n);

    if (k < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("k must not be negative"),
                        errhint("k is the number of answers wanted.")));
    return (uint32)k;
}

/* ---- answers ---- */

typedef enum KnownMode { KNOWN_EXCLUDE, KNOWN_MARK, KNOWN_INCLUDE } KnownMode;

static KnownMode
known_argument(FunctionCallInfo fcinfo, int n)
{
    char *mode = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(mode, "exclude") == 0)
        return KNOWN_EXCLUDE;
    if (strcmp(mode, "mark") == 0)
        return KNOWN_MARK;
    if (strcmp(mode, "include") == 0)
        return KNOWN_INCLUDE;
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for known: \"%s\"", mode),
         errhint("It must be \"exclude\" (the default: answers that are facts of the source are "
                 "left out), \"mark\" or \"include\".")));
}

/* What a prediction is made of. */
typedef struct Prediction {
    const Question *question;
    MetasdAsked asked;
    MetasdLabel given[2]; /* the other two places, in order */
    uint32 n;             /* candidates */
    float *scores;        /* n */
    uint32 k;
    KnownMode mode;
    MetasdSigmoid sigmoid; /* makes probabilities of the scores, */
    MetasdField field;     /* with the candidates that compete */
} Prediction;

static void
put_answer(const Prediction *prediction, uint32 rank, uint32 id, float score, bool known)
{
    FunctionCallInfo fcinfo = prediction->question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    Oid type = TupleDescAttr(result->setDesc, 1)->atttypid;
    Datum values[5];
    bool nulls[5] = {false};
    MetasdLabel label;
    size_t len;

    label.data = metasd_labels_get(
        labels_of(prediction->question, prediction->asked == METASD_ASKED_RELATION), id, &len);
    label.len = (uint32)len;
    values[0] = Int32GetDatum((int32)rank);
    values[1] = answer_datum(fcinfo, type, label);
    values[2] = Float4GetDatum(score);
    nulls[3] = known; /* no prediction */
    if (!known)
        values[3] = Float4GetDatum((float)metasd_probability(
            prediction->sigmoid, metasd_field_odds(&prediction->field, score)));
    values[4] = BoolGetDatum(known);
    nulls[4] = prediction->mode == KNOWN_INCLUDE;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Writes the k best candidates that are not known facts (or all, by mode). Facts are
 * looked up for a few candidates at a time: a group may have thousands, and most
 * questions are answered by the first few.
 */
static void
answer(Prediction *prediction)
{
    const Question *question = prediction->question;
    const MetasdLabels *labels = labels_of(question, prediction->asked == METASD_ASKED_RELATION);
    bool look = prediction->mode != KNOWN_INCLUDE;
    uint32 n = prediction->n, rank = 0;
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
    while (rank < prediction->k) {
        uint32 taken = 0;
        float score;

        while (taken < probe && taken < n && metasd_topk_next(&topk, &ids[taken], &score))
            taken++;
        if (taken == 0)
            break;
        if (look)
            metasd_known_mark(&known, labels, ids, taken, known_ids);
        for (uint32 i = 0; i < taken; i++)
            metasd_field_show(&prediction->field, prediction->scores[ids[i]], known_ids[ids[i]]);
        for (uint32 i = 0; i < taken && rank < prediction->k; i++)
            if (prediction->mode != KNOWN_EXCLUDE || !known_ids[ids[i]])
                put_answer(prediction, ++rank, ids[i], prediction->scores[ids[i]],
                           known_ids[ids[i]]);
        probe *= PROBE_GROWTH;
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scratch);
    pfree(ids);
    pfree(known_ids);
}

/* A source that has been dropped has no facts to leave out. */
static KnownMode
possible_mode(const Question *question, KnownMode mode)
{
    CallSite *site = call_site(question->fcinfo);

    if (mode == KNOWN_INCLUDE || get_rel_relkind(question->model->serving_source) != '\0')
        return mode;
    if (!site->noticed) {
        site->noticed = true;
        ereport(NOTICE, (errmsg("the source of model \"%s\" does not exist any more",
                                question->model->name),
                         errdetail("Known facts cannot be told from predictions.")));
    }
    return KNOWN_INCLUDE;
}

/*
 * kg_predict(head, relation, k, model, known), kg_predict_heads(relation, tail, ...),
 * kg_predict_relations(head, tail, ...): arguments 0 and 1 are the places that are given.
 */
static Datum
predict(FunctionCallInfo fcinfo, MetasdAsked asked)
{
    bool relation_given[2] = {asked == METASD_ASKED_HEAD, asked == METASD_ASKED_TAIL};
    Prediction prediction = {.asked = asked, .sigmoid = metasd_uncalibrated};
    Question question;
    uint32 id[2], relations;
    float *scratch;

    metasd_init_materialized_srf(fcinfo);
    if (any_null(fcinfo, 0, 3) || PG_ARGISNULL(4))
        return (Datum)0;
    prediction.k = limit_argument(fcinfo, 2);
    prediction.mode = known_argument(fcinfo, 4);
    question = open_question(fcinfo, 3);
    prediction.question = &question;
    for (int i = 0; i < 2; i++) {
        prediction.given[i] = label_argument(fcinfo, i);
        if (!find_label(&question, prediction.given[i], relation_given[i], &id[i]))
            return (Datum)0;
    }
    prediction.mode = possible_mode(&question, prediction.mode);
    relations = question.image->plan.relations;
    prediction.n = asked == METASD_ASKED_RELATION ? relations : question.image->plan.entities;
    prediction.scores = palloc_extended((size_t)prediction.n * sizeof(float), MCXT_ALLOC_HUGE);
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    if (asked == METASD_ASKED_TAIL)
        metasd_index_scores_tails(question.image, id[0], id[1], prediction.scores, scratch);
    else if (asked == METASD_ASKED_HEAD) /* the tails of the reciprocal relation */
        metasd_index_scores_tails(question.image, id[1], relations + id[0], prediction.scores,
                                  scratch);
    else
        metasd_index_scores_relations(question.image, id[0], id[1], prediction.scores, scratch);
    if (asked != METASD_ASKED_RELATION)
        prediction.sigmoid = metasd_index_sigmoid(
            question.image, asked == METASD_ASKED_TAIL ? id[1] : relations + id[0]);
    answer(&prediction);
    pfree(prediction.scores);
    pfree(scratch);
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
    Question question;
    uint32 id[3];
    float *scratch, score;

    if (any_null(fcinfo, 0, 3))
        PG_RETURN_NULL();
    question = open_question(fcinfo, 3);
    for (int i = 0; i < 3; i++)
        if (!find_label(&question, label_argument(fcinfo, i), i == 1, &id[i]))
            PG_RETURN_NULL();
    scratch = palloc(3 * (size_t)question.image->plan.width * sizeof(*scratch));
    score = metasd_index_score(question.image, id[0], id[1], id[2], scratch);
    pfree(scratch);
    PG_RETURN_FLOAT4(score);
}

/* Leaves known tails of (head, relation) out of the scores, except one; returns how many are left. */
static uint32
leave_out_known(const Question *question, const MetasdLabel *given, uint32 except, float *scores)
{
    uint32 n = question->image->plan.entities, left = n;
    bool *known_ids;
    MetasdKnown known;

    if (possible_mode(question, KNOWN_EXCLUDE) == KNOWN_INCLUDE)
        return left;
    known_ids = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    metasd_known_start(&known, question->model, METASD_ASKED_TAIL, given);
    metasd_known_mark_all(&known, labels_of(question, false), known_ids);
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
    Question question;
    MetasdStanding tail;
    MetasdLabel label[3];
    uint32 id[3], candidates;
    float *scores, *scratch;
    Datum values[3];
    bool nulls[3] = {false};

    metasd_init_materialized_srf(fcinfo);
    if (any_null(fcinfo, 0, 3))
        return (Datum)0;
    question = open_question(fcinfo, 3);
    for (int i = 0; i < 3; i++) {
        label[i] = label_argument(fcinfo, i);
        if (!find_label(&question, label[i], i == 1, &id[i]))
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
    Question question;
    MetasdTopk topk;
    uint32 entity, id, n, k, rank = 0, *ids;
    float *scores, *scratch, score;

    metasd_init_materialized_srf(fcinfo);
    if (any_null(fcinfo, 0, 2))
        return (Datum)0;
    k = limit_argument(fcinfo, 1);
    question = open_question(fcinfo, 2);
    if (!find_label(&question, label_argument(fcinfo, 0), false, &entity))
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
        values[1] = answer_datum(fcinfo, TupleDescAttr(result->setDesc, 1)->atttypid, label);
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
    Question question;
    uint32 entity, width;
    float *row;
    Datum *values;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    question = open_question(fcinfo, 1);
    if (!find_label(&question, label_argument(fcinfo, 0), false, &entity))
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
