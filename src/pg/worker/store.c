/*
 * store.c - the best embeddings as rows, and the promotion of their version.
 *
 * Stored weights are rounded. What is known of the version is of them as they are read back, so
 * they are rounded, and asked about the validation triples, before they are stored: that gives
 * ranks, those of each relation, and what makes probabilities of scores.
 *
 * All in one transaction: a crash at any moment leaves the version that served, or
 * the new one, whole.
 */
#include "pg/worker/job.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "core/codec/row_codec.h"
#include "core/train/holdout.h"

/* Rows go in by arrays of up to so many rows, or so many bytes of embeddings and labels. */
#define CHUNK_ROWS 1000
#define CHUNK_BYTES ((size_t)8 << 20)

#define MOST_COLUMNS 12

/* A table being filled: arrays of its columns, but for the run, which is the same in all. */
typedef struct Chunk {
    MetasdStatement *insert;
    int columns;
    const Oid *types;
    Datum *values[MOST_COLUMNS];
    bool *nulls[MOST_COLUMNS];
    int rows;
    size_t bytes;
    uint8 *encoded; /* one embedding */
    size_t encoded_size;
    MemoryContext context;
} Chunk;

static void
start_chunk(Chunk *chunk, MetasdStatement *insert, int columns, const Oid *types, size_t width)
{
    *chunk = (Chunk){.insert = insert,
                     .columns = columns,
                     .types = types,
                     .encoded_size = metasd_row_bound(width)};
    chunk->encoded = palloc(chunk->encoded_size);
    for (int i = 0; i < columns; i++) {
        chunk->values[i] = palloc(CHUNK_ROWS * sizeof(Datum));
        chunk->nulls[i] = palloc0(CHUNK_ROWS * sizeof(bool));
    }
    chunk->context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd rows", ALLOCSET_DEFAULT_SIZES);
}

static void
flush_chunk(Chunk *chunk, int64 run)
{
    Datum arguments[1 + MOST_COLUMNS] = {Int64GetDatum(run)};
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

static MetasdStorage
storage_of(const MetasdJob *job)
{
    return (MetasdStorage)job->params.value[METASD_P_STORAGE];
}

static void
check_codec(MetasdStatus status)
{
    if (status != METASD_OK)
        elog(ERROR, "could not encode an embedding: %s", metasd_status_text(status));
}

/* An embedding as bytea, in the chunk's context. */
static Datum
encode(Chunk *chunk, const MetasdJob *job, const float *row, size_t *total)
{
    size_t width = job->trainer.step.width, used = 0;
    bytea *value;

    check_codec(
        metasd_row_encode(storage_of(job), width, row, chunk->encoded, chunk->encoded_size, &used));
    value = MemoryContextAlloc(chunk->context, VARHDRSZ + used);
    SET_VARSIZE(value, VARHDRSZ + used);
    memcpy(VARDATA(value), chunk->encoded, used);
    chunk->bytes += used;
    *total += used;
    return PointerGetDatum(value);
}

static Datum
label_datum(Chunk *chunk, MetasdLabel label)
{
    MemoryContext before = MemoryContextSwitchTo(chunk->context);
    Datum value = PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));

    chunk->bytes += label.len;
    MemoryContextSwitchTo(before);
    return value;
}

static void
next_row(Chunk *chunk, int64 run)
{
    chunk->rows++;
    if (chunk->rows == CHUNK_ROWS || chunk->bytes > CHUNK_BYTES)
        flush_chunk(chunk, run);
    CHECK_FOR_INTERRUPTS();
}

/* How many triples each entity, and each relation, is in; a self-loop counts twice. */
static void
count_triples(const MetasdGraph *graph, int64 *degree, int64 *count)
{
    const MetasdGroups *known = &graph->known;

    for (size_t g = 0; g < known->count; g++) {
        int64 n = (int64)(known->start[g + 1] - known->start[g]);

        degree[known->heads[g]] += n;
        if (known->relations[g] < graph->relations)
            count[known->relations[g]] += n;
    }
}

