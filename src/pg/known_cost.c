#include "known_cost.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "utils/builtins.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "advice.h"
#include "catalog.h"

/* A lookup is dear that costs this part of reading all, or this much. */
#define DEAR_PART 16
#define DEAR_COST 100

/*
 * The planner thinks of an index on a disk, and of rows as next to nothing: lookups by an index that
 * is in memory take less than the rows that cost as much.
 */
#define INDEX_ADVANTAGE 8

/*
 * To a foreign table's planner a lookup often costs as much as all rows, though the other server may
 * have an index: it is taken to cost no more than that.
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
 * Adds up what a plan costs that has been made without its parameters; 0 where nobody knows: it is
 * another extension's, or reads a foreign table whose rows were never counted.
 */
static double
cost_of_plan(const PlannedStmt *planned, bool *foreign)
{
    ListCell *cell;

    if (IsA(planned->planTree, CustomScan))
        return 0;
    foreach (cell, planned->rtable) {
        const RangeTblEntry *entry = lfirst(cell);

        if (entry->rtekind != RTE_RELATION || entry->relkind != RELKIND_FOREIGN_TABLE)
            continue;
        *foreign = true;
        if (rows_counted(entry->relid) <= 0)
            return 0;
    }
    return planned->planTree->total_cost;
}

static double
cost_of(const char *sql, int nargs, Oid *types, bool *foreign)
{
    SPIPlanPtr plan = SPI_prepare(sql, nargs, types);
    CachedPlan *cached;
    double cost;

    if (!plan)
        elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
    cached = SPI_plan_get_cached_plan(plan);
    if (!cached)
        elog(ERROR, "could not plan \"%s\"", sql);
    cost = cost_of_plan(linitial_node(PlannedStmt, cached->stmt_list), foreign);
    ReleaseCachedPlan(cached, NULL);
    SPI_freeplan(plan);
    return cost;
}

MetasdReadCost
metasd_known_cost(const MetasdSource *source, MetasdAsked asked, Oid user)
{
    const char *column[3];
    StringInfoData sql;
    MetasdReadCost cost = {.foreign = false};
    MetasdSwitch saved;
    Oid types[2];
    int given = 0;

    for (int i = 0; i < 3; i++)
        column[i] = pstrdup(quote_identifier(source->column[i]));
    SPI_connect();
    metasd_switch_to(&saved, user, true);
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s, %s, %s FROM %s", column[0], column[1], column[2],
                     source->quoted);
    cost.whole = cost_of(sql.data, 0, NULL, &cost.foreign);
    for (int place = 0; place < 3; place++)
        if (place != (int)asked) {
            types[given++] = source->type[place];
            appendStringInfo(&sql, " %s %s OPERATOR(pg_catalog.=) $%d",
                             given == 1 ? "WHERE" : "AND", column[place], given);
        }
    cost.lookup = cost_of(sql.data, given, types, &cost.foreign);
    if (cost.foreign)
        cost.lookup = Min(cost.lookup, FOREIGN_LOOKUP);
    metasd_switch_back(&saved);
    SPI_finish();
    return cost;
}

bool
metasd_lookup_is_dear(const MetasdReadCost *cost)
{
    return cost->whole > 0 && (cost->lookup * DEAR_PART >= cost->whole ||
                               (cost->lookup >= DEAR_COST && !cost->foreign));
}

bool
metasd_reading_pays(const MetasdSource *source, MetasdAsked asked, Oid user, uint32 n)
{
    MetasdReadCost cost;

    if (n < 2 || (n < FEW && metasd_source_has_index(source, asked)))
        return false;
    cost = metasd_known_cost(source, asked, user);
    return cost.whole > 0 &&
           n * cost.lookup >= (metasd_lookup_is_dear(&cost) ? 1 : INDEX_ADVANTAGE) * cost.whole;
}
