#include "pg/serve/known_whole.h"

#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/serve/index_advice.h"
#include "pg/serve/known_cost.h"

/* Questions that are looked up before the planner is asked whether the source be read whole. */
#define FIRST_LOOKUPS 2

/* Lookups must have cost as much as reading the source so often: nobody knows how many follow. */
#define SPENT_BEFORE 2

/* Models, and sides of them, that one call site keeps facts of. */
#define MOST_KEPT 4

typedef struct Fact {
    uint32 given[2], answer;
} Fact;

typedef struct Kept {
    /* what it was read for: */
    pg_uuid_t version;
    MetasdAsked asked;
    Oid user;
    TransactionId xmin, xmax; /* of the snapshot */
    uint32 xcnt;
    CommandId command;
    /* and what became of it: */
    uint64 lookups;
    bool settled; /* they are looked up, or all have been read, for good */
    bool weighed;
    MetasdReadCost cost;
    bool read; /* all facts are here, sorted: */
    Fact *facts;
    uint64 count, room, most;
    bool too_many; /* for work_mem */
} Kept;

/* Of one call site, in the memory of its statement. */
struct MetasdKnownWhole {
    MemoryContext context;
    Kept kept[MOST_KEPT];
    int count;
};

/* ---- rows ---- */

static bool
number_of(const MetasdQuestion *question, const MetasdTripleLabels *row, int place, uint32 *id)
{
    return metasd_label_find(metasd_question_labels(question, place == METASD_ASKED_RELATION),
                             row->data[place], row->len[place], id);
}

bool
metasd_known_numbers(const MetasdQuestion *question, MetasdAsked asked,
                     const MetasdTripleLabels *row, uint32 *given, uint32 *answer)
{
    int first = asked == METASD_ASKED_HEAD ? 1 : 0, second = asked == METASD_ASKED_TAIL ? 1 : 2;

    if (given && (!number_of(question, row, first, &given[0]) ||
                  !number_of(question, row, second, &given[1])))
        return false;
    return !answer || number_of(question, row, (int)asked, answer);
}

/* ---- what a call site keeps ---- */

static bool
is_for(const Kept *kept, const MetasdQuestion *question, MetasdAsked asked)
{
    return kept->asked == asked &&
           memcmp(&kept->version, &question->model->uuid, sizeof(kept->version)) == 0;
}

/* A call site may outlive a statement: what was read then says nothing of now. */
static bool
is_current(const Kept *kept)
{
    Snapshot snapshot = GetActiveSnapshot();

    return kept->user == GetUserId() && kept->xmin == snapshot->xmin &&
           kept->xmax == snapshot->xmax && kept->xcnt == snapshot->xcnt &&
           kept->command == snapshot->curcid;
}

static void
start(Kept *kept, const MetasdQuestion *question, MetasdAsked asked)
{
    Snapshot snapshot = GetActiveSnapshot();

    if (kept->facts)
        pfree(kept->facts);
    *kept = (Kept){.version = question->model->uuid,
                   .asked = asked,
                   .user = GetUserId(),
                   .xmin = snapshot->xmin,
                   .xmax = snapshot->xmax,
                   .xcnt = snapshot->xcnt,
                   .command = snapshot->curcid};
}

/* What is kept for such a question, or NULL: there are too many kinds. */
static Kept *
kept_for(const MetasdQuestion *question, MetasdAsked asked)
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
        if (is_for(&whole->kept[i], question, asked)) {
            if (!is_current(&whole->kept[i]))
                start(&whole->kept[i], question, asked);
            return &whole->kept[i];
        }
    if (whole->count == MOST_KEPT)
        return NULL;
    kept = &whole->kept[whole->count++];
    start(kept, question, asked);
    return kept;
}

/* ---- reading ---- */

/* On the way from the source. */
typedef struct Reading {
    const MetasdQuestion *question;
    MemoryContext context;
    Kept *kept;
} Reading;

/* Makes room for one more, if there is any. */
static bool
make_room(const Reading *reading)
{
    Kept *kept = reading->kept;

    if (kept->count < kept->room)
        return true;
    if (kept->room >= kept->most) {
        kept->too_many = true;
        return false;
    }
    kept->room = Min(Max(2 * kept->room, 256), kept->most);
    kept->facts = kept->facts ? repalloc_huge(kept->facts, kept->room * sizeof(Fact))
                              : MemoryContextAllocHuge(reading->context, kept->room * sizeof(Fact));
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
        !make_room(reading))
        return;
    kept->facts[kept->count++] = fact;
}

static int
by_given(const void *a, const void *b)
{
    const Fact *x = a, *y = b;

    CHECK_FOR_INTERRUPTS();
    if (x->given[0] != y->given[0])
        return x->given[0] < y->given[0] ? -1 : 1;
    return x->given[1] < y->given[1] ? -1 : x->given[1] > y->given[1];
}

/* Facts that work_mem has room for besides what else the call site keeps. */
static uint64
room_for_facts(const struct MetasdKnownWhole *whole)
{
    uint64 room = (uint64)work_mem * 1024 / sizeof(Fact);

    for (int i = 0; i < whole->count; i++)
        room -= Min(room, whole->kept[i].room);
    return room;
}

static void
read_whole(const MetasdQuestion *question, Kept *kept, const MetasdSource *source)
{
    const struct MetasdKnownWhole *whole = metasd_call_site(question->fcinfo)->whole;
    Reading reading = {.question = question, .context = whole->context, .kept = kept};

    kept->most = room_for_facts(whole);
    SPI_connect();
    (void)metasd_source_read(source, question->model->owner, keep_fact, &reading);
    SPI_finish();
    if (kept->count > 0)
        qsort(kept->facts, kept->count, sizeof(Fact), by_given);
    kept->read = !kept->too_many;
    if (kept->too_many && kept->facts) {
        pfree(kept->facts);
        kept->facts = NULL;
        kept->count = kept->room = 0;
    }
}

/* Reads the source if that pays by now. */
static void
weigh(const MetasdQuestion *question, Kept *kept)
{
    const MetasdModel *model = question->model;
    MetasdSource *source =
        metasd_source_open(model->serving_source.oid, model->serving_column, model->owner);

    if (!kept->weighed) {
        kept->weighed = true;
        kept->settled = metasd_index_exists(source, kept->asked);
        if (kept->settled)
            return;
        kept->cost = metasd_known_cost(source, kept->asked);
        kept->settled = !metasd_known_cost_is_dear(&kept->cost);
    }
    if (!kept->settled &&
        (double)kept->lookups * kept->cost.lookup >= SPENT_BEFORE * kept->cost.whole) {
        kept->settled = true;
        read_whole(question, kept, source);
    }
}

bool
metasd_known_whole(const MetasdQuestion *question, MetasdAsked asked)
{
    Kept *kept = kept_for(question, asked);

    if (!kept)
        return false;
    if (!kept->settled && ++kept->lookups > FIRST_LOOKUPS)
        weigh(question, kept);
    return kept->read;
}

/* ---- answers ---- */

/* The first fact that is not before what is given. */
static uint64
first_fact(const Kept *kept, const Fact *given)
{
    uint64 low = 0, high = kept->count;

    while (low < high) {
        uint64 middle = low + (high - low) / 2;

        if (by_given(&kept->facts[middle], given) < 0)
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
    const Kept *kept = kept_for(question, asked);
    Fact given = {.given = {id[0], id[1]}};

    for (uint64 i = first_fact(kept, &given);
         i < kept->count && by_given(&kept->facts[i], &given) == 0; i++)
        known_ids[kept->facts[i].answer] = true;
}
