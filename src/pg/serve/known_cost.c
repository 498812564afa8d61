#include "pg/serve/known_cost.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "pg/serve/source_index.h"
#include "pg/source/custom_plan.h"

/* A lookup costs much if it costs 1 / HIGH_PART of reading all, or HIGH_COST. */
#define HIGH_PART 16
#define HIGH_COST 100

/*
 * The planner assumes an index on a disk, and that rows cost next to nothing: lookups with an index
 * in memory take less time than reading rows of the same cost.
 */
#define INDEX_ADVANTAGE 8

/*
 * The highest cost assumed for a lookup on another server: its estimate is often that of all rows,
 * although that server may have an index.
 */
#define FOREIGN_LOOKUP 100

/* Fewer questions than these are looked up with an index, without asking the planner. */
#define FEW 256

double
metasd_known_cost_rows(Oid relation)
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
 * Does the plan read a foreign table, or one that another extension reads, without a filter here?
 * In a lookup the other server filters.
 */
static bool
filters_elsewhere(const Plan *plan)
{
    List *parts = NIL;
    ListCell *cell;

    if (!plan)
        return false;
    if (IsA(plan, ForeignScan) || IsA(plan, CustomScan))
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

/* Does the plan read a foreign table without statistics? */
static bool
lacks_statistics(const PlannedStmt *planned)
{
    ListCell *cell;

    foreach (cell, planned->rtable) {
        const RangeTblEntry *entry = lfirst(cell);

        if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_FOREIGN_TABLE &&
            metasd_known_cost_rows(entry->relid) <= 0)
            return true;
    }
    return false;
}

/*
 * The cost of a query with unknown parameters. *filters, for a lookup: another server filters its
 * rows. 0 if the cost is unknown: the plan is of another extension, or another server filters rows
 * for which there are no statistics.
 */
static double
estimate_cost(const MetasdReading *reading, const char *sql, int nargs, Oid *types, bool *filters)
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
    if (metasd_custom_plan_found(planned) || (filters && *filters && lacks_statistics(planned)))
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
    METASD_READING_BEGIN(&reading);
    initStringInfo(&sql); /* the query of write_lookup in known.c */
    appendStringInfo(&sql, "SELECT %s, %s, %s FROM %s", column[0], column[1], column[2],
                     source->quoted);
    cost.whole = estimate_cost(&reading, sql.data, 0, NULL, NULL);
    for (int place = 0; place < 3; place++)
        if (place != (int)asked) {
            types[given++] = source->type[place];
            appendStringInfo(&sql, " %s %s OPERATOR(pg_catalog.=) $%d",
                             given == 1 ? "WHERE" : "AND", column[place], given);
        }
    cost.lookup = estimate_cost(&reading, sql.data, given, types, &cost.foreign);
    if (cost.foreign)
        cost.lookup = Min(cost.lookup, FOREIGN_LOOKUP);
    METASD_READING_END();
    SPI_finish();
    return cost;
}

bool
metasd_known_cost_is_high(const MetasdReadCost *cost)
{
    return cost->whole > 0 && (cost->lookup * HIGH_PART >= cost->whole ||
                               (cost->lookup >= HIGH_COST && !cost->foreign));
}

/*
 * On another server a lookup costs a round trip, and the query of all questions sends no more rows
 * than there are.
 */
MetasdReadWay
metasd_known_cost_choose(const MetasdSource *source, MetasdAsked asked, uint32 n)
{
    MetasdReadCost cost;

    if (n < 2 || (n < FEW && !planner_hook && metasd_source_index_exists(source, asked)))
        return METASD_READ_EACH;
    cost = metasd_known_cost(source, asked);
    if (cost.foreign)
        return METASD_READ_SOME;
    if (n < FEW && metasd_source_index_exists(source, asked))
        return METASD_READ_EACH;
    return cost.whole > 0 &&
                   n * cost.lookup >=
                       (metasd_known_cost_is_high(&cost) ? 1 : INDEX_ADVANTAGE) * cost.whole
               ? METASD_READ_WHOLE
               : METASD_READ_EACH;
}
