/*
 * embedding.c - kg_embedding and kg_embedding_sparse: the weights of an entity.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/serve/query.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_embedding);
PG_FUNCTION_INFO_V1(metasd_kg_embedding_sparse);

/* The embedding of the entity in argument 0 in the model of argument 1; NULL if there is none. */
static float *
read_embedding(FunctionCallInfo fcinfo, uint32 *width)
{
    MetasdQuestion question;
    MetasdGiven given;
    uint32 entity;
    float *row;

    if (PG_ARGISNULL(0))
        return NULL;
    question = metasd_question_open(fcinfo, 1);
    if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, 0), false, &entity))
        return NULL;
    *width = question.image->plan.width;
    row = palloc(*width * sizeof(*row));
    given = metasd_question_entity(&question, entity);
    if (given.row)
        memcpy(row, given.row, *width * sizeof(*row));
    else
        metasd_query_embedding(question.image, entity, row);
    return row;
}

/* kg_embedding(entity, model) returns real[] */
Datum
metasd_kg_embedding(PG_FUNCTION_ARGS)
{
    uint32 width;
    float *row = read_embedding(fcinfo, &width);
    Datum *values;

    if (!row)
        PG_RETURN_NULL();
    values = palloc(width * sizeof(*values));
    for (uint32 i = 0; i < width; i++)
        values[i] = Float4GetDatum(row[i]);
    PG_RETURN_ARRAYTYPE_P(
        construct_array(values, (int)width, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

/* kg_embedding_sparse(entity, model) returns text: {place:weight,...}/width, places from 1 on */
Datum
metasd_kg_embedding_sparse(PG_FUNCTION_ARGS)
{
    uint32 width;
    float *row = read_embedding(fcinfo, &width);
    const char *comma = "";
    StringInfoData sparse;

    if (!row)
        PG_RETURN_NULL();
    initStringInfo(&sparse);
    appendStringInfoChar(&sparse, '{');
    for (uint32 i = 0; i < width; i++) {
        char weight[FLOAT_SHORTEST_DECIMAL_LEN];

        if (row[i] == 0)
            continue;
        (void)float_to_shortest_decimal_buf(row[i], weight);
        appendStringInfo(&sparse, "%s%u:%s", comma, i + 1, weight);
        comma = ",";
    }
    appendStringInfo(&sparse, "}/%u", width);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(sparse.data, sparse.len));
}
