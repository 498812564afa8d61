#include "pg/worker/import.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/train/warm_start.h"
#include "pg/base/json.h"
#include "pg/worker/process.h"
#include "pg/worker/training.h"

#define RANKED_BATCH 256

/* A block has so many bytes, or one row. */
#define BLOCK_BYTES ((size_t)1 << 20)

/* ---- the run ---- */

void
metasd_import_find(MetasdImport *import, int64 run)
{
    *import = (MetasdImport){.given = false};
    import->given = metasd_import_order_read(&import->order, run);
}

Jsonb *
metasd_import_metrics(const MetasdImport *import)
{
    MetasdJson *json = metasd_json_begin();

    metasd_import_order_write(&import->order, json);
    metasd_json_whole(json, "left_out", (int64)import->missing);
    metasd_json_whole(json, "zeros", (int64)import->zeros);
    metasd_json_bool(json, "reciprocal", import->reciprocals);
    if (import->fits) {
        metasd_json_open(json, "fit");
        metasd_json_fixed(json, "tails", import->fit.tails, 3);
        metasd_json_fixed(json, "heads", import->fit.heads, 3);
        if (import->shape.reals > 1)
            metasd_json_fixed(json, "other_layout", import->other_fit.tails, 3);
        metasd_json_close(json);
    }
    return metasd_json_end(json);
}

/* ---- reading ---- */

void
metasd_import_open(MetasdImport *import, Oid owner)
{
    for (int i = 0; i < 2; i++)
        import->table[i] = metasd_embedding_open(import->order.relation[i], i == 1, owner);
}

static size_t
rows_per_block(const MetasdImport *import)
{
    return Max(1, BLOCK_BYTES / (import->shape.width * sizeof(float)));
}

static void
add_block(MetasdImport *import, MetasdImportRows *rows)
{
    size_t bytes = rows_per_block(import) * import->shape.width * sizeof(float);

    if (rows->blocks == rows->capacity) {
        size_t before = rows->capacity, after = before ? 2 * before : 16;

        rows->block =
            metasd_budget_grow(import->budget, import->context, rows->block,
                               before * sizeof(*rows->block), after * sizeof(*rows->block));
        rows->capacity = after;
    }
    metasd_budget_take(import->budget, bytes);
    rows->block[rows->blocks++] =
        MemoryContextAllocExtended(import->context, bytes, MCXT_ALLOC_HUGE);
}

static void
add_row(MetasdImport *import, MetasdImportRows *rows, const float *row)
{
    size_t per = rows_per_block(import), width = import->shape.width;

    if (rows->count == rows->blocks * per)
        add_block(import, rows);
    memcpy(rows->block[rows->count / per] + rows->count % per * width, row, width * sizeof(*row));
    rows->count++;
}

static const float *
get_row(const MetasdImport *import, const MetasdImportRows *rows, size_t i)
{
    size_t per = rows_per_block(import);

    return rows->block[i / per] + i % per * import->shape.width;
}

static void
add_entity(void *context, const float *embedding, const float *reciprocal)
{
    MetasdImport *import = context;

    (void)reciprocal;
    add_row(import, &import->rows[0], embedding);
}

static void
add_relation(void *context, const float *embedding, const float *reciprocal)
{
    MetasdImport *import = context;

    add_row(import, &import->rows[1], embedding);
    if (reciprocal)
        add_row(import, &import->reciprocal, reciprocal);
}

void
metasd_import_read(MetasdImport *import, Oid owner, const MetasdFamily *family,
                   MetasdBudget *budget, MetasdLabelSet *const labels[2])
{
    static const MetasdEmbeddingFunction add[2] = {add_entity, add_relation};

    import->budget = budget;
    import->shape =
        (MetasdEmbeddingShape){.reals = family->reals_per_rank, .most_rank = METASD_MOST_RANK};
    import->context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd import", ALLOCSET_DEFAULT_SIZES);
    for (int i = 0; i < 2; i++)
        metasd_embedding_read(import->table[i], owner, &import->shape, labels[i], add[i], import);
}

