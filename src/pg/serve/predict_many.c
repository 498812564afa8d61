/*
 * predict_many.c - kg_predict_many: the answers to a batch of questions, as whole triples.
 *
 * Questions come from two arrays, or one by one from a cursor on a relation, read as the caller;
 * the answers go to the result's tuplestore, which spills to disk beyond work_mem. So memory does
 * not grow with the number of questions, and the model is looked up once. Questions that come again
 * are answered from memory, as long as that fits work_mem: in one statement their answers are the
 * same. Where known facts matter, questions wait until as many have come as work_mem has room for:
 * then those facts are read at once, if that takes less than to look them up.
 */
#include "pg/base/compat.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/serve/known_whole.h"
#include "pg/serve/predictor.h"
#include "pg/source/cursor.h"

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

/* A question that waits: its place among all, and the numbers of what is given. */
typedef struct Waiting {
    int64 query;
    uint32 id[2];
} Waiting;

typedef struct Elements {
    MetasdIdentifier *identifier;
    Datum *values;
    bool *nulls;
    int n;
} Elements;

typedef struct Batch {
    MetasdQuestion question;
    MetasdPredictor prediction;
    const Elements *entities, *relations; /* the questions, or NULL where they are in a relation */
    MemoryContext each;                   /* of one question */
    int64 count;                          /* questions so far */
    bool waits;                           /* until known facts are read */
    Waiting *waiting;                     /* room for so many, of most that may wait */
    uint32 waiting_count, room, most;
    MetasdAnswers kept; /* of this question */
    MemoryContext memory;
    HTAB *answered; /* of questions so far, up to work_mem */
} Batch;

/* A question: what is given, NULL where it is NULL. */
typedef struct BatchQuery {
    MetasdLabel entity, relation;
} BatchQuery;

bool
metasd_predict_heads_asked(FunctionCallInfo fcinfo, int n)
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
    const MetasdPredictor *prediction = &batch->prediction;
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

/* Nobody waits where there is nothing to look up. */
static void
start_waiting(Batch *batch)
{
    const MetasdPredictor *prediction = &batch->prediction;

    batch->waits = prediction->mode != METASD_KNOWN_INCLUDE && prediction->k > 0;
    batch->most = metasd_known_batch_room();
    batch->room = 64;
    batch->waiting = batch->waits ? palloc(batch->room * sizeof(*batch->waiting)) : NULL;
    batch->waiting_count = 0;
}

/* The last arguments: model, known, side, candidates, candidate_ids, min_probability. */
#define LAST_ARGUMENTS 6

/* Starts; argument K is k. False where an argument is NULL that must not be. */
static bool
start(Batch *batch, FunctionCallInfo fcinfo, int k)
{
    MetasdPredictor *prediction = &batch->prediction;
    int first = PG_NARGS() - LAST_ARGUMENTS;

    if (PG_ARGISNULL(k) || PG_ARGISNULL(first + 1) || PG_ARGISNULL(first + 2))
        return false;
    *prediction = (MetasdPredictor){.question = &batch->question, .given_columns = RANK};
    prediction->k = metasd_call_limit(fcinfo, k);
    prediction->mode = metasd_predictor_known_argument(fcinfo, first + 1);
    prediction->asked =
        metasd_predict_heads_asked(fcinfo, first + 2) ? METASD_ASKED_HEAD : METASD_ASKED_TAIL;
    prediction->answer_column = prediction->asked == METASD_ASKED_HEAD ? HEAD : TAIL;
    prediction->least = metasd_predictor_least_argument(fcinfo, first + 5);
    batch->question = metasd_question_open(fcinfo, first);
    prediction->candidates = metasd_candidates_argument(&batch->question, first + 3);
    metasd_predictor_start(prediction);
    batch->each =
        AllocSetContextCreate(CurrentMemoryContext, "metasd question", ALLOCSET_DEFAULT_SIZES);
    batch->entities = batch->relations = NULL;
    batch->count = 0;
    start_waiting(batch);
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

    return metasd_identifier_given(fcinfo, TupleDescAttr(row, n)->atttypid, label, n == RELATION);
}

/* Sets what is given: as labels, and as the values of the result that the question came with. */
static void
give(Batch *batch, int64 query, const uint32 id[2], Datum values[RANK])
{
    MetasdPredictor *prediction = &batch->prediction;
    int entity = prediction->asked == METASD_ASKED_HEAD; /* its place among what is given */

    for (int i = 0; i < 2; i++) {
        size_t len;

        prediction->given[i].data =
            metasd_label_get(metasd_question_labels(&batch->question, i != entity), id[i], &len);
        prediction->given[i].len = (uint32)len;
    }
    values[QUERY] = Int64GetDatum(query);
    if (batch->entities) {
        values[HEAD] = batch->entities->values[query - 1];
        values[RELATION] = batch->relations->values[batch->relations->n == 1 ? 0 : query - 1];
    } else {
        values[HEAD] = value_of(batch, prediction->given[entity], HEAD);
        values[RELATION] = value_of(batch, prediction->given[1 - entity], RELATION);
    }
    values[TAIL] = values[HEAD]; /* whichever is asked for: the answer */
    prediction->given_values = values;
}

