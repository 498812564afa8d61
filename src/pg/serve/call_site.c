#include "pg/serve/call_site.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

MetasdCallSite *
metasd_call_site(FunctionCallInfo fcinfo)
{
    if (!fcinfo->flinfo->fn_extra)
        fcinfo->flinfo->fn_extra =
            MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(MetasdCallSite));
    return fcinfo->flinfo->fn_extra;
}

bool
metasd_call_any_null(FunctionCallInfo fcinfo, int first, int end)
{
    for (int i = first; i < end; i++)
        if (PG_ARGISNULL(i))
            return true;
    return false;
}

uint32
metasd_call_limit(FunctionCallInfo fcinfo, int n)
{
    int32 k = PG_GETARG_INT32(n);

    if (k < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("k must not be negative"),
                        errhint("k is the number of answers wanted.")));
    return (uint32)k;
}

bool
metasd_call_side_is_head(FunctionCallInfo fcinfo, int n)
{
    char *side = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(side, "tail") == 0)
        return false;
    if (strcmp(side, "head") == 0)
        return true;
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for side: \"%s\"", side),
         errhint("It must be \"tail\" (the default: tails of a head and a relation) or \"head\" "
                 "(heads of a relation and a tail).")));
}
