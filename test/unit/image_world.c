#include "image_world.h"

#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "core/serve/query.h"

#define STREAM 80

static void
random_rows(float *rows, size_t n, double density, uint64_t stream)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = (double)metasd_random_below(5, stream, i, 1000000) < density * 1e6
                      ? (float)metasd_random_normal(6, stream, i)
                      : 0.0f;
}

/* Rows as they are read back from what is stored. */
static void
store_rows(float *rows, size_t n, uint32_t width, MetasdStorage storage)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(metasd_row_round(storage, width, rows + i * width), METASD_OK);
}

static MetasdRowSpace
take_space(size_t width)
{
    return (MetasdRowSpace){.capacity = width,
                            .positions = malloc(width * sizeof(uint32_t)),
                            .values = malloc(width * sizeof(float)),
                            .codes = malloc(width * sizeof(int8_t))};
}

static void
free_space(MetasdRowSpace space)
{
    free(space.positions);
    free(space.values);
    free(space.codes);
}

static MetasdSparseRow
sparse_row(MetasdStorage storage, const float *dense, uint32_t width, MetasdRowSpace space)
{
    static uint8_t bytes[4096];
    MetasdSparseRow row;
    size_t n;

    assert_int_equal(metasd_row_encode(storage, width, dense, bytes, sizeof(bytes), &n), METASD_OK);
    assert_int_equal(metasd_row_decode_sparse(bytes, n, width, space, &row), METASD_OK);
    return row;
}

size_t
image_world_label(char kind, uint32_t id, char *label)
{
    if (id == 0)
        return 0;
    if (id == 1) {
        memcpy(label, "a\0b\0", 4);
        return 4;
    }
    if (id == 2) {
        memset(label, 'x', 100000);
        return 100000;
    }
    if (id == 3) {
        memcpy(label, "a\0b", 3); /* as id 1, one zero shorter */
        return 3;
    }
    return (size_t)sprintf(label, id % 3 == 0 ? "%c-\xc3\xa9t\xc3\xa9-\xff-%u" : "%c%u", kind, id);
}

bool
image_world_is_irreflexive(uint32_t relation)
{
    return relation % 2 == 1;
}

static void
build_image(ImageWorld *w)
{
    static char label[IMAGE_WORLD_LABEL];
    MetasdRowSpace space = take_space(w->width), other = take_space(w->width);
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer;
    size_t n = (size_t)w->entities * w->width, p = 2 * (size_t)w->relations * w->width;
    uint32_t *counts = calloc(w->width, sizeof(*counts));

    w->plan = (MetasdImagePlan){
        .family = w->family, .entities = w->entities, .relations = w->relations, .width = w->width};
    for (size_t i = 0; i < n; i++) {
        w->plan.entity_kept += w->E[i] != 0;
        counts[i % w->width] += w->E[i] != 0;
    }
    for (size_t i = 0; i < p; i++)
        w->plan.relation_kept += w->W[i] != 0;
    for (uint32_t e = 0; e < w->entities; e++)
        w->plan.entity_label_bytes += image_world_label('e', e, label);
    for (uint32_t r = 0; r < w->relations; r++)
        w->plan.relation_label_bytes += image_world_label('r', r, label);

    if (w->settled)
        metasd_image_choose_columns(
            &w->plan, w->storage == METASD_FLOAT32 ? METASD_CODES_FLOAT : METASD_CODES_INT8,
            counts);
    w->bytes = metasd_image_bytes(&w->plan);
    w->image = malloc(w->bytes);
    memset(w->image, 0xff, w->bytes); /* nothing of what was there matters */
    assert_int_equal(metasd_image_begin(&writer, &w->plan, counts, w->image), METASD_OK);
    for (uint32_t e = 0; e < w->entities; e++)
        assert_int_equal(metasd_image_add_entity(
                             &writer, e, label, image_world_label('e', e, label),
                             sparse_row(w->storage, w->E + (size_t)e * w->width, w->width, space)),
                         METASD_OK);
    for (uint32_t r = 0; r < w->relations; r++) {
        const float *forward = w->W + (size_t)r * w->width;
        const float *reciprocal = w->W + (size_t)(r + w->relations) * w->width;

        assert_int_equal(
            metasd_image_add_relation(&writer, r, label, image_world_label('r', r, label),
                                      sparse_row(w->storage, forward, w->width, space),
                                      sparse_row(w->storage, reciprocal, w->width, other)),
            METASD_OK);
        if (image_world_is_irreflexive(r))
            assert_int_equal(metasd_image_set_irreflexive(&writer, r), METASD_OK);
    }
    assert_int_equal(metasd_image_set_irreflexive(&writer, w->relations), METASD_INVALID);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    free_space(space);
    free_space(other);
    free(counts);
}

ImageWorld
image_world_make_of(const MetasdFamily *family, uint32_t entities, uint32_t relations,
                    uint32_t width, double density, MetasdStorage storage, bool settled)
{
    ImageWorld w = {.entities = entities,
                    .relations = relations,
                    .width = width,
                    .family = family,
                    .storage = storage,
                    .settled = settled};
    size_t n = (size_t)entities * width, p = 2 * (size_t)relations * width;
    uint32_t most = entities > relations ? entities : relations;
    MetasdTeam team = metasd_team_of_one();

    w.E = malloc(n * sizeof(float));
    w.W = malloc((p + 1) * sizeof(float));
    random_rows(w.E, n, density, STREAM);
    random_rows(w.W, p, density, STREAM + 1);
    if (entities > 5)
        memset(w.E + 5 * (size_t)width, 0, width * sizeof(float)); /* an entity pruned whole */
    store_rows(w.E, entities, width, storage);
    store_rows(w.W, 2 * relations, width, storage);
    w.scratch = malloc(metasd_query_scratch_bytes(width));
    w.scores = malloc(most * sizeof(float));
    w.ids = malloc(most * sizeof(uint32_t));
    build_image(&w);
    assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &w.index), METASD_OK);
    return w;
}

ImageWorld
image_world_make(uint32_t entities, uint32_t relations, uint32_t width, double density)
{
    return image_world_make_of(&metasd_family_complex, entities, relations, width, density,
                               METASD_INT8, true);
}

void
image_world_free(ImageWorld *w)
{
    free(w->E);
    free(w->W);
    free(w->image);
    free(w->scratch);
    free(w->scores);
    free(w->ids);
}

void
image_world_build_again(ImageWorld *w, MetasdStorage storage)
{
    MetasdTeam team = metasd_team_of_one();

    free(w->image);
    w->storage = storage;
    store_rows(w->E, w->entities, w->width, storage);
    store_rows(w->W, 2 * w->relations, w->width, storage);
    build_image(w);
    assert_int_equal(metasd_image_open(w->image, w->bytes, &team, &w->index), METASD_OK);
}
