#include "pg/serve/known_batch.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "storage/buffile.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#include "pg/serve/known_cost.h"

/* The memory of a question, here and in the caller, and the largest number of questions. */
#define BYTES_PER_QUESTION 64
#define MOST_QUESTIONS (1 << 24)

#define BUFFER 2048 /* answers that are written to a file or read from it at once */

typedef struct Entry {
    uint64 given; /* both numbers */
    uint32 number;
    char status;
} Entry;

static uint32
hash_given(uint64 given)
{
    return hash_bytes((const unsigned char *)&given, sizeof(given));
}

#define SH_PREFIX askedhash
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE uint64
#define SH_KEY given
#define SH_HASH_KEY(table, key) hash_given(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Known answers are stored by question, those of one question by number: in memory or in a file.
 * They are sorted as (question << 32 | answer).
 */
struct MetasdKnownBatch {
    MemoryContext context;
    const MetasdQuestion *question;
    MetasdAsked asked;
    askedhash_hash *hash;
    uint32 count; /* questions */
    Tuplesortstate *sort;
    uint64 facts;    /* in the sort */
    uint64 *start;   /* count + 1: where the answers of each question start */
    uint32 *answers; /* NULL: they are in the file */
    BufFile *file;
    uint32 buffer[BUFFER];
};

static uint64
join_numbers(const uint32 id[2])
{
    return (uint64)id[0] << 32 | id[1];
}

uint32
metasd_known_batch_capacity(void)
{
    return (uint32)Min((uint64)work_mem * 1024 / BYTES_PER_QUESTION, MOST_QUESTIONS);
}

MetasdKnownBatch *
metasd_known_batch_create(const MetasdQuestion *question, MetasdAsked asked)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd known facts", ALLOCSET_DEFAULT_SIZES);
    MetasdKnownBatch *batch = MemoryContextAllocZero(context, sizeof(*batch));

    batch->context = context;
    batch->question = question;
    batch->asked = asked;
    batch->hash = askedhash_create(context, 64, NULL);
    return batch;
}

void
metasd_known_batch_add(MetasdKnownBatch *batch, const uint32 id[2])
{
    bool found;
    Entry *entry = askedhash_insert(batch->hash, join_numbers(id), &found);

    if (!found)
        entry->number = batch->count++;
}

/* ---- reading ---- */

/* Keeps a row of the source if it answers a question. */
static void
keep_answer(void *context, const MetasdTripleLabels *row)
{
    MetasdKnownBatch *batch = context;
    uint32 id[2], answer;
    const Entry *entry;

    if (!metasd_known_numbers(batch->question, batch->asked, row, id, NULL))
        return;
    entry = askedhash_lookup(batch->hash, join_numbers(id));
    if (!entry || !metasd_known_numbers(batch->question, batch->asked, row, NULL, &answer))
        return;
    tuplesort_putdatum(batch->sort, Int64GetDatum((int64)entry->number << 32 | answer), false);
    batch->facts++;
}

static void
write_buffer(MetasdKnownBatch *batch, uint32 n)
{
    BufFileWrite(batch->file, batch->buffer, n * sizeof(*batch->buffer));
    CHECK_FOR_INTERRUPTS();
}

