/*
 * predict_many.c - kg_predict_many: the answers to a batch of questions, as whole triples.
 *
 * Questions come from two arrays, or from a cursor on a relation that is read with the caller's
 * rights. The answers go to the tuplestore of the result, which spills to disk beyond work_mem. So
 * memory does not grow with the number of questions, and the model is looked up once. Repeated
 * questions are answered from memory while that fits in work_mem: within one statement they have
 * the same answers. If known facts matter, questions wait until work_mem is full of them. Then the
 * facts are read at once, if that is cheaper than to look them up. Some questions are scored
 * together, because they read the same image. Where the model does not know what some give, they
 * are taken together, too, so that one query or two read the facts of all that is new.
 */
#include "pg/base/compat.h"

#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/serve/call_site.h"
#include "pg/serve/identifier.h"
#include "pg/serve/known_whole.h"
#include "pg/serve/newcomer.h"
#include "pg/serve/predictor.h"
#include "pg/source/cursor.h"

PG_FUNCTION_INFO_V1(metasd_kg_predict_many);
PG_FUNCTION_INFO_V1(metasd_kg_predict_many_of);

/* The first columns of the result: the number of the question, the triple, the rank. */
enum { QUERY, HEAD, RELATION, TAIL, RANK };

/* A question that has been answered, and its answers. */
typedef struct Answered {
    uint32 id[2];
    uint32 count;
    MetasdAnswer *answers;
} Answered;

/* A question that waits: its number among all, and the numbers of its given places. */
typedef struct Waiting {
    int64 query;
    uint32 id[2];
} Waiting;

/* A question; data is NULL for an identifier that is NULL. */
typedef struct BatchQuery {
    MetasdLabel entity, relation;
} BatchQuery;

/* Questions that have been read, but not yet taken. */
typedef struct Read {
    MemoryContext context; /* of their labels */
    BatchQuery *list;      /* METASD_MOST_AHEAD */
    uint32 count;
    size_t bytes;
} Read;

typedef struct Batch {
    MetasdQuestion question;
    MetasdPredictor predictor;
    /* The questions, or NULL if they are in a relation. */
    const MetasdIdentifierArray *entities, *relations;
    Read read;
    MemoryContext each; /* of one question */
    int64 count;        /* questions so far */
    bool waits;         /* questions wait: for known facts, or to be scored together */
    Waiting *waiting;
    uint32 waiting_count, capacity, most; /* `most` questions may wait */
    uint32 (*scored)[2];                  /* predictor.most: those that were scored together */
    uint32 scored_count;
    MetasdAnswers answers; /* to this question */
    MemoryContext memory;
    HTAB *answered; /* questions so far, up to work_mem */
} Batch;

