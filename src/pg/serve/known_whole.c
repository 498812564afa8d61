#include "pg/serve/known_whole.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "pg/serve/call_site.h"
#include "pg/serve/known_cost.h"
#include "pg/serve/moment.h"
#include "pg/serve/source_index.h"
#include "pg/source/shard.h"

/* So many questions are looked up before the planner is asked whether to read the source. */
#define FIRST_LOOKUPS 2

/* Lookups must have cost the price of so many readings: it is unknown how many questions follow. */
#define SPENT_BEFORE 2

/* Pairs of a model and a place asked for whose facts one call site keeps. */
#define MOST_KEPT 4

typedef struct Fact {
    uint32 given[2], answer;
} Fact;

typedef struct Kept {
    /* The key: */
    pg_uuid_t version;
    MetasdAsked asked;
    MetasdMoment moment; /* a call site may outlive a statement */
    /* The state: */
    uint64 lookups;
    bool settled; /* no more decisions: facts are looked up, or all have been read */
    bool weighed; /* the cost is known */
    MetasdReadCost cost;
    bool read; /* all facts are here, sorted by `given`: */
    Fact *facts;
    uint64 count, capacity, most;
    bool too_many; /* for work_mem */
} Kept;

/* The facts of one call site, in the memory of its statement. */
struct MetasdKnownWhole {
    MemoryContext context;
    Kept kept[MOST_KEPT];
    int count;
};

/* ---- the facts that a call site keeps ---- */

static bool
matches(const Kept *kept, const MetasdQuestion *question, MetasdAsked asked)
{
    return kept->asked == asked &&
           memcmp(&kept->version, &question->model->uuid, sizeof(kept->version)) == 0;
}

static void
reset_kept(Kept *kept, const MetasdQuestion *question, MetasdAsked asked)
{
    if (kept->facts)
        pfree(kept->facts);
    *kept = (Kept){.version = question->model->uuid, .asked = asked, .moment = metasd_moment_now()};
}

/* The facts kept for such a question; NULL if the call site has too many kinds of questions. */
static Kept *
find_kept(const MetasdQuestion *question, MetasdAsked asked)
{
    MetasdCallSite *site = metasd_call_site(question->fcinfo);
    struct MetasdKnownWhole *whole = site->whole;
    Kept *kept;

    if (!whole) {
        MemoryContext context = AllocSetContextCreate(question->fcinfo->flinfo->fn_mcxt,
                                                      "metasd source", ALLOCSET_SMALL_SIZES);

        whole = site->whole = MemoryContextAllocZero(context, sizeof(*whole));
        whole->context = context;
    }
    for (int i = 0; i < whole->count; i++)
        if (matches(&whole->kept[i], question, asked)) {
            if (!metasd_moment_lasts(&whole->kept[i].moment))
                reset_kept(&whole->kept[i], question, asked);
            return &whole->kept[i];
        }
    if (whole->count == MOST_KEPT)
        return NULL;
    kept = &whole->kept[whole->count++];
    reset_kept(kept, question, asked);
    return kept;
}

/* ---- reading ---- */

/* The state of reading the source. */
typedef struct Reading {
    const MetasdQuestion *question;
    MemoryContext context;
    Kept *kept;
} Reading;

/* Makes sure that there is room for another fact; false if work_mem has none. */
static bool
grow_facts(const Reading *reading)
{
    Kept *kept = reading->kept;

    if (kept->count < kept->capacity)
        return true;
    if (kept->capacity >= kept->most) {
        kept->too_many = true;
        return false;
    }
    kept->capacity = Min(Max(2 * kept->capacity, 256), kept->most);
    kept->facts = kept->facts
                      ? repalloc_huge(kept->facts, kept->capacity * sizeof(Fact))
                      : MemoryContextAllocHuge(reading->context, kept->capacity * sizeof(Fact));
    return true;
}

static void
keep_fact(void *context, const MetasdTripleLabels *row)
{
    const Reading *reading = context;
    Kept *kept = reading->kept;
    Fact fact;

    if (kept->too_many ||
        !metasd_known_numbers(reading->question, kept->asked, row, fact.given, &fact.answer) ||
        !grow_facts(reading))
        return;
    kept->facts[kept->count++] = fact;
}

static int
compare_given(const void *a, const void *b)
{
    const Fact *x = a, *y = b;

    CHECK_FOR_INTERRUPTS();
    if (x->given[0] != y->given[0])
        return x->given[0] < y->given[0] ? -1 : 1;
    return x->given[1] < y->given[1] ? -1 : x->given[1] > y->given[1];
}

/* The number of facts that work_mem has room for, besides the other facts of the call site. */
static uint64
count_free_facts(const struct MetasdKnownWhole *whole)
{
    uint64 most = (uint64)work_mem * 1024 / sizeof(Fact);

    for (int i = 0; i < whole->count; i++)
        most -= Min(most, whole->kept[i].capacity);
    return most;
}

static void
read_whole(const MetasdQuestion *question, Kept *kept, const MetasdSource *source)
{
    const struct MetasdKnownWhole *whole = metasd_call_site(question->fcinfo)->whole;
    Reading reading = {.question = question, .context = whole->context, .kept = kept};

    kept->most = count_free_facts(whole);
    SPI_connect();
    (void)metasd_source_read(source, question->model->owner, keep_fact, &reading);
    SPI_finish();
    if (kept->count > 0)
        qsort(kept->facts, kept->count, sizeof(Fact), compare_given);
    kept->read = !kept->too_many;
    if (kept->too_many && kept->facts) {
        pfree(kept->facts);
        kept->facts = NULL;
        kept->count = kept->capacity = 0;
    }
}

/* Reads the source if the lookups so far have cost enough. */
static void
decide(const MetasdQuestion *question, Kept *kept)
{
    const MetasdModel *model = question->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);

    if (!kept->weighed) {
        kept->weighed = true;
        kept->settled = metasd_source_index_exists(source, kept->asked);
        if (kept->settled)
            return;
        kept->cost = metasd_known_cost(source, kept->asked);
        kept->settled = !metasd_known_cost_is_high(&kept->cost);
    }
    if (!kept->settled &&
        (double)kept->lookups * kept->cost.lookup >= SPENT_BEFORE * kept->cost.whole) {
        kept->settled = true;
        read_whole(question, kept, source);
    }
}

bool
metasd_known_whole_prepare(const MetasdQuestion *question, MetasdAsked asked)
{
    Kept *kept = find_kept(question, asked);

    if (!kept || metasd_shard_is_part()) /* the rows of other nodes cannot be read */
        return false;
    if (!kept->settled && ++kept->lookups > FIRST_LOOKUPS)
        decide(question, kept);
    return kept->read;
}

/* ---- answers ---- */

/* The index of the first fact that does not come before GIVEN. */
static uint64
find_first_fact(const Kept *kept, const Fact *given)
{
    uint64 low = 0, high = kept->count;

    while (low < high) {
        uint64 middle = low + (high - low) / 2;

        if (compare_given(&kept->facts[middle], given) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void
metasd_known_whole_mark(const MetasdQuestion *question, MetasdAsked asked, const uint32 id[2],
                        bool *known_ids)
{
    const Kept *kept = find_kept(question, asked);
    Fact given = {.given = {id[0], id[1]}};

    for (uint64 i = find_first_fact(kept, &given);
         i < kept->count && compare_given(&kept->facts[i], &given) == 0; i++)
        known_ids[kept->facts[i].answer] = true;
}
