#include "pg/survey/sorted_facts.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "port/pg_bswap.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "pg/serve/known.h"
#include "pg/source/source.h"

struct MetasdSortedFacts {
    Tuplesortstate *sort;
    uint64 count;
    bool started;
    MetasdAnsweredQuestion last;
};

/*
 * A pair is sorted as a uuid: 16 bytes that PostgreSQL compares as it compares strings, the first
 * eight as one number. So numbers are written with their highest byte first.
 */
static void
pack(const MetasdAnsweredQuestion *one, pg_uuid_t *packed)
{
    uint32 words[4] = {pg_hton32(one->row), pg_hton32(one->entity), pg_hton32(one->answer), 0};

    memcpy(packed, words, sizeof(words));
}

static void
unpack(const pg_uuid_t *packed, MetasdAnsweredQuestion *one)
{
    uint32 words[4];

    memcpy(words, packed, sizeof(words));
    *one = (MetasdAnsweredQuestion){
        .row = pg_ntoh32(words[0]), .entity = pg_ntoh32(words[1]), .answer = pg_ntoh32(words[2])};
}

void
metasd_sorted_facts_add(MetasdSortedFacts *facts, const MetasdAnsweredQuestion *one)
{
    pg_uuid_t packed;

    pack(one, &packed);
    tuplesort_putdatum(facts->sort, UUIDPGetDatum(&packed), false);
    facts->count++;
}

MetasdSortedFacts *
metasd_sorted_facts_create(void)
{
    MetasdSortedFacts *facts = palloc0(sizeof(*facts));
    TypeCacheEntry *uuid = lookup_type_cache(UUIDOID, TYPECACHE_LT_OPR);

    facts->sort =
        tuplesort_begin_datum(UUIDOID, uuid->lt_opr, InvalidOid, false, work_mem, NULL, false);
    return facts;
}

/* The state of reading the source. */
typedef struct Reading {
    const MetasdQuestion *question;
    const MetasdFactChoice *choice;
    MetasdSortedFacts *facts, *subjects;
} Reading;

/* Keeps a row of the source if it answers a question that counts. */
static void
keep_fact(void *context, const MetasdTripleLabels *row)
{
    const Reading *reading = context;
    const MetasdFactChoice *choice = reading->choice;
    uint32 relations = reading->question->image->plan.relations;
    uint32 given[2], tail; /* of (head, relation, ?) */

    if (!metasd_known_numbers(reading->question, METASD_ASKED_TAIL, row, given, &tail)) {
        if (choice->unknown)
            choice->unknown(choice->context, row);
        return;
    }
    if (choice->relation != METASD_ANY && choice->relation != given[1])
        return;
    if (choice->tails)
        metasd_sorted_facts_add(
            reading->facts,
            &(MetasdAnsweredQuestion){.row = given[1], .entity = given[0], .answer = tail});
    if (choice->heads)
        metasd_sorted_facts_add(
            reading->facts, &(MetasdAnsweredQuestion){
                                .row = given[1] + relations, .entity = tail, .answer = given[0]});
    if (reading->subjects)
        metasd_sorted_facts_add(reading->subjects,
                                &(MetasdAnsweredQuestion){.row = given[0], .entity = given[1]});
}

void
metasd_sorted_facts_read(MetasdSortedFacts *facts, const MetasdQuestion *question,
                         const MetasdFactChoice *choice, MetasdSortedFacts *subjects)
{
    const MetasdModel *model = question->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);
    Reading reading = {
        .question = question, .choice = choice, .facts = facts, .subjects = subjects};

    SPI_connect();
    (void)metasd_source_read(source, model->owner, keep_fact, &reading);
    SPI_finish();
}

uint64
metasd_sorted_facts_count(const MetasdSortedFacts *facts)
{
    return facts->count;
}

void
metasd_sorted_facts_sort(MetasdSortedFacts *facts)
{
    tuplesort_performsort(facts->sort);
}

bool
metasd_sorted_facts_next(MetasdSortedFacts *facts, MetasdAnsweredQuestion *one)
{
    Datum value;
    bool isnull;

    while (metasd_tuplesort_getdatum(facts->sort, &value, &isnull)) {
        CHECK_FOR_INTERRUPTS();
        unpack(DatumGetUUIDP(value), one);
        metasd_tuplesort_free(value);
        if (facts->started && memcmp(one, &facts->last, sizeof(*one)) == 0)
            continue;
        facts->started = true;
        facts->last = *one;
        return true;
    }
    return false;
}

void
metasd_sorted_facts_end(MetasdSortedFacts *facts)
{
    tuplesort_end(facts->sort);
    pfree(facts);
}
