#include "pg/source/custom_plan.h"

#include "executor/spi.h"
#include "optimizer/planner.h"
#include "utils/plancache.h"

static bool has_custom_node(const Plan *plan);

static bool
any_has_custom_node(List *plans)
{
    ListCell *cell;

    foreach (cell, plans)
        if (has_custom_node(lfirst(cell)))
            return true;
    return false;
}

static bool
has_custom_node(const Plan *plan)
{
    if (!plan)
        return false;
    switch (nodeTag(plan)) {
        case T_CustomScan:
            return true;
        case T_SubqueryScan:
            return has_custom_node(((const SubqueryScan *)plan)->subplan);
        case T_Append:
            return any_has_custom_node(((const Append *)plan)->appendplans);
        case T_MergeAppend:
            return any_has_custom_node(((const MergeAppend *)plan)->mergeplans);
        default:
            return has_custom_node(plan->lefttree) || has_custom_node(plan->righttree);
    }
}

bool
metasd_custom_plan_found(const PlannedStmt *planned)
{
    return has_custom_node(planned->planTree) || any_has_custom_node(planned->subplans);
}

bool
metasd_custom_plan_reads(const MetasdReading *reading)
{
    MetasdReading own = *reading;
    char *sql = psprintf("SELECT x FROM %s x", reading->quoted);
    SPIPlanPtr plan;
    CachedPlan *cached;
    bool found;

    if (!planner_hook) /* no extension plans queries */
        return false;
    SPI_connect();
    METASD_READING_BEGIN(&own);
    plan = metasd_reading_prepare(&own, sql, 0, NULL);
    cached = SPI_plan_get_cached_plan(plan);
    if (!cached)
        elog(ERROR, "could not plan \"%s\"", sql);
    found = metasd_custom_plan_found(linitial_node(PlannedStmt, cached->stmt_list));
    ReleaseCachedPlan(cached, NULL);
    SPI_freeplan(plan);
    METASD_READING_END();
    SPI_finish();
    return found;
}
