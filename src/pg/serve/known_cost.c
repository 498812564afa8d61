#include "pg/serve/known_cost.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "utils/builtins.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "pg/serve/index_advice.h"

/* A lookup is dear that costs this part of reading all, or this much. */
#define DEAR_PART 16
#define DEAR_COST 100

/*
 * The planner thinks of an index on a disk, and of rows as next to nothing: lookups by an index
 * that is in memory take less than the rows that cost as much.
 */
#define INDEX_ADVANTAGE 8

/*
 * Where another server looks up, a lookup often seems to cost as much as all rows, though there may
 * be an index: it is taken to cost no more than that.
 */
#define FOREIGN_LOOKUP 100

/* So few are looked up by an index without asking the planner. */
#define FEW 256

/* Rows of a relation, as they were counted last; not above 0 if they never were. */
static double
rows_counted(Oid relation)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    double rows = 0;

    if (HeapTupleIsValid(tuple)) {
        rows = ((Form_pg_class)GETSTRUCT(tuple))->reltuples;
        ReleaseSysCache(tuple);
    }
    return rows;
}

/*
 * Is a foreign table read without filtering its rows here? Then another server does so, if it is a
 * lookup.
 */
static bool
filters_elsewhere(const Plan *plan)
{
    List *parts = NIL;
    ListCell *cell;

    if (!plan)
        return false;
    if (IsA(plan, ForeignScan))
        return plan->qual == NIL;
    if (IsA(plan, SubqueryScan))
        return filters_elsewhere(((const SubqueryScan *)plan)->subplan);
    if (IsA(plan, Append))
        parts = ((const Append *)plan)->appendplans;
    else if (IsA(plan, MergeAppend))
        parts = ((const MergeAppend *)plan)->mergeplans;
    foreach (cell, parts)
        if (filters_elsewhere(lfirst(cell)))
            return true;
    return filters_elsewhere(plan->lefttree) || filters_elsewhere(plan->righttree);
}

/* Is there a foreign table whose rows were never counted? */
static bool
is_guessed(const PlannedStmt *planned)
{
    ListCell *cell;

    foreach (cell, planned->rtable) {
        const RangeTblEntry *entry = lfirst(cell);

        if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_FOREIGN_TABLE &&
            rows_counted(entry->relid) <= 0)
            return true;
    }
    return false;
}

/*
 * What a query costs whose parameters nobody knows; if it is a lookup, whether another server
 * FILTERS its rows. 0 where that cannot be told: it is another extension's plan, or rows that are
 * filtered elsewhere were never counted.
 */
static double
cost_of(const MetasdReading *reading, const char *sql, int nargs, Oid *types, bool *filters)
{
    SPIPlanPtr plan = metasd_reading_prepare(reading, sql, nargs, types);
    const PlannedStmt *planned;
    CachedPlan *cached;
    double cost;

    cached = SPI_plan_get_cached_plan(plan);
    if (!cached)
        elog(ERROR, "could not plan \"%s\"", sql);
    planned = linitial_node(PlannedStmt, cached->stmt_list);
    if (filters)
        *filters = filters_elsewhere(planned->planTree);
    if (IsA(planned->planTree, CustomScan) || (filters && *filters && is_guessed(planned)))
        cost = 0;
    else
        cost = planned->planTree->total_cost;
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
    initStringInfo(&sql); /* as lookup_sql in known.c has it */
    appendStringInfo(&sql, "SELECT %s, %s, %s FROM %s", column[0], column[1], column[2],
                     source->quoted);
    cost.whole = cost_of(&reading, sql.data, 0, NULL, NULL);
    for (int place = 0; place < 3; place++)
        if (place != (int)asked) {
            types[given++] = source->type[place];
            appendStringInfo(&sql, " %s %s OPERATOR(pg_catalog.=) $%d",
                             given == 1 ? "WHERE" : "AND", column[place], given);
        }
    cost.lookup = cost_of(&reading, sql.data, given, types, &cost.foreign);
    if (cost.foreign)
        cost.lookup = Min(cost.lookup, FOREIGN_LOOKUP);
    metasd_reading_end(&reading);
    SPI_finish();
    return cost;
}

bool
metasd_known_cost_is_dear(const MetasdReadCost *cost)
{
    return cost->whole > 0 && (cost->lookup * DEAR_PART >= cost->whole ||
                               (cost->lookup >= DEAR_COST && !cost->foreign));
}

bool
metasd_known_cost_reading_pays(const MetasdSource *source, MetasdAsked asked, uint32 n)
{
    MetasdReadCost cost;

    if (n < 2 || (n < FEW && metasd_index_exists(source, asked)))
        return false;
    cost = metasd_known_cost(source, asked);
    return cost.whole > 0 &&
           n * cost.lookup >= (metasd_known_cost_is_dear(&cost) ? 1 : INDEX_ADVANTAGE) * cost.whole;
}