/* Stores the sorted answers, each once. */
static void
store_answers(MetasdKnownBatch *batch)
{
    bool in_memory = batch->facts * sizeof(uint32) <= (size_t)work_mem * 1024 / 2;
    uint64 n = 0;
    uint32 next = 0; /* the first question whose start is unknown */
    int64 last = -1;
    Datum value;
    bool isnull;

    if (in_memory)
        batch->answers = palloc_extended((batch->facts + 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
    else
        batch->file = BufFileCreateTemp(false);
    while (metasd_tuplesort_getdatum(batch->sort, &value, &isnull)) {
        int64 one = DatumGetInt64(value);

        if (one == last)
            continue;
        last = one;
        while (next <= one >> 32)
            batch->start[next++] = n;
        if (in_memory)
            batch->answers[n++] = (uint32)one;
        else {
            batch->buffer[n++ % BUFFER] = (uint32)one;
            if (n % BUFFER == 0)
                write_buffer(batch, BUFFER);
        }
    }
    while (next <= batch->count)
        batch->start[next++] = n;
    if (!in_memory)
        write_buffer(batch, n % BUFFER);
}

/* The questions whose facts one query reads, and the bytes of their labels. */
#define MOST_ASKED 16384
#define MOST_BYTES ((size_t)32 << 20)

/* What some questions give at one place. */
typedef struct Values {
    int place;
    uint32 *ids;
    uint32 count;
} Values;

static bool
is_relation(const Values *values)
{
    return values->place == METASD_ASKED_RELATION;
}

static int
compare_ids(const void *a, const void *b)
{
    uint32 x = *(const uint32 *)a, y = *(const uint32 *)b;

    return x < y ? -1 : x > y;
}

/*
 * The values, each once, as an array of a column's type. A label that cannot be a value of the
 * column occurs in no fact.
 */
static Datum
build_array(const MetasdKnownBatch *batch, Oid type, Values *values)
{
    Datum *elements = palloc_extended(values->count * sizeof(*elements), MCXT_ALLOC_HUGE);
    int count = 0;
    int16 len;
    bool byval;
    char align;

    qsort(values->ids, values->count, sizeof(*values->ids), compare_ids);
    for (uint32 i = 0; i < values->count; i++)
        if ((i == 0 || values->ids[i] != values->ids[i - 1]) &&
            metasd_known_value(
                type, metasd_question_label(batch->question, is_relation(values), values->ids[i]),
                &elements[count]))
            count++;
    get_typlenbyvalalign(type, &len, &byval, &align);
    return PointerGetDatum(construct_array(elements, count, type, len, byval, align));
}

/* Reads the facts that have one of each given place's values; keep_answer chooses among them. */
static void
read_some(MetasdKnownBatch *batch, const MetasdSource *source, Values values[2])
{
    MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "metasd some questions",
                                               ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(each);
    Oid types[2];
    Datum arrays[2];
    MetasdFetchCondition condition = {.nargs = 2, .types = types, .values = arrays};

    for (int i = 0; i < 2; i++) {
        types[i] = get_array_type(source->type[values[i].place]);
        arrays[i] = build_array(batch, source->type[values[i].place], &values[i]);
        values[i].count = 0;
    }
    condition.sql = psprintf("%s OPERATOR(pg_catalog.=) ANY ($1) AND "
                             "%s OPERATOR(pg_catalog.=) ANY ($2)",
                             pstrdup(quote_identifier(source->column[values[0].place])),
                             quote_identifier(source->column[values[1].place]));
    (void)metasd_source_read_some(source, batch->question->model->owner, &condition, keep_answer,
                                  batch);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(each);
}

/* Adds a question; returns the bytes of its labels. */
static size_t
add_values(const MetasdKnownBatch *batch, Values values[2], const uint32 id[2])
{
    size_t bytes = 0;

    for (int i = 0; i < 2; i++) {
        values[i].ids[values[i].count++] = id[i];
        bytes += metasd_question_label(batch->question, is_relation(&values[i]), id[i]).len;
    }
    return bytes;
}

/* Reads the facts of all questions, those of many questions at once. */
static void
read_asked(MetasdKnownBatch *batch, const MetasdSource *source)
{
    uint32 most = Min(batch->count, MOST_ASKED);
    Values values[2] = {{.place = batch->asked == METASD_ASKED_HEAD ? 1 : 0},
                        {.place = batch->asked == METASD_ASKED_TAIL ? 1 : 2}};
    askedhash_iterator at;
    const Entry *entry;
    size_t bytes = 0;

    for (int i = 0; i < 2; i++)
        values[i].ids = palloc(most * sizeof(*values[i].ids));
    askedhash_start_iterate(batch->hash, &at);
    while ((entry = askedhash_iterate(batch->hash, &at)) != NULL) {
        uint32 id[2] = {(uint32)(entry->given >> 32), (uint32)entry->given};

        if (metasd_question_is_new(batch->question, is_relation(&values[0]), id[0]) ||
            metasd_question_is_new(batch->question, is_relation(&values[1]), id[1]))
            continue; /* its facts are looked up, as predictor.c says */
        bytes += add_values(batch, values, id);
        if (values[0].count == most || bytes > MOST_BYTES) {
            read_some(batch, source, values);
            bytes = 0;
        }
    }
    if (values[0].count > 0)
        read_some(batch, source, values);
}

static void
read_source(MetasdKnownBatch *batch, const MetasdSource *source, bool whole)
{
    const MetasdModel *model = batch->question->model;

    batch->start =
        palloc_extended(((size_t)batch->count + 1) * sizeof(*batch->start), MCXT_ALLOC_HUGE);
    batch->sort =
        tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false, work_mem, NULL, false);
    SPI_connect();
    if (whole)
        (void)metasd_source_read(source, model->owner, keep_answer, batch);
    else
        read_asked(batch, source);
    SPI_finish();
    tuplesort_performsort(batch->sort);
    store_answers(batch);
    tuplesort_end(batch->sort);
    batch->sort = NULL;
}

bool
metasd_known_batch_read(MetasdKnownBatch *batch)
{
    const MetasdModel *model = batch->question->model;
    MemoryContext before = MemoryContextSwitchTo(batch->context);
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);
    MetasdReadWay way = metasd_known_cost_choose(source, batch->asked, batch->count);

    if (way != METASD_READ_EACH)
        read_source(batch, source, way == METASD_READ_WHOLE);
    MemoryContextSwitchTo(before);
    return way != METASD_READ_EACH;
}

/* ---- answers ---- */

static void
read_buffer(MetasdKnownBatch *batch, uint32 n)
{
    if (BufFileRead(batch->file, batch->buffer, n * sizeof(*batch->buffer)) !=
        n * sizeof(*batch->buffer))
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not read known facts from a temporary file: %m")));
    CHECK_FOR_INTERRUPTS();
}

void
metasd_known_batch_mark(MetasdKnownBatch *batch, const uint32 id[2], bool *known_ids)
{
    const Entry *entry = askedhash_lookup(batch->hash, join_numbers(id));
    uint64 at = batch->start[entry->number], end = batch->start[entry->number + 1];

    if (batch->answers) {
        for (; at < end; at++)
            known_ids[batch->answers[at]] = true;
        return;
    }
    if (at < end && BufFileSeek(batch->file, 0, (off_t)(at * sizeof(uint32)), SEEK_SET) != 0)
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not seek known facts in a temporary file: %m")));
    while (at < end) {
        uint32 n = (uint32)Min(end - at, BUFFER);

        read_buffer(batch, n);
        for (uint32 i = 0; i < n; i++)
            known_ids[batch->buffer[i]] = true;
        at += n;
    }
}

void
metasd_known_batch_end(MetasdKnownBatch *batch)
{
    if (batch->file)
        BufFileClose(batch->file);
    MemoryContextDelete(batch->context);
}
