/*
 * identifier.h - identifiers of the caller's types as labels of a model, and labels as identifiers.
 */
#ifndef METASD_PG_SERVE_IDENTIFIER_H
#define METASD_PG_SERVE_IDENTIFIER_H

#include "pg/base/compat.h"

#include "utils/array.h"

#include "pg/serve/call_site.h"
#include "pg/source/labelset.h"

/* The elements of an array of identifiers. */
typedef struct MetasdIdentifierArray {
    MetasdIdentifier *identifier;
    Datum *values;
    bool *nulls;
    int n;
} MetasdIdentifierArray;

/* The label of argument N; in the current memory context, or the argument's own bytes. */
extern MetasdLabel metasd_identifier_argument(FunctionCallInfo fcinfo, int n);

/* The elements of an array, prepared in place N of the call site. */
extern MetasdIdentifierArray metasd_identifier_array(FunctionCallInfo fcinfo, int n,
                                                     ArrayType *array);

/* The label of element I; data is NULL if the element is. */
extern MetasdLabel metasd_identifier_element(const MetasdIdentifierArray *array, int i);

/* An answer as a value of TYPE; if the label cannot be one, an error says how to ask. */
extern Datum metasd_identifier_answer(FunctionCallInfo fcinfo, Oid type, MetasdLabel label);

/* The same for an entity or relation that the question gave as a label. */
extern Datum metasd_identifier_given(FunctionCallInfo fcinfo, Oid type, MetasdLabel label,
                                     bool relation);

#endif