static size_t
store_entities(const MetasdJob *job, const int64 *degree)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.entity (run, id, label, degree, embedding) SELECT $1, u.* FROM ROWS "
        "FROM (unnest($2), unnest($3), unnest($4), unnest($5)) u",
        5,
        {INT8OID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID, BYTEAARRAYOID},
        NULL};
    static const Oid types[] = {INT4OID, TEXTOID, INT8OID, BYTEAOID};
    size_t width = job->trainer.step.width, total = 0;
    Chunk chunk;

    start_chunk(&chunk, &insert, 4, types, width);
    for (uint32 e = 0; e < job->graph.entities; e++) {
        int i = chunk.rows;

        chunk.values[0][i] = Int32GetDatum((int32)e);
        chunk.values[1][i] = label_datum(&chunk, metasd_labelset_get(job->input.entities, e));
        chunk.values[2][i] = Int64GetDatum(degree[e]);
        chunk.values[3][i] = encode(&chunk, job, job->trainer.best + (size_t)e * width, &total);
        next_row(&chunk, job->launch.run);
    }
    flush_chunk(&chunk, job->launch.run);
    return total;
}

/* How many validation triples each relation has. */
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

/* Its MRR, and sigmoids of its own; NULL where there are none. From column 6 of the chunk. */
static void
put_trust(Chunk *chunk, const MetasdHoldout *holdout, uint32 r, uint32 relations)
{
    const MetasdCalibration *calibration = &holdout->calibration;
    const MetasdSigmoid *sigmoid[2] = {&calibration->each[r], &calibration->each[relations + r]};
    bool own = metasd_probability_is_own(calibration, r) ||
               metasd_probability_is_own(calibration, relations + r);
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

static size_t
store_relations(const MetasdJob *job, const int64 *count, const MetasdHoldout *holdout)
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
    size_t width = job->trainer.step.width, total = 0;
    uint32 relations = job->graph.relations;
    const float *rows = job->trainer.best + (size_t)job->graph.entities * width;
    int64 *held_out = count_held_out(&job->graph);
    Chunk chunk;

    start_chunk(&chunk, &insert, MOST_COLUMNS, types, width);
    for (uint32 r = 0; r < relations; r++) {
        int i = chunk.rows;

        chunk.values[0][i] = Int32GetDatum((int32)r);
        chunk.values[1][i] = label_datum(&chunk, metasd_labelset_get(job->input.relations, r));
        chunk.values[2][i] = Int64GetDatum(count[r]);
        chunk.values[3][i] = encode(&chunk, job, rows + (size_t)r * width, &total);
        chunk.values[4][i] = encode(&chunk, job, rows + ((size_t)relations + r) * width, &total);
        chunk.values[5][i] = Int64GetDatum(held_out[r]);
        put_trust(&chunk, holdout, r, relations);
        chunk.values[11][i] = BoolGetDatum(job->graph.irreflexive[r]);
        next_row(&chunk, job->launch.run);
    }
    flush_chunk(&chunk, job->launch.run);
    return total;
}

/* ---- the weights as they are stored ---- */

/* All rows become what their bytes will be read as; rows are not encoded before they are stored. */
static MetasdStatus
round_weights(const MetasdJob *job, MetasdTeam *team)
{
    const MetasdState *step = &job->trainer.step;
    size_t rows = (size_t)step->entities + step->relation_rows;

    for (size_t i = 0; i < rows; i++) {
        check_codec(
            metasd_row_round(storage_of(job), step->width, job->trainer.best + i * step->width));
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + step->width));
    }
    return METASD_OK;
}

/* What is known of the weights that will be stored. */
typedef struct Findings {
    MetasdRanks ranks; /* of the validation triples that the training ranked */
    MetasdHoldout holdout;
    size_t empty; /* rows of entities and relations, both ways, without a weight */
} Findings;

static MetasdStatus
count_empty(const MetasdJob *job, MetasdTeam *team, size_t *empty)
{
    const MetasdState *step = &job->trainer.step;
    size_t rows = (size_t)step->entities + step->relation_rows;

    *empty = 0;
    for (size_t i = 0; i < rows; i++) {
        const float *row = job->trainer.best + i * step->width;
        size_t j = 0;

        while (j < step->width && row[j] == 0)
            j++;
        *empty += j == step->width;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + j));
    }
    return METASD_OK;
}

