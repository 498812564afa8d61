/*
 * newcomer.c - entities and relations that the model does not know, by their facts.
 *
 * Facts are looked up in the live source as known facts are: with the rights of the model's owner,
 * under the snapshot of the query. So who may ask the model learns nothing that he may not read.
 */
#include "pg/serve/newcomer.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/serve/fold.h"
#include "pg/base/interruptible.h"
#include "pg/base/settings.h"
#include "pg/catalog/statement.h"
#include "pg/serve/call_site.h"
#include "pg/serve/index_advice.h"
#include "pg/serve/known.h"
#include "pg/serve/known_plan.h"
#include "pg/serve/moment.h"
#include "pg/source/shard.h"
#include "pg/source/source.h"

/* Facts of a place that a row is made of, and rows that are read for them: more take time. */
#define MOST_FACTS 200
#define MOST_ROWS 1000

/* Labels without facts that a call site remembers, each for 130 bytes: there is no end of them. */
#define MOST_NOBODIES 100

/* Bytes of a sample that a session keeps. */
#define MOST_KEPT_SAMPLE ((size_t)1024 * 1024)

/* A relation is irreflexive if fewer than 1 in so many facts lead from an entity to itself. */
#define IRREFLEXIVE 100

typedef struct Newcomer {
    MetasdLabel label;
    const float *row, *reciprocal; /* the latter of a relation */
    bool irreflexive;
    uint32 facts; /* that the row was made of */
} Newcomer;

typedef struct Key {
    MetasdLabel label;
    bool relation;
} Key;

typedef struct Entry {
    Key key;
    MetasdNewcomer found;
    char status;
} Entry;

static uint32
hash_key(Key key)
{
    return hash_bytes((const unsigned char *)key.label.data, (int)key.label.len) ^ key.relation;
}

static bool
is_same_label(MetasdLabel a, MetasdLabel b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool
is_same_key(Key a, Key b)
{
    return a.relation == b.relation && is_same_label(a.label, b.label);
}

#define SH_PREFIX newcomerhash
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE Key
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_key(key)
#define SH_EQUAL(table, a, b) is_same_key(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Those of one call site, for one version and one moment. */
struct MetasdNewcomers {
    MemoryContext context; /* of all that follows; NULL: there are none */
    MetasdMoment moment;
    pg_uuid_t version;
    newcomerhash_hash *hash;
    Newcomer *list;
    uint32 count, capacity;
    uint32 nobodies;         /* labels without facts in the hash table */
    uint32 first;            /* the serial number of the first in the list */
    MetasdFoldSample sample; /* one that is too large to be kept, or without rows */
};

/* ---- the newcomers of a call site ---- */

static struct MetasdNewcomers *
newcomers_of(const MetasdQuestion *question)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);

    if (!site->newcomers)
        site->newcomers =
            MemoryContextAllocZero(question->fcinfo->flinfo->fn_mcxt, sizeof(*site->newcomers));
    return site->newcomers;
}

bool
metasd_newcomer_too_many(const MetasdQuestion *question)
{
    const struct MetasdNewcomers *all = metasd_call_site(question->fcinfo)->newcomers;

    return all && all->context &&
           MemoryContextMemAllocated(all->context, true) > (Size)work_mem * 1024;
}

void
metasd_newcomer_start(const MetasdQuestion *question)
{
    struct MetasdNewcomers *all = metasd_call_site(question->fcinfo)->newcomers;

    if (!all || !all->context ||
        (metasd_moment_lasts(&all->moment) &&
         memcmp(&all->version, &question->model->uuid, sizeof(all->version)) == 0 &&
         !metasd_newcomer_too_many(question)))
        return;
    MemoryContextDelete(all->context);
    *all = (struct MetasdNewcomers){.first = all->first + all->count};
}

static void
open_newcomers(const MetasdQuestion *question, struct MetasdNewcomers *all)
{
    if (all->context)
        return;
    all->context = AllocSetContextCreate(question->fcinfo->flinfo->fn_mcxt, "metasd newcomers",
                                         ALLOCSET_DEFAULT_SIZES);
    all->moment = metasd_moment_now();
    all->version = question->model->uuid;
    all->hash = newcomerhash_create(all->context, 16, NULL);
}

