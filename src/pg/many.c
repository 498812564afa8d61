/*
 * many.c - kg_predict_many: the answers to a batch of questions, as whole triples.
 *
 * Questions come from two arrays, or one by one from a cursor on a relation, read as the caller;
 * the answers go to the result's tuplestore, which spills to disk beyond work_mem. So memory does
 * not grow with the number of questions, and the model is looked up once. Questions that come again
 * are answered from memory, as long as that fits work_mem: in one statement their answers are the
 * same.
 */
#include "compat.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "prediction.h"
#include "reader.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict_many);
PG_FUNCTION_INFO_V1(metasd_kg_predict_many_of);

/*
 * Columns of the result that say which triple it is, and whose question it answers; then come the
 * others.
 */
enum { QUERY, HEAD, RELATION, TAIL, RANK };

/* A question that has been answered, by numbers, and its answers. */
typedef struct Answered {
    uint32 id[2];
    uint32 count;
    MetasdAnswer *answers;
} Answered;

typedef struct Batch {
    MetasdQuestion question;
    MetasdPrediction prediction;
    MemoryContext each; /* of one question */
    int64 count;        /* questions so far */
    MetasdAnswers kept; /* of this question */
    MemoryContext memory;
    HTAB *answered; /* of questions so far, up to work_mem */
} Batch;

/*
 * A question: what is given as labels, NULL where it is NULL, and as values of the result, unless
 * these are to be made of the labels.
 */
typedef struct BatchQuery {
    MetasdLabel entity, relation;
    bool labels_only;
    Datum entity_value, relation_value;
} BatchQuery;

/* Argument N: are heads asked for, so that the entities given are tails? */
static bool
asks_heads(FunctionCallInfo fcinfo, int n)
{
    char *side = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(side, "tail") == 0)
        return false;
    if (strcmp(side, "head") == 0)
        return true;
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for side: \"%s\"", side),
         errhint("It must be \"tail\" (the default: tails of a head and a relation) or \"head\" "
                 "(heads of a relation and a tail).")));
}