static void
take_holdout(MetasdHoldout *holdout, const MetasdGraph *graph)
{
    MetasdArena arena = metasd_arena_measure();

    metasd_holdout_take(holdout, &arena, graph);
    arena = metasd_transaction_arena(metasd_arena_ok(&arena) ? arena.used : SIZE_MAX, NULL);
    metasd_holdout_take(holdout, &arena, graph);
}

/* Makes the best weights those that will be stored, and asks them about the validation triples. */
static void
round_best(MetasdJob *job, Findings *findings)
{
    MetasdTrainer *trainer = &job->trainer;
    MetasdTeam alone = job->team; /* the other members have left */

    alone.rank = 0;
    alone.size = 1;
    alone.barrier = alone.poll;
    take_holdout(&findings->holdout, &job->graph);
    findings->ranks = (MetasdRanks){0};
    if (storage_of(job) != METASD_FLOAT32)
        metasd_process_check_status(job, round_weights(job, &alone));
    metasd_process_check_status(job, count_empty(job, &alone, &findings->empty));
    metasd_process_check_status(job,
                                metasd_holdout(&findings->holdout, &trainer->step, &alone,
                                               trainer->best, &trainer->validation, &job->graph,
                                               job->best.student.n, &findings->ranks));
    if (storage_of(job) == METASD_FLOAT32) /* as they were ranked before */
        findings->ranks = job->best.student;
}

/* ---- the version ---- */

static void
append_ranks(MetasdJson *json, const char *name, const MetasdRanks *ranks)
{
    static const char *const hits[] = {"hits_1", "hits_3", "hits_10"};
    double n = (double)ranks->n;

    if (ranks->n == 0)
        return;
    metasd_json_open(json, name);
    metasd_json_whole(json, "queries", (int64)ranks->n);
    metasd_json_fixed(json, "mrr", ranks->reciprocal / n, 6);
    for (int i = 0; i < (int)lengthof(hits); i++)
        metasd_json_fixed(json, hits[i], (double)ranks->hits[i] / n, 6);
    metasd_json_fixed(json, "mean_rank", ranks->rank / n, 2);
    metasd_json_close(json);
}

/* Its size and sigmoid; the caller closes the object. */
static void
append_sigmoid(MetasdJson *json, const char *name, const MetasdCalibration *calibration)
{
    uint64 answers = 0, facts = 0;

    for (size_t bin = 0; bin < METASD_BINS; bin++) {
        answers += calibration->whole_bins[bin].all;
        facts += calibration->whole_bins[bin].holding;
    }
    metasd_json_open(json, name);
    metasd_json_whole(json, "questions", (int64)calibration->asked);
    metasd_json_whole(json, "answers", (int64)answers);
    metasd_json_whole(json, "facts", (int64)facts);
    metasd_json_number(json, "slope", (double)calibration->whole.slope, 9);
    metasd_json_number(json, "offset", (double)calibration->whole.offset, 9);
    metasd_json_number(json, "base", (double)calibration->whole.base, 9);
    metasd_json_number(json, "steep", (double)calibration->whole.steep, 9);
}

static void
append_calibration(MetasdJson *json, const MetasdHoldout *holdout)
{
    if (holdout->calibration.asked == 0)
        return;
    append_sigmoid(json, "calibration", &holdout->calibration);
    if (holdout->relation_calibration.asked > 0) {
        append_sigmoid(json, "relations", &holdout->relation_calibration);
        metasd_json_close(json);
    }
    metasd_json_close(json);
}

static Datum
metrics_json(const MetasdJob *job, const Findings *findings)
{
    MetasdJson *json = metasd_json_begin();
    struct rusage usage;
    const MetasdState *step = &job->trainer.step;
    size_t rows = (size_t)step->entities + step->relation_rows;

    getrusage(RUSAGE_SELF, &usage);
    metasd_progress_append_input(json, job);
    metasd_json_whole(json, "epoch", job->best.epoch);
    metasd_json_fixed(json, "sparsity", job->best.sparsity, 6);
    metasd_json_number(json, "threshold", (double)job->best.cut, 9);
    metasd_json_whole(json, "empty_rows", (int64)findings->empty);
    metasd_json_fixed(json, "seconds", (double)(GetCurrentTimestamp() - job->started) / 1e6, 1);
    metasd_json_whole(json, "dense_bytes", (int64)(rows * step->width * sizeof(float)));
    metasd_json_whole(json, "peak_memory", usage.ru_maxrss * 1024L);
    metasd_compare_append(json, job);
    append_ranks(json, "validation", &job->best.student);
    append_ranks(json, "full", &job->best.source);
    append_ranks(json, "stored", &findings->ranks);
    append_calibration(json, &findings->holdout);
    return JsonbPGetDatum(metasd_json_end(json));
}

