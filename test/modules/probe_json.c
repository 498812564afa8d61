/*
 * probe_json.c - the writer of JSON with values that no training makes at will: it is compiled once
 * more here, as the libraries export nothing of it.
 */
#include "pg/base/json.c"

#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

/*
 * probe_json(number float8, string text, digits int): an object in which the number stands with so
 * many digits and decimals, and the string as a value and a name.
 */
PG_FUNCTION_INFO_V1(probe_json);
extern PGDLLEXPORT Datum probe_json(PG_FUNCTION_ARGS);

Datum
probe_json(PG_FUNCTION_ARGS)
{
    MetasdJson *json = metasd_json_begin();
    double value = PG_GETARG_FLOAT8(0);
    char *label = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
    int digits = PG_GETARG_INT32(2);
    Jsonb *copy;

    metasd_json_number(json, "number", value, digits);
    metasd_json_open(json, "inner");
    metasd_json_fixed(json, "fixed", value, digits);
    metasd_json_string(json, "string", label);
    metasd_json_close(json);
    metasd_json_whole(json, "whole", PG_INT64_MIN);
    copy = metasd_json_end(json);
    json = metasd_json_begin();
    metasd_json_object(json, "copy", copy);
    metasd_json_string(json, label ? label : "", "value");
    PG_RETURN_JSONB_P(metasd_json_end(json));
}
