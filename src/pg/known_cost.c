#include "known_cost.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/plannodes.h"
#include "utils/builtins.h"
#include "utils/plancache.h"

#include "advice.h"

/* A lookup is dear that costs this part of reading all, or this much. */
#define DEAR_PART 16
#define DEAR_COST 100

/*
 * The planner thinks of an index on a disk, and of rows as next to nothing: lookups by an index that
 * is in memory take less than the rows that cost as much.
 */
#define INDEX_ADVANTAGE 8

/* So few are looked up by an index without asking the planner. */
#define FEW 256

/* The planner's estimate of a query on the source, its parameters unknown to it. */
static double
cost_of(const MetasdReading *reading, const char *sql, int nargs, Oid *types)
{
    SPIPlanPtr plan = metasd_reading_prepare(reading, sql, nargs, types);
    CachedPlan *cached;
    double cost;

    cached = SPI_plan_get_cached_plan(plan);
    if (!cached)
        elog(ERROR, "could not plan \"%s\"", sql);
    cost = linitial_node(PlannedStmt, cached->stmt_list)->planTree->total_cost;
    ReleaseCachedPlan(cached, NULL);
    SPI_freeplan(plan);
    return cost;
}

MetasdReadCost
metasd_known_cost(const MetasdSource *source, MetasdAsked asked)
{
    const char *column[3];
    StringInfoData sql;
    MetasdReading reading = source->reading;
    MetasdReadCost cost;
    Oid types[2];
    int given = 0;

    for (int i = 0; i < 3; i++)
        column[i] = pstrdup(quote_identifier(source->column[i]));
    SPI_connect();
    metasd_reading_begin(&reading);
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s, %s, %s FROM %s", column[0], column[1], column[2],
                     source->quoted);
    cost.whole = cost_of(&reading, sql.data, 0, NULL);
    for (int place = 0; place < 3; place++)
        if (place != (int)asked) {
            types[given++] = source->type[place];
            appendStringInfo(&sql, " %s %s OPERATOR(pg_catalog.=) $%d",
                             given == 1 ? "WHERE" : "AND", column[place], given);
        }
    cost.lookup = cost_of(&reading, sql.data, given, types);
    metasd_reading_end(&reading);
    SPI_finish();
    return cost;
}

bool
metasd_lookup_is_dear(const MetasdReadCost *cost)
{
    return cost->lookup * DEAR_PART >= cost->whole || cost->lookup >= DEAR_COST;
}

bool
metasd_reading_pays(const MetasdSource *source, MetasdAsked asked, uint32 n)
{
    MetasdReadCost cost;

    if (n < 2 || (n < FEW && metasd_source_has_index(source, asked)))
        return false;
    cost = metasd_known_cost(source, asked);
    return n * cost.lookup >= (metasd_lookup_is_dear(&cost) ? 1 : INDEX_ADVANTAGE) * cost.whole;
}
