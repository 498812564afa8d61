/*
 * embedding.c - kg_embedding, kg_embedding_sparse and kg_relation_embedding: the weights of an
 * entity or a relation; kg_entity_embeddings and kg_relation_embeddings: those of all.
 */
#include "pg/base/compat.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/serve/query.h"
#include "pg/serve/identifier.h"
#include "pg/serve/question.h"

PG_FUNCTION_INFO_V1(metasd_kg_embedding);
PG_FUNCTION_INFO_V1(metasd_kg_embedding_sparse);
PG_FUNCTION_INFO_V1(metasd_kg_relation_embedding);
PG_FUNCTION_INFO_V1(metasd_kg_entity_embeddings);
PG_FUNCTION_INFO_V1(metasd_kg_relation_embeddings);

static ArrayType *
make_array(const float *row, uint32 width)
{
    Datum *values = palloc(width * sizeof(*values));
    ArrayType *array;

    for (uint32 i = 0; i < width; i++)
        values[i] = Float4GetDatum(row[i]);
    array = construct_array(values, (int)width, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
    pfree(values);
    return array;
}

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

    if (!row)
        PG_RETURN_NULL();
    PG_RETURN_ARRAYTYPE_P(make_array(row, width));
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

/* kg_relation_embedding(relation, model, reciprocal) returns real[] */
Datum
metasd_kg_relation_embedding(PG_FUNCTION_ARGS)
{
    bool reciprocal = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
    MetasdQuestion question;
    MetasdGiven given;
    uint32 relation, width;
    float *row;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    question = metasd_question_open(fcinfo, 1);
    if (!metasd_question_find(&question, metasd_identifier_argument(fcinfo, 0), true, &relation))
        PG_RETURN_NULL();
    width = question.image->plan.width;
    row = palloc(width * sizeof(*row));
    given = metasd_question_relation(&question, relation, reciprocal);
    if (given.row)
        memcpy(row, given.row, width * sizeof(*row));
    else
        metasd_query_relation_row(question.image, given.id, row);
    PG_RETURN_ARRAYTYPE_P(make_array(row, width));
}

/* ---- all of a model ---- */

/* A row of the result: the label and one array, or two. */
static void
put_row(ReturnSetInfo *result, MetasdLabel label, uint32 width, const float *const *rows, int n)
{
    Datum values[3] = {PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len))};
    bool nulls[3] = {false};

    for (int i = 0; i < n; i++)
        values[1 + i] = PointerGetDatum(make_array(rows[i], width));
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    for (int i = 0; i <= n; i++)
        pfree(DatumGetPointer(values[i]));
    CHECK_FOR_INTERRUPTS();
}

/* kg_entity_embeddings(model) */
Datum
metasd_kg_entity_embeddings(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 width;
    float *row;

    metasd_compat_init_materialized_srf(fcinfo);
    question = metasd_question_open(fcinfo, 0);
    width = question.image->plan.width;
    row = palloc(width * sizeof(*row));
    for (uint32 e = 0; e < question.image->plan.entities; e++) {
        metasd_query_embedding(question.image, e, row);
        put_row((ReturnSetInfo *)fcinfo->resultinfo, metasd_question_label(&question, false, e),
                width, (const float *const[]){row}, 1);
    }
    pfree(row);
    return (Datum)0;
}

/* kg_relation_embeddings(model) */
Datum
metasd_kg_relation_embeddings(PG_FUNCTION_ARGS)
{
    MetasdQuestion question;
    uint32 width, relations;
    float *rows[2];

    metasd_compat_init_materialized_srf(fcinfo);
    question = metasd_question_open(fcinfo, 0);
    width = question.image->plan.width;
    relations = question.image->plan.relations;
    for (int i = 0; i < 2; i++)
        rows[i] = palloc(width * sizeof(*rows[i]));
    for (uint32 r = 0; r < relations; r++) {
        metasd_query_relation_row(question.image, r, rows[0]);
        metasd_query_relation_row(question.image, relations + r, rows[1]);
        put_row((ReturnSetInfo *)fcinfo->resultinfo, metasd_question_label(&question, true, r),
                width, (const float *const *)rows, 2);
    }
    pfree(rows[0]);
    pfree(rows[1]);
    return (Datum)0;
}
