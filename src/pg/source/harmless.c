#include "pg/source/harmless.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

/* Does making a value of the type run only PostgreSQL's own code? */
static bool
is_plain_type(Oid type)
{
    char kind = get_typtype(type);

    return type < FirstNormalObjectId && type != XMLOID &&
           (kind == TYPTYPE_BASE || kind == TYPTYPE_RANGE || kind == TYPTYPE_ENUM);
}

/* Functions that only write values of any type. Only superusers define output functions. */
static bool
only_writes(const char *name)
{
    static const char *const names[] = {"concat", "concat_ws", "format", "array_to_string"};

    for (int i = 0; i < (int)lengthof(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/*
 * Functions that run code of what they get the OID or the name of: the first two compute the key of
 * a partitioned table, the others make a value of a type.
 */
static bool
runs_code_by_name(const char *name)
{
    static const char *const names[] = {"satisfies_hash_partition",
                                        "pg_get_partition_constraintdef", "pg_input_is_valid",
                                        "pg_input_error_info"};

    for (int i = 0; i < (int)lengthof(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool
metasd_harmless_function(Form_pg_proc function)
{
    if (function->oid >= FirstNormalObjectId || function->provolatile == PROVOLATILE_VOLATILE ||
        runs_code_by_name(NameStr(function->proname)))
        return false;
    if (function->provolatile == PROVOLATILE_IMMUTABLE || only_writes(NameStr(function->proname)))
        return true;
    if (!is_plain_type(function->prorettype))
        return false;
    for (int i = 0; i < function->pronargs; i++)
        if (!is_plain_type(function->proargtypes.values[i]))
            return false;
    return true;
}
