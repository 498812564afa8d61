/*
 * json.h - writes JSON objects as jsonb, member by member.
 *
 * No parser reads the text of a value, so no value makes this fail: a number that is not finite
 * becomes null, and a string may have any content. A training of hours ends with such an object.
 */
#ifndef METASD_PG_BASE_JSON_H
#define METASD_PG_BASE_JSON_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

typedef struct MetasdJson MetasdJson;

/* Begins an object in the current memory context, which must stay current until its end. */
extern MetasdJson *metasd_json_begin(void);

/* Ends the object and returns it. */
extern Jsonb *metasd_json_end(MetasdJson *json);

/* Begin and end a member that is an object. */
extern void metasd_json_open(MetasdJson *json, const char *key);
extern void metasd_json_close(MetasdJson *json);

/* Begin and end a member that is an array of objects, which are opened without a key. */
extern void metasd_json_open_list(MetasdJson *json, const char *key);
extern void metasd_json_close_list(MetasdJson *json);

/* Add other members. A string that is NULL becomes null. */
extern void metasd_json_string(MetasdJson *json, const char *key, const char *value);
extern void metasd_json_bool(MetasdJson *json, const char *key, bool value);
extern void metasd_json_whole(MetasdJson *json, const char *key, int64 value);

/* Add a number with DIGITS significant digits, and one with DECIMALS digits after the point. */
extern void metasd_json_number(MetasdJson *json, const char *key, double value, int digits);
extern void metasd_json_fixed(MetasdJson *json, const char *key, double value, int decimals);

/* Adds a copy of another object. */
extern void metasd_json_object(MetasdJson *json, const char *key, Jsonb *value);

#endif