static const Newcomer *
get_newcomer(const MetasdQuestion *question, bool relation, uint32 id)
{
    const struct MetasdNewcomers *all = newcomers_of(question);
    uint32 serial = id - metasd_question_labels(question, relation)->count;

    if (serial < all->first || serial - all->first >= all->count)
        elog(ERROR, "newcomer %u is not there any more", serial);
    return &all->list[serial - all->first];
}

MetasdLabel
metasd_newcomer_label(const MetasdQuestion *question, bool relation, uint32 id)
{
    return get_newcomer(question, relation, id)->label;
}

MetasdGiven
metasd_newcomer_given(const MetasdQuestion *question, bool relation, uint32 id, bool reciprocal)
{
    const Newcomer *one = get_newcomer(question, relation, id);

    return (MetasdGiven){
        .id = id, .row = reciprocal ? one->reciprocal : one->row, .irreflexive = one->irreflexive};
}

uint32
metasd_newcomer_facts(const MetasdQuestion *question, bool relation, uint32 id)
{
    return get_newcomer(question, relation, id)->facts;
}

/* ---- its facts ---- */

/* The facts of a label, as questions of its row; of a relation in both directions. */
typedef struct Facts {
    const MetasdQuestion *question;
    MetasdSource *source;
    MetasdLabel label;
    MetasdFoldFact *list[2]; /* of 2 x MOST_FACTS each; an entity has the first only */
    size_t count[2];
    uint32 others, reflexive;
    bool some_left;
} Facts;

/*
 * Can the model's owner read the source, without an error? What is new must not have answers on one
 * server and none on another.
 */
static bool
is_readable(const MetasdModel *model)
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

/* The number of a label, which is at PLACE of a fact, if the model knows it. */
static bool
number_of(const Facts *facts, int place, MetasdLabel label, uint32 *id)
{
    return metasd_label_find(
        metasd_question_labels(facts->question, place == METASD_ASKED_RELATION), label.data,
        label.len, id);
}

static void
add_fact(Facts *facts, int which, uint32 given, uint32 answer)
{
    facts->list[which][facts->count[which]++] = (MetasdFoldFact){given, answer};
}

/* Adds a row that has the label at PLACE; `other` are the labels of the two other places. */
static void
keep_row(Facts *facts, int place, const MetasdLabel other[2])
{
    int first = place == METASD_ASKED_HEAD ? 1 : 0, second = place == METASD_ASKED_TAIL ? 1 : 2;
    uint32 relations = facts->question->image->plan.relations, id[2];

    if (!other[0].data || !other[1].data || other[0].len == 0 || other[1].len == 0)
        return;
    if (place == METASD_ASKED_RELATION && is_same_label(other[0], other[1]))
        facts->reflexive++;
    if (place == METASD_ASKED_TAIL && is_same_label(other[0], facts->label))
        return; /* it has been read as a fact of the head */
    if (!number_of(facts, first, other[0], &id[0]) || !number_of(facts, second, other[1], &id[1])) {
        facts->others++;
        return;
    }
    switch (place) {
        case METASD_ASKED_HEAD: /* it asks for the tail */
            add_fact(facts, 0, id[0], id[1]);
            break;
        case METASD_ASKED_TAIL: /* it asks for the head, which is a tail of the reciprocal */
            add_fact(facts, 0, relations + id[1], id[0]);
            break;
        default:
            add_fact(facts, 0, id[0], id[1]);
            add_fact(facts, 1, id[1], id[0]);
    }
}

/* SELECT the two other places FROM source WHERE place = $1, one more than is of use. */
static char *
write_lookup(const MetasdSource *source, int place)
{
    int first = place == METASD_ASKED_HEAD ? 1 : 0, second = place == METASD_ASKED_TAIL ? 1 : 2;
    StringInfoData sql;

    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s::pg_catalog.text, ", quote_identifier(source->column[first]));
    appendStringInfo(&sql, "%s::pg_catalog.text FROM %s WHERE ",
                     quote_identifier(source->column[second]), source->quoted);
    metasd_known_append_condition(&sql, source, place, 1);
    appendStringInfo(&sql, " LIMIT %d", MOST_ROWS + 1);
    return sql.data;
}