void
metasd_import_miss(MetasdImport *import, bool relation, const char *label, size_t len)
{
    if (import->missing++ > 0)
        return;
    import->missed = MemoryContextStrdup(import->context, pnstrdup(label, len));
    import->missed_relation = relation;
}

void
metasd_import_check_missing(const MetasdImport *import, const char *source, size_t triples)
{
    const char *table = import->table[import->missed_relation ? 1 : 0]->name;

    if (import->missing == 0 || (import->order.skips && triples > 0))
        return;
    ereport(
        ERROR,
        (errcode(ERRCODE_UNDEFINED_OBJECT),
         errmsg_plural("%llu triple of source \"%s\" has a label that has no embedding",
                       "%llu triples of source \"%s\" have labels that have no embedding",
                       (unsigned long)import->missing, (unsigned long long)import->missing, source),
         import->missed_relation
             ? errdetail("Relation \"%.200s\" is not in table \"%s\".", import->missed, table)
             : errdetail("Entity \"%.200s\" is not in table \"%s\".", import->missed, table),
         errhint("Add what is missing, or let such triples be left out: params => "
                 "'{\"missing\": \"skip\"}'. Their entities are newcomers then, which are "
                 "answered from their facts.")));
}

void
metasd_import_number(MetasdImport *import, uint32 *const number[2])
{
    for (int i = 0; i < 2; i++)
        import->number[i] = number[i];
}

/* ---- parameters ---- */

static void
give(MetasdParams *params, MetasdParam parameter, double value)
{
    params->value[parameter] = value;
    params->given[parameter] = true;
}

static void
give_default(MetasdParams *params, MetasdParam parameter, double value)
{
    if (!params->given[parameter])
        give(params, parameter, value);
}

/*
 * What is imported is what was chosen elsewhere: by default nothing of it is pruned. There is
 * nothing for probes to choose: the regularizer matters for fine-tuning alone.
 */
void
metasd_import_settle(const MetasdImport *import, MetasdParams *params)
{
    bool tunes = params->given[METASD_P_FINETUNE] && params->value[METASD_P_FINETUNE] > 0;
    double epochs = tunes ? params->value[METASD_P_FINETUNE] : 0;

    give(params, METASD_P_RANK, (double)(import->shape.width / import->shape.reals));
    give(params, METASD_P_FINETUNE, epochs);
    give(params, METASD_P_EPOCHS, Max(epochs, 1));
    give(params, METASD_P_WARMUP, 0);
    give(params, METASD_P_RAMP, 0);
    give(params, METASD_P_MUTUAL, 0);
    give(params, METASD_P_QUIZ, 0);
    give(params, METASD_P_VALIDATION_FRACTION, 0);
    give(params, METASD_P_WARM_START, 0);
    if (!tunes) { /* batches are only ranked; small ones need little memory, and no state is lean */
        give(params, METASD_P_WORKERS, 1);
        give(params, METASD_P_NEGATIVES, 0);
        give(params, METASD_P_BATCH, RANKED_BATCH);
    }
    give_default(params, METASD_P_SPARSITY, 0);
    give_default(params, METASD_P_PRUNING, METASD_MAGNITUDE);
}

/* ---- the weights ---- */

/* A row as the family has it: all real parts, then all imaginary parts. */
static void
arrange_row(const MetasdImport *import, const float *from, float *to)
{
    size_t width = import->shape.width, reals = import->shape.reals, rank = width / reals;

    if (!import->order.interleaved || reals == 1) {
        memcpy(to, from, width * sizeof(*to));
        return;
    }
    for (size_t j = 0; j < rank; j++)
        for (size_t part = 0; part < reals; part++)
            to[part * rank + j] = from[j * reals + part];
}

static void
fill_rows(const MetasdImport *import, MetasdProcess *process, const MetasdImportRows *rows,
          const uint32 *number, float *table)
{
    size_t width = import->shape.width;

    for (size_t i = 0; i < rows->count; i++) {
        arrange_row(import, get_row(import, rows, i), table + number[i] * width);
        metasd_process_check_status(process,
                                    metasd_team_work(&process->team, METASD_FAR_WORK + 2 * width));
    }
}

