#include "pg/base/compat.h"

#include "utils/memutils.h"
#include "utils/tuplestore.h"

/* The row type that the caller expects or, where it does not say, that of the function. */
static TupleDesc
result_row(FunctionCallInfo fcinfo, const ReturnSetInfo *result)
{
    TupleDesc row = result->expectedDesc;

    if (!row && get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    return row;
}

void
metasd_compat_init_materialized_srf(FunctionCallInfo fcinfo)
{
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    MemoryContext before;
    TupleDesc row;

    if (!result || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("set-valued function called in context that cannot accept a set")));
    row = result_row(fcinfo, result);
    before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
    result->returnMode = SFRM_Materialize;
    result->setDesc = CreateTupleDescCopy(row); /* the executor frees it */
    result->setResult =
        tuplestore_begin_heap(result->allowedModes & SFRM_Materialize_Random, false, work_mem);
    MemoryContextSwitchTo(before);
}