static void
look_up(Facts *facts, int place)
{
    MetasdSource *source = facts->source;
    Oid types[METASD_KNOWN_PARAMETERS] = {source->type[place], source->type[place],
                                          source->type[place]};
    Datum values[METASD_KNOWN_PARAMETERS] = {0};
    size_t most = facts->count[0] + MOST_FACTS;
    uint64 i = 0;

    if (!metasd_known_value(source->type[place], facts->label, &values[0]))
        return;
    SPI_connect();
    metasd_reading_begin(&source->reading);
    if (SPI_execute_plan(metasd_known_plan(&source->reading, write_lookup(source, place), types),
                         values, " nn", true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not look up the facts of a newcomer");
    for (; i < Min(SPI_processed, MOST_ROWS) && facts->count[0] < most; i++) {
        MetasdLabel other[2] = {label_of(i, 1), label_of(i, 2)};

        keep_row(facts, place, other);
    }
    facts->some_left = facts->some_left || i < SPI_processed;
    metasd_reading_end(&source->reading);
    SPI_finish();
}

static Facts
find_facts(const MetasdQuestion *question, MetasdLabel label, bool relation)
{
    const MetasdModel *model = question->model;
    Facts facts = {.question = question,
                   .source = metasd_source_open(model->serving_source.oid, model->serving_column,
                                                model->owner),
                   .label = label};
    Oid shard = metasd_shard_of(facts.source, NULL, NULL, 0);

    if (shard != facts.source->relation)
        facts.source = metasd_source_open(shard, model->serving_column, model->owner);
    for (int i = 0; i < 2; i++)
        facts.list[i] = palloc(2 * MOST_FACTS * sizeof(*facts.list[i]));
    if (relation)
        look_up(&facts, METASD_ASKED_RELATION);
    else {
        metasd_index_advise(facts.source, METASD_ASKED_TAIL);
        look_up(&facts, METASD_ASKED_HEAD);
        metasd_index_advise(facts.source, METASD_ASKED_HEAD);
        look_up(&facts, METASD_ASKED_TAIL);
    }
    for (int i = 0; i < 2; i++)
        facts.count[i] = metasd_fold_sort(facts.list[i], facts.count[i]);
    return facts;
}

/* ---- its row ---- */

static MetasdArena
take_arena(MemoryContext context, const MetasdArena *measured)
{
    Size bytes = add_size(measured->used, METASD_ALIGN);

    if (!metasd_arena_ok(measured))
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("the rows of the model are too wide for this server")));
    return metasd_arena_over(MemoryContextAllocHuge(context, bytes), bytes);
}

/*
 * The sample of the version that this session asked last, if it is not large: to make one takes as
 * long as to make a row. It may go whenever another version is asked.
 */
static struct {
    MemoryContext context; /* NULL: there is none */
    pg_uuid_t version;
    MetasdFoldSample sample;
} kept;

/* A sample of the version's entities, to be used at once. */
static const MetasdFoldSample *
get_sample(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdTeam *team)
{
    MetasdArena arena = metasd_arena_measure();
    MemoryContext context = all->context;
    MetasdFoldSample sample;
    bool keep;

    if (all->sample.rows)
        return &all->sample;
    if (kept.context && memcmp(&kept.version, &question->model->uuid, sizeof(kept.version)) == 0)
        return &kept.sample;
    metasd_fold_sample_take(&arena, question->image, &sample);
    keep = metasd_arena_ok(&arena) && arena.used <= MOST_KEPT_SAMPLE;
    if (keep)
        context =
            AllocSetContextCreate(CurrentMemoryContext, "metasd sample", ALLOCSET_SMALL_SIZES);
    arena = take_arena(context, &arena);
    metasd_fold_sample_take(&arena, question->image, &sample);
    if (metasd_fold_sample_fill(question->image, team, &sample) != METASD_OK)
        elog(ERROR, "could not sample the entities of a model");
    if (!keep) {
        all->sample = sample;
        return &all->sample;
    }
    if (kept.context)
        MemoryContextDelete(kept.context);
    MemoryContextSetParent(context, TopMemoryContext);
    kept.context = context;
    kept.version = question->model->uuid;
    kept.sample = sample;
    return &kept.sample;
}

