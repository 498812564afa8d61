#include "pg/base/json.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/numeric.h"

struct MetasdJson {
    JsonbParseState *state;
};

MetasdJson *
metasd_json_begin(void)
{
    MetasdJson *json = palloc0(sizeof(*json));

    (void)pushJsonbValue(&json->state, WJB_BEGIN_OBJECT, NULL);
    return json;
}

Jsonb *
metasd_json_end(MetasdJson *json)
{
    Jsonb *object = JsonbValueToJsonb(pushJsonbValue(&json->state, WJB_END_OBJECT, NULL));

    pfree(json);
    return object;
}

static JsonbValue
make_string(const char *text)
{
    JsonbValue value = {.type = jbvString};

    value.val.string.val = pstrdup(text);
    value.val.string.len = (int)strlen(text);
    return value;
}

static void
push_key(MetasdJson *json, const char *key)
{
    JsonbValue value = make_string(key);

    (void)pushJsonbValue(&json->state, WJB_KEY, &value);
}

static void
push_member(MetasdJson *json, const char *key, JsonbValue value)
{
    push_key(json, key);
    (void)pushJsonbValue(&json->state, WJB_VALUE, &value);
}

void
metasd_json_open(MetasdJson *json, const char *key)
{
    if (key)
        push_key(json, key);
    (void)pushJsonbValue(&json->state, WJB_BEGIN_OBJECT, NULL);
}

void
metasd_json_close(MetasdJson *json)
{
    (void)pushJsonbValue(&json->state, WJB_END_OBJECT, NULL);
}

void
metasd_json_open_list(MetasdJson *json, const char *key)
{
    push_key(json, key);
    (void)pushJsonbValue(&json->state, WJB_BEGIN_ARRAY, NULL);
}

void
metasd_json_close_list(MetasdJson *json)
{
    (void)pushJsonbValue(&json->state, WJB_END_ARRAY, NULL);
}

void
metasd_json_string(MetasdJson *json, const char *key, const char *value)
{
    push_member(json, key, value ? make_string(value) : (JsonbValue){.type = jbvNull});
}

void
metasd_json_bool(MetasdJson *json, const char *key, bool value)
{
    JsonbValue boolean = {.type = jbvBool};

    boolean.val.boolean = value;
    push_member(json, key, boolean);
}

/* Adds a finite number, given as its text. */
static void
push_number(MetasdJson *json, const char *key, const char *text)
{
    JsonbValue number = {.type = jbvNumeric};

    number.val.numeric = DatumGetNumeric(DirectFunctionCall3(
        numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    push_member(json, key, number);
}

void
metasd_json_whole(MetasdJson *json, const char *key, int64 value)
{
    push_number(json, key, psprintf(INT64_FORMAT, value));
}

static void
push_printed(MetasdJson *json, const char *key, double value, const char *format, int digits)
{
    if (isfinite(value))
        push_number(json, key, psprintf(format, digits, value));
    else
        push_member(json, key, (JsonbValue){.type = jbvNull});
}

void
metasd_json_number(MetasdJson *json, const char *key, double value, int digits)
{
    push_printed(json, key, value, "%.*g", digits);
}

void
metasd_json_fixed(MetasdJson *json, const char *key, double value, int decimals)
{
    push_printed(json, key, value, "%.*f", decimals);
}

void
metasd_json_object(MetasdJson *json, const char *key, Jsonb *value)
{
    push_member(json, key,
                (JsonbValue){
                    .type = jbvBinary,
                    .val.binary = {.data = &value->root, .len = (int)(VARSIZE(value) - VARHDRSZ)}});
}