/* The same question often comes again: triples that differ in the answer alone ask it. */
static void
start_memory(Batch *batch)
{
    HASHCTL control = {.keysize = sizeof(uint32[2]), .entrysize = sizeof(Answered)};
    const MetasdPrediction *prediction = &batch->prediction;
    size_t most = Min((size_t)work_mem * 1024 / 4, MaxAllocSize) / sizeof(MetasdAnswer);

    batch->memory =
        AllocSetContextCreate(CurrentMemoryContext, "metasd answers", ALLOCSET_DEFAULT_SIZES);
    control.hcxt = batch->memory;
    batch->answered =
        hash_create("metasd answers", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    batch->kept.room = (uint32)Min(Min(prediction->k, prediction->n), most);
    batch->kept.list = palloc(Max(batch->kept.room, 1) * sizeof(*batch->kept.list));
    batch->prediction.kept = &batch->kept;
}

/* The last arguments: model, known, side, candidates, candidate_ids, min_probability. */
#define LAST_ARGUMENTS 6

/* Starts; argument K is k. False where an argument is NULL that must not be. */
static bool
start(Batch *batch, FunctionCallInfo fcinfo, int k)
{
    MetasdPrediction *prediction = &batch->prediction;
    int first = PG_NARGS() - LAST_ARGUMENTS;

    if (PG_ARGISNULL(k) || PG_ARGISNULL(first + 1) || PG_ARGISNULL(first + 2))
        return false;
    *prediction = (MetasdPrediction){.question = &batch->question, .given_columns = RANK};
    prediction->k = metasd_limit_argument(fcinfo, k);
    prediction->mode = metasd_known_argument(fcinfo, first + 1);
    prediction->asked = asks_heads(fcinfo, first + 2) ? METASD_ASKED_HEAD : METASD_ASKED_TAIL;
    prediction->answer_column = prediction->asked == METASD_ASKED_HEAD ? HEAD : TAIL;
    prediction->least = metasd_least_argument(fcinfo, first + 5);
    batch->question = metasd_question_open(fcinfo, first);
    prediction->candidates = metasd_candidates_argument(&batch->question, first + 3);
    metasd_prediction_start(prediction);
    batch->each =
        AllocSetContextCreate(CurrentMemoryContext, "metasd question", ALLOCSET_DEFAULT_SIZES);
    batch->count = 0;
    start_memory(batch);
    return true;
}

/* Keeps the answers to a question, if there is room for them. */
static void
keep(Batch *batch, const uint32 id[2])
{
    const MetasdAnswers *kept = &batch->kept;
    size_t bytes = kept->count * sizeof(*kept->list);
    Answered *entry;

    if (!kept->whole ||
        MemoryContextMemAllocated(batch->memory, true) + bytes > (size_t)work_mem * 1024)
        return;
    entry = hash_search(batch->answered, id, HASH_ENTER, NULL);
    entry->count = kept->count;
    entry->answers = MemoryContextAlloc(batch->memory, Max(bytes, 1));
    memcpy(entry->answers, kept->list, bytes);
}

/* A label as a value of column N of the result. */
static Datum
value_of(const Batch *batch, MetasdLabel label, int n)
{
    FunctionCallInfo fcinfo = batch->question.fcinfo;
    TupleDesc row = ((ReturnSetInfo *)fcinfo->resultinfo)->setDesc;

    return metasd_given_datum(fcinfo, TupleDescAttr(row, n)->atttypid, label, n == RELATION);
}

static void
ask(Batch *batch, const BatchQuery *query)
{
    MetasdPrediction *prediction = &batch->prediction;
    int entity = prediction->asked == METASD_ASKED_HEAD; /* its place among what is given */
    Datum values[RANK] = {[QUERY] = Int64GetDatum(++batch->count),
                          [HEAD] = query->entity_value, /* or the answer, */
                          [RELATION] = query->relation_value,
                          [TAIL] = query->entity_value}; /* whichever is asked for */
    const Answered *before;
    uint32 id[2];

    CHECK_FOR_INTERRUPTS();
    if (!query->entity.data || !query->relation.data ||
        !metasd_question_find(&batch->question, query->entity, false, &id[entity]) ||
        !metasd_question_find(&batch->question, query->relation, true, &id[1 - entity]))
        return;
    if (query->labels_only) {
        values[HEAD] = values[TAIL] = value_of(batch, query->entity, HEAD);
        values[RELATION] = value_of(batch, query->relation, RELATION);
    }
    prediction->given[entity] = query->entity;
    prediction->given[1 - entity] = query->relation;
    prediction->given_values = values;
    before = hash_search(batch->answered, id, HASH_FIND, NULL);
    if (before) {
        metasd_prediction_repeat(prediction, before->answers, before->count);
        return;
    }
    batch->kept.count = 0;
    batch->kept.whole = true;
    metasd_prediction_answer(prediction, id);
    keep(batch, id);
}

static void
end(Batch *batch)
{
    metasd_prediction_end(&batch->prediction);
    pfree(batch->kept.list);
    MemoryContextDelete(batch->each);
    MemoryContextDelete(batch->memory);
}

/* ---- questions in arrays ---- */

typedef struct Elements {
    MetasdIdentifier *identifier;
    Datum *values;
    bool *nulls;
    int n;
} Elements;

static Elements
elements_argument(FunctionCallInfo fcinfo, int n)
{
    ArrayType *array = PG_GETARG_ARRAYTYPE_P(n);
    Oid type = ARR_ELEMTYPE(array);
    Elements elements = {.identifier = metasd_identifier(fcinfo, n, type)};
    int16 len;
    bool byval;
    char align;

    get_typlenbyvalalign(type, &len, &byval, &align);
    deconstruct_array(array, type, len, byval, align, &elements.values, &elements.nulls,
                      &elements.n);
    return elements;
}

static MetasdLabel
element_label(const Elements *elements, int i)
{
    MetasdLabel label = {NULL, 0};

    return elements->nulls[i] ? label
                              : metasd_identifier_label(elements->identifier, elements->values[i]);
}

/*
 * kg_predict_many(entities, relations, k, model, known, side, candidates, candidate_ids,
 * min_probability)
 */
Datum
metasd_kg_predict_many(PG_FUNCTION_ARGS)
{
    Elements entities, relations;
    MemoryContext before;
    Batch batch;

    metasd_init_materialized_srf(fcinfo);
    if (metasd_any_null(fcinfo, 0, 2))
        return (Datum)0;
    entities = elements_argument(fcinfo, 0);
    relations = elements_argument(fcinfo, 1);
    if (relations.n != entities.n && relations.n != 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("the arrays of entities and relations are not of one length"),
                        errdetail("Their lengths are %d and %d.", entities.n, relations.n),
                        errhint("Give a relation for each entity, or one for all.")));
    if (!start(&batch, fcinfo, 2))
        return (Datum)0;
    before = MemoryContextSwitchTo(batch.each);
    for (int i = 0; i < entities.n; i++) {
        int r = relations.n == 1 ? 0 : i;
        BatchQuery query = {.entity = element_label(&entities, i),
                            .relation = element_label(&relations, r),
                            .entity_value = entities.values[i],
                            .relation_value = relations.values[r]};

        ask(&batch, &query);
        MemoryContextReset(batch.each);
    }
    MemoryContextSwitchTo(before);
    end(&batch);
    return (Datum)0;
}

/* ---- questions in a relation ---- */

/*
 * The name of column PLACE of the questions: as the model's source calls it, where no other is
 * there.
 */
static const char *
question_column(const Batch *batch, Oid queries, int place)
{
    static const char *const names[] = {"head", "relation", "tail"};
    const char *source = batch->question.model->serving_column[place];

    return get_attnum(queries, names[place]) <= 0 && get_attnum(queries, source) > 0 ? source
                                                                                     : names[place];
}

/*
 * kg_predict_many(queries, k, model, known, side, candidates, candidate_ids, min_probability)
 *
 * After k there may be identifiers, and after these relation_identifiers, for nothing but their
 * types.
 */
Datum
metasd_kg_predict_many_of(PG_FUNCTION_ARGS)
{
    const char *column[2];
    MetasdLabel label[2];
    MetasdReader reader;
    MemoryContext before;
    Batch batch;

    metasd_init_materialized_srf(fcinfo);
    if (PG_ARGISNULL(0) || !start(&batch, fcinfo, 1))
        return (Datum)0;
    column[0] = question_column(&batch, PG_GETARG_OID(0),
                                batch.prediction.asked == METASD_ASKED_HEAD ? 2 : 0);
    column[1] = question_column(&batch, PG_GETARG_OID(0), 1);
    metasd_reader_open(&reader, PG_GETARG_OID(0), column, 2, "queries");
    before = MemoryContextSwitchTo(batch.each);
    while (metasd_reader_next(&reader, label)) {
        BatchQuery query = {.entity = label[0], .relation = label[1], .labels_only = true};

        ask(&batch, &query);
        MemoryContextReset(batch.each);
    }
    MemoryContextSwitchTo(before);
    metasd_reader_close(&reader);
    end(&batch);
    return (Datum)0;
}
