#include "pg/serve/newcomer_facts.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/catalog/statement.h"
#include "pg/serve/index_advice.h"
#include "pg/serve/known.h"
#include "pg/serve/known_plan.h"
#include "pg/serve/moment.h"
#include "pg/source/shard.h"
#include "pg/source/source.h"

/* Facts of a place that a row is made of, and rows that are read for them: more take time. */
#define MOST_FACTS 200
#define MOST_ROWS 1000

/*
 * Rows that are read for many labels at a place, as work_mem has room for so many bytes each: if
 * there are more, labels are looked up.
 */
#define MOST_ROWS_OF_MANY 50000
#define BYTES_PER_ROW 16
#define ROWS_PER_FETCH 1000

bool
metasd_newcomer_facts_are_readable(const MetasdModel *model)
{
    const MetasdRemembered *source = &model->serving_source;
    char *objection = metasd_source_objection(source, model->serving_column, model->owner);
    MetasdReading reading;

    if (objection && metasd_shard_runs_part())
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("facts of what is new to model \"%s\" cannot be looked up on this server",
                        model->name),
                 errdetail("%s This question is a part of a query of another server.", objection),
                 errhint("Train from a distributed table, which all servers know, ask for a table "
                         "of that server, or set metasd.fold_in to off on all servers.")));
    return !objection && metasd_reading_lock(source->oid) &&
           !metasd_reading_try(&reading, source->oid, model->owner, false);
}

static MetasdSource *
open_source(const MetasdQuestion *question)
{
    const MetasdModel *model = question->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);
    Oid shard = metasd_shard_of(source, NULL, NULL, 0);

    return shard == source->relation
               ? source
               : metasd_source_open(shard, model->serving_column, model->owner);
}

/* ---- rows of the source as facts ---- */

/* The label in column N of a row that SPI has found; data is NULL for NULL. */
static MetasdLabel
label_of(uint64 row, int n)
{
    bool isnull;
    Datum value = metasd_statement_value(row, n, &isnull);
    text *label = isnull ? NULL : DatumGetTextPP(value);

    return label ? (MetasdLabel){VARDATA_ANY(label), (uint32)VARSIZE_ANY_EXHDR(label)}
                 : (MetasdLabel){NULL, 0};
}