/* Questions often repeat: triples that differ only in the answer ask the same question. */
static void
start_memory(Batch *batch)
{
    HASHCTL control = {.keysize = sizeof(uint32[2]), .entrysize = sizeof(Answered)};
    const MetasdPredictor *predictor = &batch->predictor;
    size_t most = Min((size_t)work_mem * 1024 / 4, MaxAllocSize) / sizeof(MetasdAnswer);

    batch->memory =
        AllocSetContextCreate(CurrentMemoryContext, "metasd answers", ALLOCSET_DEFAULT_SIZES);
    control.hcxt = batch->memory;
    batch->answered =
        hash_create("metasd answers", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    batch->answers.capacity = (uint32)Min(
        Min(predictor->k, (uint64)predictor->n + predictor->candidates.newcomers), most);
    batch->answers.list = palloc(Max(batch->answers.capacity, 1) * sizeof(*batch->answers.list));
    batch->predictor.copy = &batch->answers;
}

/* Without facts to look up, no more questions wait than are scored together. */
static void
start_waiting(Batch *batch)
{
    const MetasdPredictor *predictor = &batch->predictor;

    batch->waits = predictor->k > 0;
    batch->most =
        predictor->mode == METASD_KNOWN_INCLUDE ? predictor->most : metasd_known_batch_capacity();
    batch->capacity = Min(64, batch->most);
    batch->scored = palloc(predictor->most * sizeof(*batch->scored));
    batch->scored_count = 0;
    batch->waiting = batch->waits ? palloc(batch->capacity * sizeof(*batch->waiting)) : NULL;
    batch->waiting_count = 0;
}

/* The last arguments: model, known, side, candidates, candidate_ids, min_probability. */
#define LAST_ARGUMENTS 6

/* Starts a batch; argument K is k. False if an argument is NULL that must not be. */
static bool
start_batch(Batch *batch, FunctionCallInfo fcinfo, int k)
{
    MetasdPredictor *predictor = &batch->predictor;
    int first = PG_NARGS() - LAST_ARGUMENTS;

    if (PG_ARGISNULL(k) || PG_ARGISNULL(first + 1) || PG_ARGISNULL(first + 2))
        return false;
    *predictor =
        (MetasdPredictor){.question = &batch->question, .given_columns = RANK, .many = true};
    predictor->k = metasd_call_limit(fcinfo, k);
    predictor->mode = metasd_predictor_known_argument(fcinfo, first + 1);
    predictor->asked =
        metasd_call_side_is_head(fcinfo, first + 2) ? METASD_ASKED_HEAD : METASD_ASKED_TAIL;
    predictor->answer_column = predictor->asked == METASD_ASKED_HEAD ? HEAD : TAIL;
    predictor->least_probability = metasd_predictor_least_argument(fcinfo, first + 5);
    batch->question = metasd_question_open(fcinfo, first);
    predictor->candidates = metasd_candidates_argument(&batch->question, first + 3);
    metasd_predictor_start(predictor);
    batch->each =
        AllocSetContextCreate(CurrentMemoryContext, "metasd question", ALLOCSET_DEFAULT_SIZES);
    batch->entities = batch->relations = NULL;
    batch->count = 0;
    batch->read = (Read){.context = AllocSetContextCreate(CurrentMemoryContext, "metasd questions",
                                                          ALLOCSET_DEFAULT_SIZES),
                         .list = palloc(METASD_MOST_AHEAD * sizeof(*batch->read.list))};
    start_waiting(batch);
    start_memory(batch);
    return true;
}

/* Remembers the answers to a question if there is room. */
static void
remember_answers(Batch *batch, const uint32 id[2])
{
    const MetasdAnswers *answers = &batch->answers;
    size_t bytes = answers->count * sizeof(*answers->list);
    Answered *entry;

    if (!answers->complete ||
        MemoryContextMemAllocated(batch->memory, true) + bytes > (size_t)work_mem * 1024)
        return;
    entry = hash_search(batch->answered, id, HASH_ENTER, NULL);
    entry->count = answers->count;
    entry->answers = MemoryContextAlloc(batch->memory, Max(bytes, 1));
    memcpy(entry->answers, answers->list, bytes);
}

/* A label as a value of column N of the result. */
static Datum
convert_given(const Batch *batch, MetasdLabel label, int n)
{
    FunctionCallInfo fcinfo = batch->question.fcinfo;
    TupleDesc row = ((ReturnSetInfo *)fcinfo->resultinfo)->setDesc;

    return metasd_identifier_given(fcinfo, TupleDescAttr(row, n)->atttypid, label, n == RELATION);
}

/* Sets the given places: as labels, and as values of the result. */
static void
set_given(Batch *batch, int64 query, const uint32 id[2], Datum values[RANK])
{
    MetasdPredictor *predictor = &batch->predictor;
    int entity = predictor->asked == METASD_ASKED_HEAD; /* its index among the given places */

    for (int i = 0; i < 2; i++)
        predictor->given[i] = metasd_question_label(&batch->question, i != entity, id[i]);
    values[QUERY] = Int64GetDatum(query);
    if (batch->entities) {
        values[HEAD] = batch->entities->values[query - 1];
        values[RELATION] = batch->relations->values[batch->relations->n == 1 ? 0 : query - 1];
    } else {
        values[HEAD] = convert_given(batch, predictor->given[entity], HEAD);
        values[RELATION] = convert_given(batch, predictor->given[1 - entity], RELATION);
    }
    values[TAIL] = values[HEAD]; /* the answer overwrites one of them */
    predictor->given_values = values;
}

/* The place of a question among those scored together; their number if it is not there. */
static uint32
find_scored(const Batch *batch, const uint32 id[2])
{
    uint32 i = 0;

    while (i < batch->scored_count && memcmp(batch->scored[i], id, sizeof(uint32[2])) != 0)
        i++;
    return i;
}

/* Scores the next questions that wait, from FIRST on, each once. Returns where the others are. */
static uint32
score_waiting(Batch *batch, uint32 first)
{
    uint32 next = first;

    batch->scored_count = 0;
    for (; next < batch->waiting_count && batch->scored_count < batch->predictor.most; next++) {
        const uint32 *id = batch->waiting[next].id;

        if (find_scored(batch, id) == batch->scored_count &&
            !hash_search(batch->answered, id, HASH_FIND, NULL))
            memcpy(batch->scored[batch->scored_count++], id, sizeof(*batch->scored));
    }
    metasd_predictor_score(&batch->predictor, batch->scored, batch->scored_count);
    return next;
}

/*
 * Answers question number QUERY, which was answered before or has been scored. FACTS has its known
 * facts; NULL: they are looked up.
 */
static void
answer_question(Batch *batch, int64 query, const uint32 id[2], MetasdKnownBatch *facts)
{
    MetasdPredictor *predictor = &batch->predictor;
    const Answered *before = hash_search(batch->answered, id, HASH_FIND, NULL);
    Datum values[RANK];

    CHECK_FOR_INTERRUPTS();
    set_given(batch, query, id, values);
    if (before) {
        metasd_predictor_repeat(predictor, before->answers, before->count);
        return;
    }
    batch->answers.count = 0;
    batch->answers.complete = true;
    predictor->facts = facts;
    metasd_predictor_answer_scored(predictor, id, find_scored(batch, id));
    remember_answers(batch, id);
}

/* The known facts of the waiting questions, read at once; NULL if lookups are cheaper. */
static MetasdKnownBatch *
read_facts(const Batch *batch)
{
    MetasdKnownBatch *facts;

    if (batch->waiting_count < 2 || batch->predictor.mode == METASD_KNOWN_INCLUDE ||
        metasd_known_whole_prepare(&batch->question, batch->predictor.asked))
        return NULL;
    facts = metasd_known_batch_create(&batch->question, batch->predictor.asked);
    for (uint32 i = 0; i < batch->waiting_count; i++)
        if (!hash_search(batch->answered, batch->waiting[i].id, HASH_FIND, NULL))
            metasd_known_batch_add(facts, batch->waiting[i].id);
    if (metasd_known_batch_read(facts))
        return facts;
    metasd_known_batch_end(facts);
    return NULL;
}

/* Answers the waiting questions. */
static void
answer_waiting(Batch *batch)
{
    MemoryContext before = MemoryContextSwitchTo(MemoryContextGetParent(batch->each));
    MetasdKnownBatch *facts = read_facts(batch);

    MemoryContextSwitchTo(batch->each);
    for (uint32 i = 0, scored = 0; i < batch->waiting_count; i++) {
        if (i == scored)
            scored = score_waiting(batch, i);
        answer_question(batch, batch->waiting[i].query, batch->waiting[i].id, facts);
        MemoryContextReset(batch->each);
    }
    MemoryContextSwitchTo(before);
    batch->waiting_count = 0;
    if (facts)
        metasd_known_batch_end(facts);
}

static void
postpone_question(Batch *batch, const uint32 id[2])
{
    if (batch->waiting_count == batch->capacity) {
        batch->capacity = Min(2 * batch->capacity, batch->most);
        batch->waiting = repalloc(batch->waiting, batch->capacity * sizeof(*batch->waiting));
    }
    batch->waiting[batch->waiting_count++] = (Waiting){.query = batch->count, .id = {id[0], id[1]}};
    if (batch->waiting_count == batch->most)
        answer_waiting(batch);
}

/* Answers the next question of the batch, or lets it wait. */
static void
add_question(Batch *batch, const BatchQuery *query)
{
    int entity = batch->predictor.asked == METASD_ASKED_HEAD;
    uint32 id[2];

    CHECK_FOR_INTERRUPTS();
    batch->count++;
    if (query->entity.data && query->relation.data &&
        metasd_question_find(&batch->question, query->entity, false, &id[entity]) &&
        metasd_question_find(&batch->question, query->relation, true, &id[1 - entity])) {
        if (batch->waits) /* else no answers are wanted */
            postpone_question(batch, id);
    }
    if (metasd_newcomer_too_many(&batch->question)) { /* questions that wait may be about them */
        answer_waiting(batch);
        metasd_newcomer_start(&batch->question);
    }
}

/* ---- questions that are read ---- */

/* Reads the facts of what is new in the questions that were read. */
static void
read_newcomers(const Batch *batch)
{
    const Read *read = &batch->read;
    MetasdLabel *labels = palloc(read->count * sizeof(*labels));

    for (int relation = 0; relation < 2; relation++) {
        for (uint32 i = 0; i < read->count; i++)
            labels[i] = relation ? read->list[i].relation : read->list[i].entity;
        metasd_newcomer_read_ahead(&batch->question, labels, read->count, relation);
    }
    pfree(labels);
}

/* Takes the questions that were read. */
static void
take_read(Batch *batch)
{
    Read *read = &batch->read;
    MemoryContext before;

    if (read->count == 0)
        return;
    before = MemoryContextSwitchTo(batch->each);
    if (batch->waits)
        read_newcomers(batch);
    for (uint32 i = 0; i < read->count; i++) {
        add_question(batch, &read->list[i]);
        MemoryContextReset(batch->each);
    }
    MemoryContextSwitchTo(before);
    MemoryContextReset(read->context);
    read->count = 0;
    read->bytes = 0;
}

static MetasdLabel
keep_label(Read *read, MetasdLabel label)
{
    char *data;

    if (!label.data)
        return label;
    data = MemoryContextAllocHuge(read->context, Max(label.len, 1));
    memcpy(data, label.data, label.len);
    read->bytes += label.len;
    return (MetasdLabel){data, label.len};
}

/* Reads a question, whose labels may go. */
static void
read_question(Batch *batch, const BatchQuery *query)
{
    Read *read = &batch->read;

    read->list[read->count++] = (BatchQuery){.entity = keep_label(read, query->entity),
                                             .relation = keep_label(read, query->relation)};
    if (read->count == METASD_MOST_AHEAD || read->bytes > METASD_MOST_AHEAD_BYTES)
        take_read(batch);
}

static void
end_batch(Batch *batch)
{
    take_read(batch);
    answer_waiting(batch);
    metasd_newcomer_end_ahead(&batch->question);
    metasd_predictor_end(&batch->predictor);
    if (batch->waiting)
        pfree(batch->waiting);
    pfree(batch->scored);
    pfree(batch->answers.list);
    pfree(batch->read.list);
    MemoryContextDelete(batch->read.context);
    MemoryContextDelete(batch->each);
    MemoryContextDelete(batch->memory);
}

/* ---- questions in arrays ---- */

/*
 * kg_predict_many(entities, relations, k, model, known, side, candidates, candidate_ids,
 * min_probability)
 */
Datum
metasd_kg_predict_many(PG_FUNCTION_ARGS)
{
    MetasdIdentifierArray entities, relations;
    MemoryContext before;
    Batch batch;

    metasd_compat_init_materialized_srf(fcinfo);
    if (metasd_call_any_null(fcinfo, 0, 2))
        return (Datum)0;
    entities = metasd_identifier_array(fcinfo, 0, PG_GETARG_ARRAYTYPE_P(0));
    relations = metasd_identifier_array(fcinfo, 1, PG_GETARG_ARRAYTYPE_P(1));
    if (relations.n != entities.n && relations.n != 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("the arrays of entities and relations have different lengths"),
                        errdetail("Their lengths are %d and %d.", entities.n, relations.n),
                        errhint("Give one relation for each entity, or one relation for all.")));
    if (!start_batch(&batch, fcinfo, 2))
        return (Datum)0;
    batch.entities = &entities;
    batch.relations = &relations;
    before = MemoryContextSwitchTo(batch.each);
    for (int i = 0; i < entities.n; i++) {
        int r = relations.n == 1 ? 0 : i;
        BatchQuery query = {.entity = metasd_identifier_element(&entities, i),
                            .relation = metasd_identifier_element(&relations, r)};

        read_question(&batch, &query);
        MemoryContextReset(batch.each);
    }
    MemoryContextSwitchTo(before);
    end_batch(&batch);
    return (Datum)0;
}

