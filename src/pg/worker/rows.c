#include "pg/worker/rows.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/catalog/statement.h"

/* The most rows, and bytes of embeddings and labels, that one statement inserts as arrays. */
#define CHUNK_ROWS 1000
#define CHUNK_BYTES ((size_t)8 << 20)

#define MOST_COLUMNS 12

/* A table being filled: arrays of its columns. The column `run` is the same in all rows. */
typedef struct Chunk {
    int64 run;
    MetasdStorage storage;
    size_t width; /* of an embedding */
    MetasdStatement *insert;
    int columns;
    const Oid *types;
    Datum *values[MOST_COLUMNS];
    bool *nulls[MOST_COLUMNS];
    int rows;
    size_t bytes;
    uint8 *encoded; /* one embedding */
    size_t encoded_size;
    size_t total; /* bytes of all embeddings so far */
    MemoryContext context;
} Chunk;

static void
start_chunk(Chunk *chunk, MetasdStatement *insert, int columns, const Oid *types)
{
    chunk->insert = insert;
    chunk->columns = columns;
    chunk->types = types;
    chunk->encoded_size = metasd_row_bound(chunk->width);
    chunk->encoded = palloc(chunk->encoded_size);
    for (int i = 0; i < columns; i++) {
        chunk->values[i] = palloc(CHUNK_ROWS * sizeof(Datum));
        chunk->nulls[i] = palloc0(CHUNK_ROWS * sizeof(bool));
    }
    chunk->context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd rows", ALLOCSET_DEFAULT_SIZES);
}

static void
flush_chunk(Chunk *chunk)
{
    Datum arguments[1 + MOST_COLUMNS] = {Int64GetDatum(chunk->run)};
    MemoryContext before = MemoryContextSwitchTo(chunk->context);

    for (int i = 0; i < chunk->columns; i++) {
        int16 len;
        bool byval;
        char align;

        get_typlenbyvalalign(chunk->types[i], &len, &byval, &align);
        arguments[1 + i] =
            PointerGetDatum(construct_md_array(chunk->values[i], chunk->nulls[i], 1, &chunk->rows,
                                               &(int){1}, chunk->types[i], len, byval, align));
    }
    MemoryContextSwitchTo(before);
    if (chunk->rows > 0)
        metasd_statement_execute(chunk->insert, arguments, NULL, false);
    MemoryContextReset(chunk->context);
    chunk->rows = 0;
    chunk->bytes = 0;
}

/* An embedding as bytea, in the chunk's context. */
static Datum
encode_row(Chunk *chunk, const float *row)
{
    size_t used = 0;
    MetasdStatus status = metasd_row_encode(chunk->storage, chunk->width, row, chunk->encoded,
                                            chunk->encoded_size, &used);
    bytea *value;

    if (status != METASD_OK)
        elog(ERROR, "could not encode an embedding: %s", metasd_status_text(status));
    value = MemoryContextAlloc(chunk->context, VARHDRSZ + used);
    SET_VARSIZE(value, VARHDRSZ + used);
    memcpy(VARDATA(value), chunk->encoded, used);
    chunk->bytes += used;
    chunk->total += used;
    return PointerGetDatum(value);
}

static Datum
copy_label(Chunk *chunk, MetasdLabel label)
{
    MemoryContext before = MemoryContextSwitchTo(chunk->context);
    Datum value = PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));

    chunk->bytes += label.len;
    MemoryContextSwitchTo(before);
    return value;
}

static void
end_row(Chunk *chunk)
{
    chunk->rows++;
    if (chunk->rows == CHUNK_ROWS || chunk->bytes > CHUNK_BYTES)
        flush_chunk(chunk);
    CHECK_FOR_INTERRUPTS();
}

/* Counts the triples of each entity, and of each relation; a self-loop counts twice. */
static void
count_triples(const MetasdGraph *graph, int64 *degree, int64 *count)
{
    for (int part = 0; part < METASD_PARTS; part++) {
        const MetasdGroups *groups = &graph->part[part];

        for (size_t g = 0; g < groups->count; g++) {
            int64 n = (int64)groups->start[g + 1] - (int64)groups->start[g];

            degree[groups->heads[g]] += n;
            if (groups->relations[g] < graph->relations)
                count[groups->relations[g]] += n;
        }
    }
}

static void
write_entities(Chunk *chunk, const MetasdInput *input, const MetasdTraining *training,
               const int64 *degree)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.entity (run, id, label, degree, embedding) SELECT $1, u.* FROM ROWS "
        "FROM (unnest($2), unnest($3), unnest($4), unnest($5)) u",
        5,
        {INT8OID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, BYTEAARRAYOID},
        NULL};
    static const Oid types[] = {INT4OID, TEXTOID, INT8OID, BYTEAOID};

    start_chunk(chunk, &insert, 4, types);
    for (uint32 e = 0; e < training->graph.entities; e++) {
        int i = chunk->rows;

        chunk->values[0][i] = Int32GetDatum((int32)e);
        chunk->values[1][i] = copy_label(chunk, metasd_labelset_get(input->entities, e));
        chunk->values[2][i] = Int64GetDatum(degree[e]);
        chunk->values[3][i] = encode_row(chunk, training->trainer.best + (size_t)e * chunk->width);
        end_row(chunk);
    }
    flush_chunk(chunk);
}