static bool
is_same_label(MetasdLabel a, MetasdLabel b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* The number of a label, which is at PLACE of a fact, if the model knows it. */
static bool
number_of(const MetasdQuestion *question, int place, MetasdLabel label, uint32 *id)
{
    return metasd_label_find(metasd_question_labels(question, place == METASD_ASKED_RELATION),
                             label.data, label.len, id);
}

static void
add_fact(MetasdNewcomerFacts *facts, MemoryContext context, int which, uint32 given, uint32 answer)
{
    if (facts->count[which] == facts->capacity[which]) {
        size_t capacity = Max(2 * facts->capacity[which], 8);
        size_t bytes = capacity * sizeof(*facts->list[which]);

        facts->list[which] = facts->list[which] ? repalloc(facts->list[which], bytes)
                                                : MemoryContextAlloc(context, bytes);
        facts->capacity[which] = capacity;
    }
    facts->list[which][facts->count[which]++] = (MetasdFoldFact){given, answer};
}

/*
 * Adds a row that has LABEL at PLACE; `other` are the labels of the two other places. The facts are
 * in that memory context.
 */
static void
keep_row(const MetasdQuestion *question, MetasdNewcomerFacts *facts, MemoryContext context,
         MetasdLabel label, int place, const MetasdLabel other[2])
{
    int first = place == METASD_ASKED_HEAD ? 1 : 0, second = place == METASD_ASKED_TAIL ? 1 : 2;
    uint32 relations = question->image->plan.relations, id[2];

    if (!other[0].data || !other[1].data || other[0].len == 0 || other[1].len == 0)
        return;
    if (place == METASD_ASKED_RELATION && is_same_label(other[0], other[1]))
        facts->reflexive++;
    if (place == METASD_ASKED_TAIL && is_same_label(other[0], label))
        return; /* it has been read as a fact of the head */
    if (!number_of(question, first, other[0], &id[0]) ||
        !number_of(question, second, other[1], &id[1])) {
        facts->others++;
        return;
    }
    switch (place) {
        case METASD_ASKED_HEAD: /* it asks for the tail */
            add_fact(facts, context, 0, id[0], id[1]);
            break;
        case METASD_ASKED_TAIL: /* it asks for the head, which is a tail of the reciprocal */
            add_fact(facts, context, 0, relations + id[1], id[0]);
            break;
        default:
            add_fact(facts, context, 0, id[0], id[1]);
            add_fact(facts, context, 1, id[1], id[0]);
    }
}

static void
sort_facts(MetasdNewcomerFacts *facts)
{
    for (int i = 0; i < 2; i++)
        if (facts->count[i] > 0)
            facts->count[i] = metasd_fold_sort(facts->list[i], facts->count[i]);
}

/* SELECT the two other places FROM source, for the condition that comes next. */
static StringInfoData
start_lookup(const MetasdSource *source, int place, bool itself)
{
    int first = place == METASD_ASKED_HEAD ? 1 : 0, second = place == METASD_ASKED_TAIL ? 1 : 2;
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s::pg_catalog.text, ", quote_identifier(source->column[first]));
    appendStringInfo(&sql, "%s::pg_catalog.text", quote_identifier(source->column[second]));
    if (itself)
        appendStringInfo(&sql, ", %s::pg_catalog.text", quote_identifier(source->column[place]));
    appendStringInfo(&sql, " FROM %s WHERE ", source->quoted);
    return sql;
}

/* ---- one label ---- */

/* Reads one row more than is of use. */
static void
look_up(const MetasdQuestion *question, MetasdSource *source, MetasdNewcomerFacts *facts,
        MetasdLabel label, int place)
{
    MemoryContext context = CurrentMemoryContext;
    Oid types[METASD_KNOWN_PARAMETERS] = {source->type[place], source->type[place],
                                          source->type[place]};
    Datum values[METASD_KNOWN_PARAMETERS] = {0};
    size_t most = facts->count[0] + MOST_FACTS;
    StringInfoData sql;
    uint64 i;

    if (!metasd_known_value(source->type[place], label, &values[0]))
        return;
    sql = start_lookup(source, place, false);
    metasd_known_append_condition(&sql, source, place, 1);
    appendStringInfo(&sql, " LIMIT %d", MOST_ROWS + 1);
    SPI_connect();
    METASD_READING_BEGIN(&source->reading);
    if (SPI_execute_plan(metasd_known_plan(&source->reading, sql.data, types), values, " nn", true,
                         0) != SPI_OK_SELECT)
        elog(ERROR, "could not look up the facts of a newcomer");
    for (i = 0; i < Min(SPI_processed, MOST_ROWS) && facts->count[0] < most; i++) {
        MetasdLabel other[2] = {label_of(i, 1), label_of(i, 2)};

        keep_row(question, facts, context, label, place, other);
    }
    facts->some_left = facts->some_left || i < SPI_processed;
    METASD_READING_END();
    SPI_finish();
}

static void
advise_indexes(const MetasdSource *source)
{
    metasd_index_advise(source, METASD_ASKED_TAIL);
    metasd_index_advise(source, METASD_ASKED_HEAD);
}

static const MetasdNewcomerFacts *
look_up_label(const MetasdQuestion *question, MetasdLabel label, bool relation)
{
    MetasdNewcomerFacts *facts = palloc0(sizeof(*facts));
    MetasdSource *source = open_source(question);

    if (relation)
        look_up(question, source, facts, label, METASD_ASKED_RELATION);
    else {
        advise_indexes(source);
        look_up(question, source, facts, label, METASD_ASKED_HEAD);
        look_up(question, source, facts, label, METASD_ASKED_TAIL);
    }
    sort_facts(facts);
    return facts;
}

/* ---- many labels ---- */

typedef struct Entry {
    MetasdLabel label;
    MetasdNewcomerFacts facts;
    uint32 rows;   /* read at this place */
    bool too_many; /* it must be looked up */
    char status;
} Entry;

static uint32
hash_label(MetasdLabel label)
{
    return hash_bytes((const unsigned char *)label.data, (int)label.len);
}

#define SH_PREFIX aheadhash
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE MetasdLabel
#define SH_KEY label
#define SH_HASH_KEY(table, key) hash_label(key)
#define SH_EQUAL(table, a, b) is_same_label(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Of one version and one moment each. */
typedef struct Ahead {
    MemoryContext context; /* NULL: nothing has been read */
    MetasdMoment moment;
    pg_uuid_t version;
    aheadhash_hash *hash;
} Ahead;

struct MetasdNewcomersAhead {
    MemoryContext context;
    Ahead of[2]; /* entities, relations */
};

MetasdNewcomersAhead *
metasd_newcomer_facts_ahead(MemoryContext context)
{
    MetasdNewcomersAhead *ahead = MemoryContextAllocZero(context, sizeof(*ahead));

    ahead->context = context;
    return ahead;
}

static void
forget(Ahead *ahead)
{
    if (ahead->context)
        MemoryContextDelete(ahead->context);
    *ahead = (Ahead){.context = NULL};
}

void
metasd_newcomer_facts_forget(MetasdNewcomersAhead *ahead)
{
    for (int i = 0; i < 2; i++)
        forget(&ahead->of[i]);
}

/* Keeps the rows found, each for its label. */
static void
keep_rows(const MetasdQuestion *question, Ahead *ahead, int place)
{
    for (uint64 i = 0; i < SPI_processed; i++) {
        MetasdLabel other[2] = {label_of(i, 1), label_of(i, 2)}, label = label_of(i, 3);
        Entry *entry = label.data ? aheadhash_lookup(ahead->hash, label) : NULL;

        if (!entry) /* equal to one of the labels, but of other bytes */
            continue;
        if (++entry->rows > MOST_FACTS)
            entry->too_many = true;
        else
            keep_row(question, &entry->facts, ahead->context, label, place, other);
    }
    SPI_freetuptable(SPI_tuptable);
}

/* Reads facts with the labels at PLACE. False if there are too many. */
static bool
read_place(const MetasdQuestion *question, MetasdSource *source, Ahead *ahead,
           const MetasdLabel *labels, uint32 n, int place)
{
    Oid types[METASD_KNOWN_PARAMETERS] = {get_array_type(source->type[place]), source->type[place],
                                          source->type[place]};
    Datum values[METASD_KNOWN_PARAMETERS] = {metasd_known_array(source->type[place], labels, n)};
    StringInfoData sql = start_lookup(source, place, true);
    aheadhash_iterator at;
    uint64 most = Min(MOST_ROWS_OF_MANY, (uint64)work_mem * 1024 / BYTES_PER_ROW);
    uint64 rows = 0, fetched;
    Entry *entry;
    Portal portal;

    appendStringInfo(&sql, "%s OPERATOR(pg_catalog.=) ANY ($1)",
                     quote_identifier(source->column[place]));
    aheadhash_start_iterate(ahead->hash, &at);
    while ((entry = aheadhash_iterate(ahead->hash, &at)) != NULL)
        entry->rows = 0;
    SPI_connect();
    METASD_READING_BEGIN(&source->reading);
    portal = SPI_cursor_open(NULL, metasd_known_plan(&source->reading, sql.data, types), values,
                             " nn", true);
    do {
        CHECK_FOR_INTERRUPTS();
        SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
        fetched = SPI_processed;
        keep_rows(question, ahead, place);
        rows += fetched;
    } while (fetched > 0 && rows <= most);
    SPI_cursor_close(portal);
    METASD_READING_END();
    SPI_finish();
    return rows <= most;
}

static void
start_ahead(const MetasdQuestion *question, Ahead *ahead, MemoryContext parent,
            const MetasdLabel *labels, uint32 n)
{
    ahead->context = AllocSetContextCreate(parent, "metasd facts ahead", ALLOCSET_DEFAULT_SIZES);
    ahead->moment = metasd_moment_now();
    ahead->version = question->model->uuid;
    ahead->hash = aheadhash_create(ahead->context, n, NULL);
    for (uint32 i = 0; i < n; i++) {
        bool there;
        Entry *entry = aheadhash_insert(ahead->hash, labels[i], &there);
        char *data;

        if (there)
            continue;
        data = MemoryContextAllocHuge(ahead->context, Max(labels[i].len, 1));
        memcpy(data, labels[i].data, labels[i].len);
        entry->label.data = data;
        entry->facts = (MetasdNewcomerFacts){.others = 0};
        entry->too_many = false;
    }
}

void
metasd_newcomer_facts_read(const MetasdQuestion *question, MetasdNewcomersAhead *ahead,
                           const MetasdLabel *labels, uint32 n, bool relation)
{
    static const int places[2][2] = {{METASD_ASKED_HEAD, METASD_ASKED_TAIL},
                                     {METASD_ASKED_RELATION}};
    Ahead *of = &ahead->of[relation];
    MetasdSource *source = open_source(question);
    bool all = true;
    aheadhash_iterator at;
    Entry *entry;

    forget(of);
    start_ahead(question, of, ahead->context, labels, n);
    if (!relation)
        advise_indexes(source);
    for (int i = 0; i < 2 - relation && all; i++)
        all = read_place(question, source, of, labels, n, places[relation][i]);
    if (!all) {
        forget(of);
        return;
    }
    aheadhash_start_iterate(of->hash, &at);
    while ((entry = aheadhash_iterate(of->hash, &at)) != NULL)
        sort_facts(&entry->facts);
}

const MetasdNewcomerFacts *
metasd_newcomer_facts_find(const MetasdQuestion *question, const MetasdNewcomersAhead *ahead,
                           MetasdLabel label, bool relation)
{
    const Ahead *of = ahead ? &ahead->of[relation] : NULL;
    const Entry *entry = NULL;

    if (of && of->context && metasd_moment_lasts(&of->moment) &&
        memcmp(&of->version, &question->model->uuid, sizeof(of->version)) == 0)
        entry = aheadhash_lookup(of->hash, label);
    return entry && !entry->too_many ? &entry->facts : look_up_label(question, label, relation);
}