/* ---- questions in a relation ---- */

/*
 * The name of column PLACE of the questions: head, relation or tail; or the name in the model's
 * source if the questions have only that.
 */
static const char *
choose_column(const Batch *batch, Oid queries, int place)
{
    static const char *const names[] = {"head", "relation", "tail"};
    const char *source = batch->question.model->serving_column[place];

    return get_attnum(queries, names[place]) <= 0 && get_attnum(queries, source) > 0 ? source
                                                                                     : names[place];
}

/*
 * kg_predict_many(queries, k, model, known, side, candidates, candidate_ids, min_probability)
 *
 * After k there may be identifiers, and after these relation_identifiers, which only tell their
 * types.
 */
Datum
metasd_kg_predict_many_of(PG_FUNCTION_ARGS)
{
    const char *column[2];
    MetasdLabel label[2];
    MetasdCursor cursor;
    MemoryContext before;
    Batch batch;

    metasd_compat_init_materialized_srf(fcinfo);
    if (PG_ARGISNULL(0) || !start_batch(&batch, fcinfo, 1))
        return (Datum)0;
    column[0] =
        choose_column(&batch, PG_GETARG_OID(0), batch.predictor.asked == METASD_ASKED_HEAD ? 2 : 0);
    column[1] = choose_column(&batch, PG_GETARG_OID(0), 1);
    metasd_cursor_open(&cursor, PG_GETARG_OID(0), column, 2, METASD_QUERIES);
    before = MemoryContextSwitchTo(batch.each);
    while (metasd_cursor_next(&cursor, label)) {
        BatchQuery query = {.entity = label[0], .relation = label[1]};

        read_question(&batch, &query);
        MemoryContextReset(batch.each);
    }
    MemoryContextSwitchTo(before);
    metasd_cursor_close(&cursor);
    end_batch(&batch);
    return (Datum)0;
}