/* The row of facts, in the memory of the call site; NULL if there is none. */
static const float *
fold_facts(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdFoldKind kind,
           const MetasdFoldFact *facts, size_t n)
{
    const MetasdImage *image = question->image;
    const MetasdFoldSample *sample;
    MetasdTeam team = metasd_interruptible_team();
    MetasdArena arena = metasd_arena_measure();
    MetasdFold fold;
    float *row;

    if (n == 0)
        return NULL;
    sample = get_sample(question, all, &team);
    metasd_fold_take(&arena, sample, n, &fold);
    arena = take_arena(CurrentMemoryContext, &arena);
    metasd_fold_take(&arena, sample, n, &fold);
    row = MemoryContextAllocHuge(all->context, image->plan.width * sizeof(*row));
    return metasd_fold(image, sample, kind, facts, n, &fold, &team, row) == METASD_OK ? row : NULL;
}

/* ---- finding one ---- */

static MetasdLabel
copy_label(MemoryContext context, MetasdLabel label)
{
    char *data = MemoryContextAllocHuge(context, Max(label.len, 1));

    memcpy(data, label.data, label.len);
    return (MetasdLabel){data, label.len};
}

/* Adds a newcomer to the list; returns its serial number. */
static uint32
add_newcomer(struct MetasdNewcomers *all, const Newcomer *one)
{
    if (all->count == all->capacity) {
        uint32 capacity = Max(2 * all->capacity, 16);
        Newcomer *list = MemoryContextAllocHuge(all->context, capacity * sizeof(*list));

        if (all->count > 0)
            memcpy(list, all->list, all->count * sizeof(*list));
        all->list = list;
        all->capacity = capacity;
    }
    all->list[all->count] = *one;
    return all->first + all->count++;
}

/* Makes the rows of a newcomer, if it has facts. */
static MetasdNewcomer
make_newcomer(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdLabel label,
              bool relation)
{
    Facts facts = find_facts(question, label, relation);
    MetasdFoldKind kind = relation ? METASD_FOLD_RELATION : METASD_FOLD_ENTITY;
    MetasdNewcomer found = {.others = facts.others, .some_left = facts.some_left};
    uint32 known = metasd_question_labels(question, relation)->count;
    uint32 all_facts = (uint32)facts.count[0] + facts.others;
    Newcomer one = {.label = label, .facts = (uint32)facts.count[0]};

    one.row = fold_facts(question, all, kind, facts.list[0], facts.count[0]);
    one.reciprocal =
        relation ? fold_facts(question, all, kind, facts.list[1], facts.count[1]) : NULL;
    one.irreflexive = relation && facts.reflexive * IRREFLEXIVE < all_facts;
    if (!one.row || (relation && !one.reciprocal) ||
        all->first + all->count >= PG_UINT32_MAX - 1 - known)
        return found;
    found.facts = (uint32)facts.count[0];
    found.id = known + add_newcomer(all, &one);
    return found;
}

MetasdNewcomer
metasd_newcomer_find(const MetasdQuestion *question, MetasdLabel label, bool relation)
{
    struct MetasdNewcomers *all;
    MemoryContext scratch, before;
    MetasdNewcomer found;
    Entry *entry;
    Key key = {.label = label, .relation = relation};
    bool there;

    if (!metasd_fold_in || label.len == 0)
        return (MetasdNewcomer){0};
    all = newcomers_of(question);
    open_newcomers(question, all);
    entry = newcomerhash_lookup(all->hash, key);
    if (entry)
        return entry->found;
    key.label = copy_label(all->context, label);
    scratch =
        AllocSetContextCreate(CurrentMemoryContext, "metasd newcomer", ALLOCSET_DEFAULT_SIZES);
    before = MemoryContextSwitchTo(scratch);
    found = is_readable(question->model) ? make_newcomer(question, all, key.label, relation)
                                         : (MetasdNewcomer){0};
    MemoryContextSwitchTo(before);
    MemoryContextDelete(scratch);
    if (found.facts == 0 && all->nobodies++ >= MOST_NOBODIES) {
        pfree(unconstify(char *, key.label.data));
        return found;
    }
    entry = newcomerhash_insert(all->hash, key, &there);
    entry->found = found;
    return found;
}
