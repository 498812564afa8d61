#include "pg/worker/new_image.h"

#include <math.h>

#include "utils/memutils.h"

#include "core/serve/clusters.h"

static void
add_label_bytes(const MetasdLabelSet *labels, uint64_t *bytes)
{
    for (uint32 i = 0; i < metasd_labelset_count(labels); i++)
        *bytes += metasd_labelset_get(labels, i).len;
}

/* The image of such a training, all dimensions as lists. */
static MetasdImagePlan
expect_image(const MetasdInput *input, const MetasdTrainOptions *options)
{
    size_t width = options->rank * (size_t)options->family->reals_per_rank;
    MetasdImagePlan plan = {.family = options->family,
                            .entities = metasd_labelset_count(input->entities),
                            .relations = metasd_labelset_count(input->relations),
                            .width = (uint32)width};
    double rows = (double)plan.entities + 2.0 * plan.relations;
    double kept = ceil(rows * (double)width * (1 - options->sparsity));

    plan.entity_kept = (uint64)Min(kept, (double)plan.entities * (double)width);
    plan.relation_kept = (uint64)Min(kept, 2.0 * plan.relations * (double)width);
    add_label_bytes(input->entities, &plan.entity_label_bytes);
    add_label_bytes(input->relations, &plan.relation_label_bytes);
    return plan;
}

size_t
metasd_new_image_bytes(const MetasdInput *input, const MetasdTrainOptions *options)
{
    MetasdImagePlan plan = expect_image(input, options);

    return metasd_image_bytes(&plan);
}

MetasdNewImageBytes
metasd_new_image_served_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                              MetasdStorage storage)
{
    MetasdImagePlan plan = expect_image(input, options);
    MetasdNewImageBytes bytes;
    uint32 *counts = palloc(plan.width * sizeof(*counts));

    for (uint32 j = 0; j < plan.width; j++)
        counts[j] = (uint32)((double)plan.entity_kept / (double)plan.width);
    metasd_image_choose_columns(
        &plan, storage == METASD_FLOAT32 ? METASD_CODES_FLOAT : METASD_CODES_INT8, counts);
    pfree(counts);
    plan.clusters = metasd_clusters_default(plan.entities);
    bytes.image = bytes.building = metasd_image_bytes(&plan);
    if (plan.clusters > 0 &&
        __builtin_add_overflow(bytes.image, metasd_clusters_bytes(&plan), &bytes.building))
        bytes.building = SIZE_MAX;
    return bytes;
}

/* A row as positions and values, in the arrays given. */
static MetasdSparseRow
gather_row(const float *row, size_t width, uint32 *positions, float *values)
{
    size_t kept = 0;

    for (size_t i = 0; i < width; i++)
        if (row[i] != 0) {
            positions[kept] = (uint32)i;
            values[kept++] = row[i];
        }
    return (MetasdSparseRow){positions, values, kept};
}

/* Counts the weights, those of entities by dimensions, and labels that the image will hold. */
static MetasdStatus
plan_image(MetasdImagePlan *plan, uint32 *counts, MetasdTeam *team, const MetasdInput *input,
           const MetasdTraining *training)
{
    const MetasdState *state = &training->trainer.state;
    size_t width = state->width, rows = (size_t)state->entities + state->relation_rows;

    *plan = (MetasdImagePlan){.family = state->family,
                              .entities = training->graph.entities,
                              .relations = training->graph.relations,
                              .width = (uint32)width};
    memset(counts, 0, width * sizeof(*counts));
    for (size_t i = 0; i < rows; i++) {
        const float *row = training->trainer.best + i * width;

        for (size_t k = 0; k < width && i < plan->entities; k++)
            counts[k] += row[k] != 0;
        for (size_t k = 0; k < width && i >= plan->entities; k++)
            plan->relation_kept += row[k] != 0;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + width));
    }
    for (size_t k = 0; k < width; k++)
        plan->entity_kept += counts[k];
    add_label_bytes(input->entities, &plan->entity_label_bytes);
    add_label_bytes(input->relations, &plan->relation_label_bytes);
    return METASD_OK;
}

static void *
take_array(size_t n, size_t size)
{
    return palloc_extended(mul_size(Max(n, 1), size), MCXT_ALLOC_HUGE);
}

/* An image being written, with scratch for two rows. */
typedef struct Writing {
    MetasdImageWriter writer;
    const MetasdTraining *training;
    size_t width;
    uint32 *positions;
    float *values;
} Writing;

static MetasdStatus
add_entity(Writing *w, uint32 id, MetasdLabel label)
{
    const float *row = w->training->trainer.best + id * w->width;

    return metasd_image_add_entity(&w->writer, id, label.data, label.len,
                                   gather_row(row, w->width, w->positions, w->values));
}

static MetasdStatus
add_relation(Writing *w, uint32 id, MetasdLabel label)
{
    const MetasdGraph *graph = &w->training->graph;
    size_t width = w->width;
    const float *row = w->training->trainer.best + ((size_t)graph->entities + id) * width;
    const float *reciprocal = row + graph->relations * width;

    METASD_TRY(metasd_image_add_relation(
        &w->writer, id, label.data, label.len, gather_row(row, width, w->positions, w->values),
        gather_row(reciprocal, width, w->positions + width, w->values + width)));
    return graph->irreflexive[id] ? metasd_image_set_irreflexive(&w->writer, id) : METASD_OK;
}

MetasdStatus
metasd_new_image_build(MetasdImage *image, MetasdTeam *team, const MetasdInput *input,
                       const MetasdTraining *training)
{
    size_t width = training->trainer.state.width, bytes;
    Writing w = {.training = training, .width = width};
    uint32 *counts = take_array(width, sizeof(*counts));
    MetasdImagePlan plan;

    METASD_TRY(plan_image(&plan, counts, team, input, training));
    bytes = metasd_image_bytes(&plan);
    if (bytes == SIZE_MAX)
        return METASD_INVALID;
    w.positions = take_array(2 * width, sizeof(*w.positions));
    w.values = take_array(2 * width, sizeof(*w.values));
    METASD_TRY(metasd_image_begin(&w.writer, &plan, counts, take_array(bytes, 1)));
    for (uint32 e = 0; e < plan.entities; e++) {
        METASD_TRY(add_entity(&w, e, metasd_labelset_get(input->entities, e)));
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + width));
    }
    for (uint32 r = 0; r < plan.relations; r++) {
        METASD_TRY(add_relation(&w, r, metasd_labelset_get(input->relations, r)));
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + width));
    }
    METASD_TRY(metasd_image_finish(&w.writer, team));
    *image = w.writer.image;
    return METASD_OK;
}
