#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/serve/clusters.h"
#include "small_image.h"
#include "tools.h"

static void
add_entity(MetasdImageWriter *writer, uint32_t id, const float *row, MetasdStorage storage)
{
    uint32_t width = writer->image.plan.width;
    size_t bytes = metasd_row_bound(width), used;
    MetasdRowSpace space = {.capacity = width,
                            .positions = tools_alloc(width * sizeof(uint32_t)),
                            .values = tools_alloc(width * sizeof(float)),
                            .codes = tools_alloc(width)};
    uint8_t *encoded = tools_alloc(bytes);
    MetasdSparseRow sparse;
    char label[16];

    assert_int_equal(metasd_row_encode(storage, width, row, encoded, bytes, &used), METASD_OK);
    assert_int_equal(metasd_row_decode_sparse(encoded, used, width, space, &sparse), METASD_OK);
    assert_int_equal(metasd_image_add_entity(writer, id, label,
                                             (size_t)snprintf(label, sizeof(label), "e%u", id),
                                             sparse),
                     METASD_OK);
    free(space.positions);
    free(space.values);
    free(space.codes);
    free(encoded);
}

static void
make_clusters(MetasdImage *image, MetasdTeam *team)
{
    void *memory = tools_alloc(metasd_clusters_bytes(&image->plan));

    assert_int_equal(metasd_clusters_make(image, memory, team), METASD_OK);
    free(memory);
}

void *
small_image(MetasdImage *image, float *rows, uint32_t entities, uint32_t width,
            MetasdStorage storage, bool settled)
{
    return small_clustered_image(image, rows, entities, width, storage, settled, 0);
}

void *
small_clustered_image(MetasdImage *image, float *rows, uint32_t entities, uint32_t width,
                      MetasdStorage storage, bool settled, uint32_t clusters)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdImagePlan plan = {.family = &metasd_family_complex,
                            .entities = entities,
                            .relations = 1,
                            .width = width,
                            .relation_label_bytes = 1,
                            .clusters = clusters};
    uint32_t *counts = calloc(width, sizeof(*counts));
    MetasdImageWriter writer;
    size_t bytes;
    void *memory;

    for (size_t i = 0; i < (size_t)entities * width; i++) {
        if (i % width == 0)
            assert_int_equal(metasd_row_round(storage, width, rows + i), METASD_OK);
        plan.entity_kept += rows[i] != 0;
        counts[i % width] += rows[i] != 0;
    }
    for (uint32_t e = 0; e < entities; e++)
        plan.entity_label_bytes += (uint64_t)snprintf(NULL, 0, "e%u", e);
    if (settled)
        metasd_image_choose_columns(
            &plan, storage == METASD_FLOAT32 ? METASD_CODES_FLOAT : METASD_CODES_INT8, counts);
    bytes = metasd_image_bytes(&plan);
    memory = tools_alloc(bytes);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    for (uint32_t e = 0; e < entities; e++)
        add_entity(&writer, e, rows + (size_t)e * width, storage);
    assert_int_equal(
        metasd_image_add_relation(&writer, 0, "r", 1, (MetasdSparseRow){0}, (MetasdSparseRow){0}),
        METASD_OK);
    if (clusters > 0) {
        assert_int_equal(metasd_image_finish(&writer, &team), METASD_INVALID);
        make_clusters(&writer.image, &team);
    }
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(metasd_image_open(memory, bytes, &team, image), METASD_OK);
    free(counts);
    return memory;
}
