/*
 * whole_params.c - every statement has whole parameters: a value, or null, for each of its plan.
 *
 * PostgreSQL's own executor looks at the parameters that a plan mentions, so one that was never set
 * goes unnoticed. What hooks into the planner or executor may copy them all, as copyParamList does,
 * and reads memory behind a pointer that is none. This module does so with each statement of the
 * server, and before it does it looks for values that no type has: a crash says less.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/params.h"
#include "optimizer/planner.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static ExecutorStart_hook_type next_start;
static planner_hook_type next_planner;

/* A parameter as an executor is given it. */
static const ParamExternData *
parameter(ParamListInfo params, int i, ParamExternData *room)
{
    return params->paramFetch ? params->paramFetch(params, i + 1, false, room) : &params->params[i];
}

static void
check_params(ParamListInfo params, const char *statement)
{
    MemoryContext scratch, saved;

    if (!params)
        return;
    scratch =
        AllocSetContextCreate(CurrentMemoryContext, "copied parameters", ALLOCSET_SMALL_SIZES);
    saved = MemoryContextSwitchTo(scratch);
    for (int i = 0; i < params->numParams; i++) {
        ParamExternData room;
        const ParamExternData *one = parameter(params, i, &room);
        int16 length;
        bool by_value;

        if (one->isnull || !OidIsValid(one->ptype))
            continue;
        get_typlenbyval(one->ptype, &length, &by_value);
        /* nothing is stored in the first page of memory */
        if (!by_value && one->value < 4096)
            elog(ERROR, "parameter $%d, of type %s, has neither a value nor null in: %s", i + 1,
                 format_type_be(one->ptype), statement);
        if (!by_value && length == -1 && VARSIZE_ANY((void *)one->value) > MaxAllocSize)
            elog(ERROR, "parameter $%d, of type %s, has no length that a value has in: %s", i + 1,
                 format_type_be(one->ptype), statement);
    }
    copyParamList(params);
    MemoryContextSwitchTo(saved);
    MemoryContextDelete(scratch);
}

static void
start(QueryDesc *query, int flags)
{
    check_params(query->params, query->sourceText);
    if (next_start)
        next_start(query, flags);
    else
        standard_ExecutorStart(query, flags);
}

static PlannedStmt *
plan(Query *query, const char *statement, int options, ParamListInfo params)
{
    check_params(params, statement);
    return next_planner ? next_planner(query, statement, options, params)
                        : standard_planner(query, statement, options, params);
}

void
_PG_init(void)
{
    next_start = ExecutorStart_hook;
    ExecutorStart_hook = start;
    next_planner = planner_hook;
    planner_hook = plan;
}

/*
 * whole_params_probe(set bool): runs a statement of two parameters, of which it mentions the first;
 * the second is null, or has neither a value nor null.
 */
PG_FUNCTION_INFO_V1(whole_params_probe);
extern PGDLLEXPORT Datum whole_params_probe(PG_FUNCTION_ARGS);

Datum
whole_params_probe(PG_FUNCTION_ARGS)
{
    Oid types[2] = {INT4OID, TEXTARRAYOID};
    Datum values[2] = {Int32GetDatum(7), (Datum)0};
    SPIPlanPtr probe;
    bool isnull;
    int32 seven;

    SPI_connect();
    probe = SPI_prepare("SELECT $1", 2, types);
    if (SPI_execute_plan(probe, values, PG_GETARG_BOOL(0) ? " n" : NULL, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "the probe has not run");
    seven = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
    SPI_finish();
    PG_RETURN_INT32(seven);
}
