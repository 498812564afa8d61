/*
 * json.h - writes JSON objects as jsonb, member by member.
 *
 * What is written is read by no parser, so no value can make it fail: a number that is not finite
 * becomes null, and a string is whatever it is. A training of hours ends with such an object.
 */
#ifndef METASD_PG_BASE_JSON_H
#define METASD_PG_BASE_JSON_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

typedef struct MetasdJson MetasdJson;

/* Begins an object, in the current memory context, which must be the same until its end. */
extern MetasdJson *metasd_json_begin(void);

/* The object. */
extern Jsonb *metasd_json_end(MetasdJson *json);

/* Begins and ends a member that is an object. */
extern void metasd_json_open(MetasdJson *json, const char *key);
extern void metasd_json_close(MetasdJson *json);

/* Other members. A string that is NULL is null. */
extern void metasd_json_string(MetasdJson *json, const char *key, const char *value);
extern void metasd_json_bool(MetasdJson *json, const char *key, bool value);
extern void metasd_json_whole(MetasdJson *json, const char *key, int64 value);

/* A number with so many digits in all, and one with so many after the point. */
extern void metasd_json_number(MetasdJson *json, const char *key, double value, int digits);
extern void metasd_json_fixed(MetasdJson *json, const char *key, double value, int decimals);

/* A copy of another object. */
extern void metasd_json_object(MetasdJson *json, const char *key, Jsonb *value);

#endif
