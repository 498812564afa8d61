#include "pg/serve/known_plan.h"

#include "access/xact.h"
#include "utils/memutils.h"

#define MOST_PLANS 16

typedef struct KeptPlan {
    char *sql;
    Oid types[METASD_KNOWN_PARAMETERS];
    Oid reader; /* the role whose rights it uses */
    SPIPlanPtr plan;
    uint64 generation;   /* when the code that it runs was checked (trust.h) */
    TimestampTz used_in; /* start of the transaction that used it last */
} KeptPlan;

static KeptPlan plans[MOST_PLANS];

static void
drop_plan(KeptPlan *place)
{
    SPI_freeplan(place->plan);
    pfree(place->sql);
    place->plan = NULL;
}

/*
 * A free place, or the place of the least recently used plan; NULL if there is none. A plan that
 * this transaction has used stays: a function of a view may ask other models while a lookup in the
 * view is running.
 */
static KeptPlan *
make_place(void)
{
    TimestampTz now = GetCurrentTransactionStartTimestamp();
    KeptPlan *oldest = NULL;

    for (int i = 0; i < MOST_PLANS; i++) {
        if (!plans[i].plan)
            return &plans[i];
        if (plans[i].used_in != now && (!oldest || plans[i].used_in < oldest->used_in))
            oldest = &plans[i];
    }
    if (oldest)
        drop_plan(oldest);
    return oldest;
}

static KeptPlan *
find_plan(const MetasdReading *reading, const char *sql, const Oid *types)
{
    for (int i = 0; i < MOST_PLANS; i++)
        if (plans[i].plan && plans[i].reader == reading->reader &&
            plans[i].generation == reading->generation &&
            memcmp(plans[i].types, types, sizeof(plans[i].types)) == 0 &&
            strcmp(plans[i].sql, sql) == 0)
            return &plans[i];
    return NULL;
}

/* Older plans might be replanned with code that was not checked: drops them unless in use. */
static void
drop_outdated_plans(uint64 generation)
{
    static uint64 seen = 0;
    TimestampTz now = GetCurrentTransactionStartTimestamp();

    if (seen == generation)
        return;
    seen = generation;
    for (int i = 0; i < MOST_PLANS; i++)
        if (plans[i].plan && plans[i].generation != generation && plans[i].used_in != now)
            drop_plan(&plans[i]);
}

SPIPlanPtr
metasd_known_plan(const MetasdReading *reading, const char *sql, Oid types[METASD_KNOWN_PARAMETERS])
{
    KeptPlan *place = find_plan(reading, sql, types);
    SPIPlanPtr plan;

    if (place) {
        place->used_in = GetCurrentTransactionStartTimestamp();
        return place->plan;
    }
    drop_outdated_plans(reading->generation);
    plan = metasd_reading_prepare(reading, sql, METASD_KNOWN_PARAMETERS, types);
    place = make_place();
    if (place) {
        place->sql = MemoryContextStrdup(TopMemoryContext, sql);
        memcpy(place->types, types, sizeof(place->types));
        place->reader = reading->reader;
        place->generation = reading->generation;
        if (SPI_keepplan(plan) != 0)
            elog(ERROR, "could not keep a plan");
        place->used_in = GetCurrentTransactionStartTimestamp();
        place->plan = plan;
    }
    return plan;
}