/* Before anything else is locked: kg_drop, too, takes the model's row first. */
bool
metasd_store_lock_model(const MetasdJob *job)
{
    MetasdModel *model = metasd_model_find(job->model, true);

    return model != NULL;
}

static void
promote(MetasdJob *job, const Findings *findings, size_t bytes)
{
    static MetasdStatement finish = {
        "UPDATE metasd.run SET status = 'succeeded', finished = clock_timestamp(), phase = NULL, "
        "pid = NULL, metrics = $2, bytes = $3, note = $4, kept = true WHERE id = $1",
        4,
        {INT8OID, JSONBOID, INT8OID, TEXTOID},
        NULL};
    const char *note = job->comparison.note;
    Datum of_run[4] = {Int64GetDatum(job->launch.run), metrics_json(job, findings),
                       Int64GetDatum((int64)bytes), note ? CStringGetTextDatum(note) : (Datum)0};

    if (metasd_statement_execute(&finish, of_run, note ? NULL : "   n", false) == 0) {
        job->gone = true;
        return;
    }
    if (job->comparison.promoted)
        metasd_model_serve(job->model, job->launch.run);
    metasd_prune_versions(job);
}

/* Another version may serve by now than the one compared with. Locks the model's row. */
static bool
is_outdated(MetasdJob *job)
{
    MetasdModel *model = metasd_model_find(job->model, true);

    if (!model)
        job->gone = true;
    else
        job->comparison.outdated = model->serving != job->comparison.serving;
    return job->gone || job->comparison.outdated;
}

/*
 * Before anybody sees the version serve. Without an image it serves as well, though its first
 * question takes longer: a failure does not undo the training, but for what ends the worker.
 */
static void
publish_image(const MetasdJob *job)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;

    metasd_image_cache_forget();
    BeginInternalSubTransaction(NULL);
    PG_TRY();
    {
        metasd_image_cache_publish(job->model, metasd_limits_cache_size());
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        ErrorData *error;

        MemoryContextSwitchTo(context);
        error = CopyErrorData();
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
            error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
            PG_RE_THROW();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        ereport(LOG, (errmsg("metasd run " INT64_FORMAT ": the image of its version could not be "
                             "built: %s",
                             job->launch.run, error->message)));
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
}

static void
store(MetasdJob *job, const void *what)
{
    const Findings *findings = what;
    int64 *degree =
        palloc_extended(job->graph.entities * sizeof(*degree), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    int64 *count = palloc0(job->graph.relations * sizeof(*count));
    size_t bytes;

    if (is_outdated(job))
        return;
    count_triples(&job->graph, degree, count);
    bytes = store_entities(job, degree);
    bytes += store_relations(job, count, &findings->holdout);
    metasd_checkpoint_forget(job);
    ForceSyncCommit();
    promote(job, findings, bytes);
    if (job->comparison.promoted && !job->gone)
        publish_image(job);
}

/* The model's row is not locked while versions are compared: that may take minutes. */
void
metasd_store(MetasdJob *job)
{
    Findings findings;

    round_best(job, &findings);
    do {
        metasd_progress_phase(job, "comparing");
        metasd_compare(job);
        metasd_progress_phase(job, "storing");
        metasd_transaction_run(job, store, &findings);
    } while (job->comparison.outdated);
    if (job->comparison.note)
        ereport(LOG,
                (job->comparison.promoted
                     ? errmsg("metasd run " INT64_FORMAT " of model \"%s\" was promoted without a "
                              "comparison",
                              job->launch.run, job->model)
                     : errmsg("metasd run " INT64_FORMAT " of model \"%s\" was not promoted",
                              job->launch.run, job->model),
                 errdetail_internal("%s", job->comparison.note)));
}