/* Counts the validation triples of each relation. */
static int64 *
count_held_out(const MetasdGraph *graph)
{
    const MetasdGroups *groups = &graph->part[METASD_VALIDATION];
    int64 *held_out = palloc0(graph->relations * sizeof(*held_out));

    for (size_t g = 0; g < groups->count; g++)
        if (groups->relations[g] < graph->relations)
            held_out[groups->relations[g]] += (int64)(groups->start[g + 1] - groups->start[g]);
    return held_out;
}

/* A relation's MRR, and sigmoids of its own; NULL where there are none. From column 6 on. */
static void
put_calibration(Chunk *chunk, const MetasdHoldout *holdout, uint32 r, uint32 relations)
{
    const MetasdCalibration *calibration = &holdout->calibration;
    const MetasdSigmoid *sigmoid[2] = {&calibration->each[r], &calibration->each[relations + r]};
    bool own = metasd_calibrate_is_own(calibration, r) ||
               metasd_calibrate_is_own(calibration, relations + r);
    int i = chunk->rows;

    chunk->nulls[6][i] = holdout->ranked[r] == 0;
    chunk->values[6][i] =
        Float8GetDatum(holdout->reciprocal[r] / (double)Max(holdout->ranked[r], 1));
    for (int side = 0; side < 2; side++) {
        chunk->values[7 + 2 * side][i] = Float4GetDatum(sigmoid[side]->slope);
        chunk->values[8 + 2 * side][i] = Float4GetDatum(sigmoid[side]->offset);
    }
    for (int column = 7; column < 11; column++)
        chunk->nulls[column][i] = !own;
}

static void
write_relations(Chunk *chunk, const MetasdInput *input, const MetasdTraining *training,
                const int64 *count, const MetasdHoldout *holdout)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.relation (run, id, label, count, embedding, reciprocal, held_out, "
        "mrr, tail_slope, tail_offset, head_slope, head_offset, irreflexive) SELECT $1, u.* "
        "FROM ROWS FROM (unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), "
        "unnest($8), unnest($9), unnest($10), unnest($11), unnest($12), unnest($13)) u",
        13,
        {INT8OID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, BYTEAARRAYOID, BYTEAARRAYOID,
         INT8ARRAYOID, FLOAT8ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID,
         FLOAT4ARRAYOID, BOOLARRAYOID},
        NULL};
    static const Oid types[] = {INT4OID,   TEXTOID,   INT8OID,   BYTEAOID,  BYTEAOID,  INT8OID,
                                FLOAT8OID, FLOAT4OID, FLOAT4OID, FLOAT4OID, FLOAT4OID, BOOLOID};
    size_t width = chunk->width;
    uint32 relations = training->graph.relations;
    const float *rows = training->trainer.best + (size_t)training->graph.entities * width;
    int64 *held_out = count_held_out(&training->graph);

    start_chunk(chunk, &insert, MOST_COLUMNS, types);
    for (uint32 r = 0; r < relations; r++) {
        int i = chunk->rows;

        chunk->values[0][i] = Int32GetDatum((int32)r);
        chunk->values[1][i] = copy_label(chunk, metasd_labelset_get(input->relations, r));
        chunk->values[2][i] = Int64GetDatum(count[r]);
        chunk->values[3][i] = encode_row(chunk, rows + (size_t)r * width);
        chunk->values[4][i] = encode_row(chunk, rows + ((size_t)relations + r) * width);
        chunk->values[5][i] = Int64GetDatum(held_out[r]);
        put_calibration(chunk, holdout, r, relations);
        chunk->values[11][i] = BoolGetDatum(training->graph.irreflexive[r]);
        end_row(chunk);
    }
    flush_chunk(chunk);
}

size_t
metasd_rows_write(int64 run, MetasdStorage storage, const MetasdInput *input,
                  const MetasdTraining *training, const MetasdHoldout *holdout)
{
    const MetasdGraph *graph = &training->graph;
    int64 *degree =
        palloc_extended(graph->entities * sizeof(*degree), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    int64 *count = palloc0(graph->relations * sizeof(*count));
    Chunk entities = {.run = run, .storage = storage, .width = training->trainer.state.width};
    Chunk relations = entities;

    relations.storage = metasd_row_levels_of_relations(storage);

    count_triples(graph, degree, count);
    write_entities(&entities, input, training, degree);
    write_relations(&relations, input, training, count, holdout);
    return entities.total + relations.total;
}
