/*
 * newcomer.c - entities and relations that the model does not know, by rows that are made of their
 * facts (newcomer_facts.h).
 */
#include "pg/serve/newcomer.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/serve/fold.h"
#include "pg/base/interruptible.h"
#include "pg/base/settings.h"
#include "pg/serve/call_site.h"
#include "pg/serve/moment.h"
#include "pg/serve/newcomer_facts.h"

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
    bool complete;   /* no fact is missing below */
    uint32 others;   /* facts with others that are new */
    uint32 count[2]; /* facts that the rows were made of: of an entity, or of both directions */
    const MetasdFoldFact *facts[2];
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
is_same_key(Key a, Key b)
{
    return a.relation == b.relation && a.label.len == b.label.len &&
           memcmp(a.label.data, b.label.data, a.label.len) == 0;
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
    uint32 nobodies;             /* labels without facts in the hash table */
    uint32 first;                /* the serial number of the first in the list */
    MetasdFoldSample sample;     /* one that is too large to be kept, or without rows */
    MetasdNewcomersAhead *ahead; /* outlives the context; or NULL */
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
    *all = (struct MetasdNewcomers){.first = all->first + all->count, .ahead = all->ahead};
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
    return get_newcomer(question, relation, id)->count[0];
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

/* Writes the row of facts. False if there is none. */
static bool
fold_row(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdFoldKind kind,
         const MetasdFoldFact *facts, size_t n, float *row)
{
    const MetasdFoldSample *sample;
    MetasdTeam team = metasd_interruptible_team();
    MetasdArena arena = metasd_arena_measure();
    MetasdFold fold;

    if (n == 0)
        return false;
    sample = get_sample(question, all, &team);
    metasd_fold_take(&arena, sample, n, &fold);
    arena = take_arena(CurrentMemoryContext, &arena);
    metasd_fold_take(&arena, sample, n, &fold);
    return metasd_fold(question->image, sample, kind, facts, n, &fold, &team, row) == METASD_OK;
}

/* The row of facts, in the memory of the call site; NULL if there is none. */
static const float *
fold_facts(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdFoldKind kind,
           const MetasdFoldFact *facts, size_t n)
{
    float *row;

    if (n == 0)
        return NULL;
    row = MemoryContextAllocHuge(all->context, question->image->plan.width * sizeof(*row));
    return fold_row(question, all, kind, facts, n, row) ? row : NULL;
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

/* Keeps the facts of which a row was made. */
static void
keep_facts(MemoryContext context, Newcomer *one, const MetasdNewcomerFacts *facts)
{
    for (int i = 0; i < 2; i++) {
        Size bytes = facts->count[i] * sizeof(*facts->list[i]);
        MetasdFoldFact *copy = MemoryContextAlloc(context, Max(bytes, 1));

        if (bytes > 0)
            memcpy(copy, facts->list[i], bytes);
        one->facts[i] = copy;
        one->count[i] = (uint32)facts->count[i];
    }
}

/* Makes the rows of a newcomer, if it has facts. */
static MetasdNewcomer
make_newcomer(const MetasdQuestion *question, struct MetasdNewcomers *all, MetasdLabel label,
              bool relation)
{
    const MetasdNewcomerFacts *facts =
        metasd_newcomer_facts_find(question, all->ahead, label, relation);
    MetasdFoldKind kind = relation ? METASD_FOLD_RELATION : METASD_FOLD_ENTITY;
    MetasdNewcomer found = {.others = facts->others, .some_left = facts->some_left};
    uint32 known = metasd_question_labels(question, relation)->count;
    uint32 all_facts = (uint32)facts->count[0] + facts->others;
    Newcomer one = {.label = label, .complete = !facts->some_left, .others = facts->others};

    one.row = fold_facts(question, all, kind, facts->list[0], facts->count[0]);
    one.reciprocal =
        relation ? fold_facts(question, all, kind, facts->list[1], facts->count[1]) : NULL;
    one.irreflexive = relation && facts->reflexive * IRREFLEXIVE < all_facts;
    if (!one.row || (relation && !one.reciprocal) ||
        all->first + all->count >= PG_UINT32_MAX - 1 - known)
        return found;
    keep_facts(all->context, &one, facts);
    found.facts = one.count[0];
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
    found = metasd_newcomer_facts_are_readable(question->model)
                ? make_newcomer(question, all, key.label, relation)
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

/* Writes the facts of a row without one; returns their number. */
static uint32
copy_others(const Newcomer *one, bool reciprocal, MetasdFoldFact fact, MetasdFoldFact *others)
{
    uint32 n = 0;

    for (uint32 i = 0; i < one->count[reciprocal]; i++) {
        MetasdFoldFact other = one->facts[reciprocal][i];

        if (other.given != fact.given || other.answer != fact.answer)
            others[n++] = other;
    }
    return n;
}

bool
metasd_newcomer_row_without(const MetasdQuestion *question, bool relation, uint32 id,
                            bool reciprocal, MetasdFoldFact fact, float *row)
{
    const Newcomer *one = get_newcomer(question, relation, id);
    MetasdFoldKind kind = relation ? METASD_FOLD_RELATION : METASD_FOLD_ENTITY;
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "metasd newcomer", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(scratch);
    MetasdFoldFact *others = palloc(one->count[reciprocal] * sizeof(*others));
    uint32 n = copy_others(one, reciprocal, fact, others);
    bool made = true;

    if (n == one->count[reciprocal]) /* the row was not made of it */
        memcpy(row, reciprocal ? one->reciprocal : one->row,
               question->image->plan.width * sizeof(*row));
    else
        made = fold_row(question, newcomers_of(question), kind, others, n, row);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(scratch);
    return made;
}

/* ---- many at once ---- */

void
metasd_newcomer_read_ahead(const MetasdQuestion *question, const MetasdLabel *labels, uint32 n,
                           bool relation)
{
    struct MetasdNewcomers *all;
    MetasdLabel *unknown;
    uint32 count = 0, id;

    if (!metasd_fold_in || n == 0)
        return;
    all = newcomers_of(question);
    unknown = palloc(n * sizeof(*unknown));
    for (uint32 i = 0; i < n; i++) {
        Key key = {.label = labels[i], .relation = relation};

        if (labels[i].data && labels[i].len > 0 &&
            !metasd_label_find(metasd_question_labels(question, relation), labels[i].data,
                               labels[i].len, &id) &&
            !(all->context && newcomerhash_lookup(all->hash, key)))
            unknown[count++] = labels[i];
    }
    if (!all->ahead)
        all->ahead = metasd_newcomer_facts_ahead(question->fcinfo->flinfo->fn_mcxt);
    if (count > 1 && metasd_newcomer_facts_are_readable(question->model))
        metasd_newcomer_facts_read(question, all->ahead, unknown, count, relation);
    pfree(unknown);
}

uint32
metasd_newcomer_read_set_ahead(const MetasdQuestion *question, const MetasdLabelSet *set,
                               uint32 first, bool relation)
{
    uint32 n = metasd_labelset_count(set), end = first;
    MetasdLabel labels[METASD_MOST_AHEAD];
    size_t bytes = 0;

    while (end < n && end - first < METASD_MOST_AHEAD && bytes < METASD_MOST_AHEAD_BYTES) {
        labels[end - first] = metasd_labelset_get(set, end);
        bytes += labels[end++ - first].len;
    }
    metasd_newcomer_read_ahead(question, labels, end - first, relation);
    return end;
}

void
metasd_newcomer_end_ahead(const MetasdQuestion *question)
{
    struct MetasdNewcomers *all = metasd_call_site(question->fcinfo)->newcomers;

    if (all && all->ahead)
        metasd_newcomer_facts_forget(all->ahead);
}

/* ---- copies ---- */

Size
metasd_newcomer_copy_bytes(const MetasdQuestion *question, uint32 id)
{
    const Newcomer *one = get_newcomer(question, false, id);

    return sizeof(MetasdNewcomerCopy) + question->image->plan.width * sizeof(float) +
           one->count[0] * sizeof(MetasdFoldFact) + one->label.len;
}

static void *
copy_bytes(MemoryContext context, const void *from, Size bytes)
{
    return memcpy(MemoryContextAllocHuge(context, Max(bytes, 1)), from, bytes);
}

MetasdNewcomerCopy
metasd_newcomer_copy(const MetasdQuestion *question, uint32 id, MemoryContext context)
{
    const Newcomer *one = get_newcomer(question, false, id);
    Size row = question->image->plan.width * sizeof(*one->row);
    Size facts = one->count[0] * sizeof(*one->facts[0]);

    return (MetasdNewcomerCopy){.label = copy_label(context, one->label),
                                .row = copy_bytes(context, one->row, row),
                                .facts = copy_bytes(context, one->facts[0], facts),
                                .count = one->count[0],
                                .complete = one->complete && one->others == 0};
}

/* ---- known facts ---- */

bool
metasd_newcomer_mark_known(const MetasdQuestion *question, uint32 entity, uint32 relation,
                           bool heads, bool *known_ids)
{
    bool is_new = metasd_question_is_new(question, false, entity);
    bool both = is_new && metasd_question_is_new(question, true, relation);
    const Newcomer *one = get_newcomer(question, !is_new, is_new ? entity : relation);
    uint32 given = is_new ? relation + (heads ? question->image->plan.relations : 0) : entity;
    int which = !is_new && heads;

    if (!one->complete || (both && one->others > 0))
        return false;
    for (uint32 i = 0; i < one->count[which] && !both; i++)
        if (one->facts[which][i].given == given)
            known_ids[one->facts[which][i].answer] = true;
    return true;
}