/* Writes the answers to question QUERY, whose known facts FACTS has; NULL: they are looked up. */
static void
answer(Batch *batch, int64 query, const uint32 id[2], MetasdKnownBatch *facts)
{
    MetasdPredictor *prediction = &batch->prediction;
    const Answered *before = hash_search(batch->answered, id, HASH_FIND, NULL);
    Datum values[RANK];

    CHECK_FOR_INTERRUPTS();
    give(batch, query, id, values);
    if (before) {
        metasd_predictor_repeat(prediction, before->answers, before->count);
        return;
    }
    batch->kept.count = 0;
    batch->kept.whole = true;
    prediction->facts = facts;
    metasd_predictor_answer(prediction, id);
    keep(batch, id);
}

/* The known facts of those who wait, read at once; NULL where they had better be looked up. */
static MetasdKnownBatch *
read_facts(const Batch *batch)
{
    MetasdKnownBatch *facts;

    if (batch->waiting_count < 2 ||
        metasd_known_whole(&batch->question, batch->prediction.asked)) /* they are there already */
        return NULL;
    facts = metasd_known_batch_create(&batch->question, batch->prediction.asked);
    for (uint32 i = 0; i < batch->waiting_count; i++)
        if (!hash_search(batch->answered, batch->waiting[i].id, HASH_FIND, NULL))
            metasd_known_batch_add(facts, batch->waiting[i].id);
    if (metasd_known_batch_read(facts))
        return facts;
    metasd_known_batch_end(facts);
    return NULL;
}

/* Answers those who wait. */
static void
flush(Batch *batch)
{
    MemoryContext before = MemoryContextSwitchTo(MemoryContextGetParent(batch->each));
    MetasdKnownBatch *facts = read_facts(batch);

    MemoryContextSwitchTo(batch->each);
    for (uint32 i = 0; i < batch->waiting_count; i++) {
        answer(batch, batch->waiting[i].query, batch->waiting[i].id, facts);
        MemoryContextReset(batch->each);
    }
    MemoryContextSwitchTo(before);
    batch->waiting_count = 0;
    if (facts)
        metasd_known_batch_end(facts);
}

static void
postpone(Batch *batch, const uint32 id[2])
{
    if (batch->waiting_count == batch->room) {
        batch->room = Min(2 * batch->room, batch->most);
        batch->waiting = repalloc(batch->waiting, batch->room * sizeof(*batch->waiting));
    }
    batch->waiting[batch->waiting_count++] = (Waiting){.query = batch->count, .id = {id[0], id[1]}};
    if (batch->waiting_count == batch->most)
        flush(batch);
}

static void
ask(Batch *batch, const BatchQuery *query)
{
    int entity = batch->prediction.asked == METASD_ASKED_HEAD;
    uint32 id[2];

    CHECK_FOR_INTERRUPTS();
    batch->count++;
    if (!query->entity.data || !query->relation.data ||
        !metasd_question_find(&batch->question, query->entity, false, &id[entity]) ||
        !metasd_question_find(&batch->question, query->relation, true, &id[1 - entity]))
        return;
    if (batch->waits)
        postpone(batch, id);
    else
        answer(batch, batch->count, id, NULL);
}

/* Ends the batch: there are no more questions. */
static void
end(Batch *batch)
{
    flush(batch);
    metasd_predictor_end(&batch->prediction);
    if (batch->waiting)
        pfree(batch->waiting);
    pfree(batch->kept.list);
    MemoryContextDelete(batch->each);
    MemoryContextDelete(batch->memory);
}

/* ---- questions in arrays ---- */

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

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 2))
        return (Datum)0;
    entities = elements_argument(fcinfo, 0);
    relations = elements_argument(fcinfo, 1);
    if (relations.n != entities.n && relations.n != 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("the arrays of entities and relations have different lengths"),
                        errdetail("Their lengths are %d and %d.", entities.n, relations.n),
                        errhint("Give one relation for each entity, or one relation for all.")));
    if (!start(&batch, fcinfo, 2))
        return (Datum)0;
    batch.entities = &entities;
    batch.relations = &relations;
    before = MemoryContextSwitchTo(batch.each);
    for (int i = 0; i < entities.n; i++) {
        int r = relations.n == 1 ? 0 : i;
        BatchQuery query = {.entity = element_label(&entities, i),
                            .relation = element_label(&relations, r)};

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
    MetasdCursor reader;
    MemoryContext before;
    Batch batch;

    metasd_compat_init_materialized_srf(fcinfo);
    if (PG_ARGISNULL(0) || !start(&batch, fcinfo, 1))
        return (Datum)0;
    column[0] = question_column(&batch, PG_GETARG_OID(0),
                                batch.prediction.asked == METASD_ASKED_HEAD ? 2 : 0);
    column[1] = question_column(&batch, PG_GETARG_OID(0), 1);
    metasd_cursor_open(&reader, PG_GETARG_OID(0), column, 2, METASD_QUERIES);
    before = MemoryContextSwitchTo(batch.each);
    while (metasd_cursor_next(&reader, label)) {
        BatchQuery query = {.entity = label[0], .relation = label[1]};

        ask(&batch, &query);
        MemoryContextReset(batch.each);
    }
    MemoryContextSwitchTo(before);
    metasd_cursor_close(&reader);
    end(&batch);
    return (Datum)0;
}