/* ---- what they say of the facts ---- */

/* The layout that the other one is read as: real and imaginary parts in turn. */
static void
interleave(size_t width, const float *row, float *out)
{
    for (size_t j = 0; j < width / 2; j++) {
        out[2 * j] = row[j];
        out[2 * j + 1] = row[width / 2 + j];
    }
}

static void
separate(size_t width, const float *row, float *out)
{
    for (size_t j = 0; j < width / 2; j++) {
        out[j] = row[2 * j];
        out[width / 2 + j] = row[2 * j + 1];
    }
}

/* Nothing else tells of rows in a wrong layout or of wrong labels: any numbers can be imported. */
static void
measure_fit(MetasdImport *import, MetasdProcess *process, const MetasdState *state,
            const MetasdGraph *graph)
{
    MetasdFitWeights weights = {.family = state->family,
                                .width = state->width,
                                .rows = state->weights,
                                .scratch =
                                    palloc(METASD_FIT_SCRATCH * state->width * sizeof(float))};
    MetasdTeam alone = metasd_process_team_of_one(process);

    import->fits = graph->part_triples[METASD_TRAIN] >= METASD_FIT_TRIPLES &&
                   graph->entities >= METASD_FIT_ENTITIES;
    if (import->fits) {
        metasd_process_check_status(process, metasd_fit(&weights, &alone, graph, &import->fit));
        weights.reading = import->order.interleaved ? interleave : separate;
        if (import->shape.reals > 1)
            metasd_process_check_status(process,
                                        metasd_fit(&weights, &alone, graph, &import->other_fit));
    }
    pfree(weights.scratch);
}

/* ---- filling ---- */

/* Sums of Adagrad, and a mask: what fine-tuning starts with. */
static void
prepare_tuning(MetasdProcess *process, MetasdTraining *training)
{
    MetasdState *state = &training->trainer.state;
    size_t rows = (size_t)state->entities + state->relation_rows;
    uint8_t *known = palloc_extended(rows, MCXT_ALLOC_HUGE);

    memset(known, 1, rows);
    metasd_process_check_status(process, metasd_warm_start(state, &process->team, &training->graph,
                                                           known, training->options.seed));
    training->trainer.progress.warm = true;
    pfree(known);
}

/* Rows that say nothing, before anything is pruned. */
static uint64
count_zeros(MetasdProcess *process, const MetasdState *state)
{
    size_t width = state->width, rows = (size_t)state->entities + state->relation_rows;
    uint64 zeros = 0;

    for (size_t row = 0; row < rows; row++) {
        const float *weights = state->weights + row * width;
        size_t j = 0;

        while (j < width && weights[j] == 0)
            j++;
        zeros += j == width;
        metasd_process_check_status(process, metasd_team_work(&process->team, METASD_FAR_WORK + j));
    }
    return zeros;
}

void
metasd_import_fill(MetasdImport *import, MetasdProcess *process, MetasdTraining *training)
{
    MetasdState *state = &training->trainer.state;
    size_t width = import->shape.width, relations = state->relation_rows / 2;
    float *forward = state->weights + (size_t)state->entities * width;
    float *reciprocal = forward + relations * width;

    if (state->width != width || import->rows[0].count != state->entities ||
        import->rows[1].count != relations)
        elog(ERROR, "the shape of an import is not that of its training");
    fill_rows(import, process, &import->rows[0], import->number[0], state->weights);
    fill_rows(import, process, &import->rows[1], import->number[1], forward);
    fill_rows(import, process, &import->reciprocal, import->number[1], reciprocal);
    import->reciprocals = import->reciprocal.count > 0;
    for (size_t r = 0; r < relations && !import->reciprocals; r++)
        state->family->reciprocate(width, forward + r * width, reciprocal + r * width);
    MemoryContextDelete(import->context);
    import->context = NULL;
    import->zeros = count_zeros(process, state);
    measure_fit(import, process, state, &training->graph);
    if (training->options.finetune > 0)
        prepare_tuning(process, training);
}
