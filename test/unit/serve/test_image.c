/* The serving image answers as a dense model would, and damage to it never harms who opens it. */
#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "core/serve/image.h"
#include "core/serve/query.h"
#include "core/serve/postings.h"
#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "tools.h"
#include "core/ranking/topk.h"

#define STREAM 80

/* A dense model, its labels, and the image made of them. */
typedef struct World {
    uint32_t entities, relations, width;
    float *E, *W; /* N and P dense rows */
    const MetasdFamily *family;
    MetasdStorage storage;
    bool settled; /* dimensions that most entities keep are columns */
    MetasdImagePlan plan;
    size_t bytes;
    void *image;
    MetasdImage index;
    void *scratch;
    float *scores;
    uint32_t *ids;
} World;

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

/* Labels with every nuisance: 0 is empty, 1 has zero bytes in it, 2 is long, some are not ASCII. */
static size_t
label_of(char kind, uint32_t id, char *label)
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

static bool
is_irreflexive(uint32_t relation)
{
    return relation % 2 == 1;
}

static void
build_image(World *w)
{
    static char label[100001];
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
        w->plan.entity_label_bytes += label_of('e', e, label);
    for (uint32_t r = 0; r < w->relations; r++)
        w->plan.relation_label_bytes += label_of('r', r, label);

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
                             &writer, e, label, label_of('e', e, label),
                             sparse_row(w->storage, w->E + (size_t)e * w->width, w->width, space)),
                         METASD_OK);
    for (uint32_t r = 0; r < w->relations; r++) {
        const float *forward = w->W + (size_t)r * w->width;
        const float *reciprocal = w->W + (size_t)(r + w->relations) * w->width;

        assert_int_equal(
            metasd_image_add_relation(&writer, r, label, label_of('r', r, label),
                                      sparse_row(w->storage, forward, w->width, space),
                                      sparse_row(w->storage, reciprocal, w->width, other)),
            METASD_OK);
        if (is_irreflexive(r))
            assert_int_equal(metasd_image_set_irreflexive(&writer, r), METASD_OK);
    }
    assert_int_equal(metasd_image_set_irreflexive(&writer, w->relations), METASD_INVALID);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    free_space(space);
    free_space(other);
    free(counts);
}

static World
make_world_of(const MetasdFamily *family, uint32_t entities, uint32_t relations, uint32_t width,
              double density, MetasdStorage storage, bool settled)
{
    World w = {.entities = entities,
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

static World
make_world(uint32_t entities, uint32_t relations, uint32_t width, double density)
{
    return make_world_of(&metasd_family_complex, entities, relations, width, density, METASD_INT8,
                         true);
}

static void
free_world(World *w)
{
    free(w->E);
    free(w->W);
    free(w->image);
    free(w->scratch);
    free(w->scores);
    free(w->ids);
}

/* The score by its definition, in double. */
static double
dense_score(const World *w, uint32_t h, uint32_t r, uint32_t t)
{
    const float *head = w->E + (size_t)h * w->width, *relation = w->W + (size_t)r * w->width;
    const float *tail = w->E + (size_t)t * w->width;
    double row[3][64];

    if (h == t && is_irreflexive(r % w->relations))
        return (double)METASD_IMPOSSIBLE;
    assert_true(w->width <= 64);
    for (uint32_t j = 0; j < w->width; j++) {
        row[0][j] = head[j];
        row[1][j] = relation[j];
        row[2][j] = tail[j];
    }
    return tools_score(w->family, w->width, row[0], row[1], row[2]);
}

static double
dense_cosine(const World *w, uint32_t a, uint32_t b)
{
    const float *x = w->E + (size_t)a * w->width, *y = w->E + (size_t)b * w->width;
    double xy = 0, xx = 0, yy = 0;

    for (uint32_t j = 0; j < w->width; j++) {
        xy += (double)x[j] * y[j];
        xx += (double)x[j] * x[j];
        yy += (double)y[j] * y[j];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

static void
assert_close(double a, double b)
{
    assert_true(fabs(a - b) <= 2e-5 * (1 + fabs(b)));
}

static void
compare_answers(World *w)
{
    float *row = malloc(w->width * sizeof(float)), score;

    assert_ptr_equal(w->index.plan.family, w->family);
    for (uint32_t h = 0; h < w->entities; h += 3) {
        for (uint32_t r = 0; r < 2 * w->relations; r++) {
            metasd_query_scores_tails(&w->index, h, r, w->scores, w->scratch);
            for (uint32_t t = 0; t < w->entities; t++) {
                assert_close(w->scores[t], dense_score(w, h, r, t));
                score = metasd_query_score(&w->index, h, r, t, w->scratch);
                assert_memory_equal(&score, &w->scores[t], sizeof(score));
            }
        }
        for (uint32_t t = 0; t < w->entities; t += 2) {
            metasd_query_scores_relations(&w->index, h, t, w->scores, w->scratch);
            for (uint32_t r = 0; r < w->relations; r++)
                assert_close(w->scores[r], dense_score(w, h, r, t));
        }
        metasd_query_scores_similar(&w->index, h, w->scores, w->scratch);
        for (uint32_t t = 0; t < w->entities; t++) {
            assert_close(w->scores[t], dense_cosine(w, h, t));
            assert_true(w->scores[t] >= -1 && w->scores[t] <= 1);
        }
        metasd_query_embedding(&w->index, h, row);
        assert_memory_equal(row, w->E + (size_t)h * w->width, w->width * sizeof(float));
    }
    free(row);
}

/* A batch of N questions, one of which gives rows from elsewhere, has the bits of each alone. */
static void
compare_batch(World *w, size_t n)
{
    size_t floats = (size_t)w->entities + 1; /* one more, which nothing writes */
    float *scores = malloc(n * floats * sizeof(float)), guard = 12345;
    void *scratch = malloc(metasd_query_batch_bytes(w->width, n));
    MetasdAsk *asks = calloc(n, sizeof(*asks));

    for (size_t i = 0; i < n; i++) {
        asks[i] = (MetasdAsk){
            .head = metasd_given((uint32_t)metasd_random_below(i, STREAM, 7, w->entities)),
            .relation = metasd_given((uint32_t)metasd_random_below(i, STREAM, 8, 2 * w->relations)),
            .scores = scores + i * floats};
        if (i % 5 == 2) {
            asks[i].head.row = w->E + (size_t)asks[i].head.id * w->width;
            asks[i].relation.row = w->W + (size_t)asks[i].relation.id * w->width;
        }
        asks[i].scores[w->entities] = guard;
    }
    metasd_query_scores_tails_of_batch(&w->index, asks, n, scratch);
    for (size_t i = 0; i < n; i++) {
        metasd_query_scores_tails_of(&w->index, asks[i].head, asks[i].relation, w->scores,
                                     w->scratch);
        assert_memory_equal(asks[i].scores, w->scores, w->entities * sizeof(float));
        assert_true(asks[i].scores[w->entities] == guard);
    }
    free(scores);
    free(scratch);
    free(asks);
}

/* Of whatever family, storage and density: an image knows its own. */
static void
answers_equal_a_dense_model(void **state)
{
    static const struct {
        uint32_t entities, relations, width;
        double density;
    } shapes[] = {
        {70, 6, 20, 0.3}, {300, 3, 64, 0.1}, {9, 1, 2, 0.5}, {40, 4, 8, 1}, {12, 2, 6, 0}};

    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
            for (int k = 0; k < METASD_STORAGES + 1; k++) {
                /* a large one in one storage each */
                if (tools_quick() && shapes[s].entities > 50 && k != f % (METASD_STORAGES + 1))
                    continue;
                World w = make_world_of(tools_families[f], shapes[s].entities, shapes[s].relations,
                                        shapes[s].width, shapes[s].density,
                                        (MetasdStorage)(k % METASD_STORAGES), k < METASD_STORAGES);

                compare_answers(&w);
                for (size_t n = 0; n <= 60; n = 7 * n + 1) /* few, or enough to share tiles */
                    compare_batch(&w, n);
                free_world(&w);
            }
}

/* Columns are what many entities keep, and their codes as narrow as the storage allows. */
static void
columns_are_chosen(void **state)
{
    static const MetasdCodes codes[METASD_STORAGES] = {[METASD_FLOAT32] = METASD_CODES_FLOAT,
                                                       [METASD_INT8] = METASD_CODES_INT8,
                                                       [METASD_INT6] = METASD_CODES_INT8,
                                                       [METASD_INT4] = METASD_CODES_INT8};

    (void)state;
    for (int k = 0; k < METASD_STORAGES; k++) {
        double dense = metasd_image_dense(codes[k]);
        World w = make_world_of(&metasd_family_complex, 300, 3, 64, dense, (MetasdStorage)k, true);
        uint32_t columns = 0;

        for (uint32_t j = 0; j < w.width; j++) {
            uint32_t kept = 0;

            for (uint32_t e = 0; e < w.entities; e++)
                kept += w.E[(size_t)e * w.width + j] != 0;
            assert_true((w.index.dimension.place[j] < w.index.plan.columns) ==
                        (kept >= dense * w.entities));
            columns += kept >= dense * w.entities;
        }
        assert_true(columns > 0 && columns < w.width);
        assert_int_equal(w.index.plan.columns, columns);
        assert_int_equal(w.index.plan.codes, codes[k]);
        free_world(&w);
    }
}

/* Begins an image of two entities with one weight and two bytes of label each, and one relation. */
static MetasdImageWriter
small_writer(void *memory, size_t size)
{
    MetasdImagePlan plan = {.family = &metasd_family_complex,
                            .entities = 2,
                            .relations = 1,
                            .width = 4,
                            .entity_kept = 2,
                            .relation_kept = 2,
                            .entity_label_bytes = 4,
                            .relation_label_bytes = 1};
    static uint32_t counts[4];
    MetasdImageWriter writer;

    memcpy(counts, (uint32_t[4]){2}, sizeof(counts));
    assert_true(metasd_image_bytes(&plan) <= size);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    return writer;
}

static const uint32_t two_positions[] = {1, 3};

/* A row to be added: up to two weights with codes. */
static MetasdSparseRow
coded_row(size_t kept, const int8_t *codes, int most_code, double step)
{
    return (MetasdSparseRow){.positions = two_positions,
                             .kept = kept,
                             .codes = codes,
                             .most_code = most_code,
                             .step = step};
}

/* The same without codes. */
static MetasdSparseRow
float_row(size_t kept, const float *values)
{
    return (MetasdSparseRow){.positions = two_positions, .values = values, .kept = kept};
}

/* The scales are those of the rows; codes are whole if all rows have some. */
static void
codes_come_with_the_rows(void **state)
{
    static const int8_t sixes[] = {63, 1}, eights[] = {127, -3}, ones[] = {1, 63};
    static const float singles[] = {0.3f, -7};
    const struct {
        MetasdSparseRow rows[3];
        MetasdCodes codes;
        float scales[3];
    } cases[] = {
        {{coded_row(2, sixes, 63, 0.25), coded_row(2, ones, 63, 0.125), float_row(0, NULL)},
         METASD_CODES_INT8,
         {0.25f, 0.125f, 1}},
        {{coded_row(2, sixes, 63, 0.25), coded_row(2, eights, 127, 0.5),
          coded_row(1, ones, 63, 0.125)},
         METASD_CODES_INT8,
         {0.25f, 0.5f, 0.125f}},
        {{coded_row(2, sixes, 63, 0.25), coded_row(2, eights, 127, 0.5), float_row(2, singles)},
         METASD_CODES_FLOAT,
         {1, 1, 1}},
    };
    static _Alignas(64) char memory[8192];
    static const char *const labels[] = {"a", "b", "c"};

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        MetasdSparseRow relation = float_row(1, singles); /* needs no codes */
        MetasdImagePlan plan = {.family = &metasd_family_complex,
                                .entities = 3,
                                .relations = 1,
                                .width = 4,
                                .relation_kept = 2,
                                .entity_label_bytes = 3,
                                .relation_label_bytes = 1};
        MetasdTeam team = metasd_team_of_one();
        MetasdImageWriter writer;
        MetasdImage index;
        uint32_t counts[4] = {0};
        float row[4];

        for (int e = 0; e < 3; e++) {
            plan.entity_kept += cases[c].rows[e].kept;
            for (size_t i = 0; i < cases[c].rows[e].kept; i++)
                counts[two_positions[i]]++;
        }
        metasd_image_choose_columns(&plan, cases[c].codes, counts);
        assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
        for (uint32_t e = 0; e < 3; e++)
            assert_int_equal(metasd_image_add_entity(&writer, e, labels[e], 1, cases[c].rows[e]),
                             METASD_OK);
        assert_int_equal(metasd_image_add_relation(&writer, 0, "r", 1, relation, relation),
                         METASD_OK);
        assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
        assert_int_equal(
            metasd_image_open(memory, metasd_image_bytes(&writer.image.plan), &team, &index),
            METASD_OK);
        assert_int_equal(index.plan.columns, 2);
        assert_int_equal(index.plan.codes, cases[c].codes);
        for (uint32_t e = 0; e < METASD_WORD; e++)
            assert_true(index.scales[e] == (e < 3 ? (double)cases[c].scales[e] : 1));
        for (uint32_t e = 0; e < 3; e++) {
            metasd_query_embedding(&index, e, row);
            for (uint32_t column = 0; column < 2; column++) {
                size_t at = column * METASD_WORD + e;
                float code =
                    cases[c].codes == METASD_CODES_FLOAT
                        ? ((const float *)index.dimension.codes)[at]
                        : (float)(((const uint8_t *)index.dimension.codes)[at] - METASD_CODE_ZERO);

                assert_true(code * (float)index.scales[e] == row[1 + 2 * column]);
            }
        }
    }
}

/* Codes beyond the largest one, of weights that are 0 or too large, or with a bad step. */
static void
wrong_codes_are_refused(void **state)
{
    static const int8_t values[] = {1, -3}, none[] = {1, 0};
    static _Alignas(64) char memory[4096];
    const MetasdSparseRow bad[] = {
        coded_row(2, values, 2, 0.5),
        coded_row(2, none, 63, 0.5),
        coded_row(2, values, 127, 5e8),
        coded_row(2, values, -63, 0.5),
        coded_row(2, values, INT8_MAX + 1, 0.5),
        coded_row(2, values, 63, 0),
        coded_row(2, values, 63, -0.5),
        coded_row(2, values, 63, NAN),
        coded_row(2, values, 63, INFINITY),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        MetasdImageWriter writer = small_writer(memory, sizeof(memory));

        assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, bad[i]), METASD_INVALID);
    }
}

/* Weights of any size, and of none that a code could hold with others: scores are finite. */
static void
codes_hold_weights_of_any_size(void **state)
{
    static const float sizes[] = {1e9f, 1e-3f, 1e-20f, 0x1p-101f, 0x1p-120f, 1e-44f};

    (void)state;
    for (int k = 0; k < METASD_STORAGES; k++) {
        World w = make_world_of(&metasd_family_complex, 130, 3, 8, 0.5, METASD_FLOAT32, true);
        MetasdTeam team = metasd_team_of_one();

        free(w.image);
        for (uint32_t e = 0; e < w.entities; e++)
            for (uint32_t j = 0; j < w.width; j++)
                if (w.E[e * w.width + j] != 0)
                    w.E[e * w.width + j] =
                        (w.E[e * w.width + j] < 0 ? -1 : 1) * sizes[(e + j / 7) % 6];
        w.storage = (MetasdStorage)k;
        store_rows(w.E, w.entities, w.width, w.storage);
        store_rows(w.W, 2 * w.relations, w.width, w.storage);
        build_image(&w);
        assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &w.index), METASD_OK);
        for (uint32_t h = 0; h < w.entities; h++) {
            metasd_query_scores_tails(&w.index, h, 0, w.scores, w.scratch);
            for (uint32_t t = 0; t < w.entities; t++) {
                float score = metasd_query_score(&w.index, h, 0, t, w.scratch);

                assert_true(isfinite(score));
                assert_memory_equal(&score, &w.scores[t], sizeof(score));
            }
            metasd_query_embedding(&w.index, h, w.scratch);
            assert_memory_equal(w.scratch, w.E + h * w.width, w.width * sizeof(float));
        }
        free_world(&w);
    }
}

static void
labels_are_any_bytes(void **state)
{
    static char label[100001];
    World w = make_world(200, 20, 4, 0.5);
    uint32_t id;

    (void)state;
    for (uint32_t e = 0; e < w.entities; e++) {
        size_t len = label_of('e', e, label), stored;
        const char *text = metasd_label_get(&w.index.entity_labels, e, &stored);

        assert_int_equal(stored, len);
        assert_memory_equal(text, label, len);
        assert_true(metasd_label_find(&w.index.entity_labels, label, len, &id));
        assert_int_equal(id, e);
        label[len] = '\0';
        if (e != 3) /* with one zero more it is id 1 */
            assert_false(metasd_label_find(&w.index.entity_labels, label, len + 1, &id));
    }
    for (uint32_t r = 0; r < w.relations; r++) {
        size_t len = label_of('r', r, label), stored;

        assert_true(metasd_label_find(&w.index.relation_labels, label, len, &id));
        assert_int_equal(id, r);
        assert_memory_equal(metasd_label_get(&w.index.relation_labels, r, &stored), label, len);
        assert_int_equal(stored, len);
    }
    assert_false(metasd_label_find(&w.index.entity_labels, "r7", 2, &id));
    assert_false(metasd_label_find(&w.index.relation_labels, "e7", 2, &id));
    free_world(&w);
}

static void
builders_mistakes_are_refused(void **state)
{
    static _Alignas(64) char memory[4096], again[4096];
    static const struct {
        uint32_t positions[2];
        float values[2];
        size_t kept;
    } bad[] = {{{4}, {1}, 1},     {{0}, {0}, 1},       {{0}, {NAN}, 1},    {{0}, {INFINITY}, 1},
               {{0}, {-2e9f}, 1}, {{1, 1}, {1, 1}, 2}, {{2, 1}, {1, 1}, 2}};
    uint32_t positions[3] = {0, 1, 2}, counts[4] = {2};
    float values[3] = {1, 2, 3};
    MetasdSparseRow one = {.positions = positions, .values = values, .kept = 1}, three = one;
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer, other;
    MetasdImagePlan plan;
    MetasdImage index;
    MetasdImagePlan huge = {
        .family = &metasd_family_complex, .width = 4, .entity_kept = UINT64_MAX / 4};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        writer = small_writer(memory, sizeof(memory));
        assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2,
                                                 (MetasdSparseRow){.positions = bad[i].positions,
                                                                   .values = bad[i].values,
                                                                   .kept = bad[i].kept}),
                         METASD_INVALID);
    }
    three.kept = 3;
    writer = small_writer(memory, sizeof(memory));
    assert_int_equal(metasd_image_add_entity(&writer, 1, "ab", 2, one), METASD_INVALID);
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, three), METASD_INVALID);
    writer = small_writer(memory, sizeof(memory));
    assert_int_equal(metasd_image_add_entity(&writer, 0, "abcde", 5, one), METASD_INVALID);
    writer = small_writer(memory, sizeof(memory));
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, one), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 1, "ab", 2, one), METASD_INVALID);
    assert_int_equal(metasd_image_add_entity(&writer, 1, "cd", 2, one), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 2, "", 0, one), METASD_INVALID);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_INVALID);
    assert_int_equal(metasd_image_add_relation(&writer, 0, "r", 1, one, one), METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);

    plan = writer.image.plan; /* counts are those of the plan, and those of the rows */
    assert_int_equal(metasd_image_begin(&other, &plan, (uint32_t[4]){1}, again), METASD_INVALID);
    assert_int_equal(metasd_image_begin(&other, &plan, (uint32_t[4]){2, 1}, again), METASD_INVALID);
    assert_int_equal(metasd_image_begin(&other, &plan, (uint32_t[4]){1, 1}, again), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&other, 0, "ab", 2, one), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&other, 1, "cd", 2, one), METASD_INVALID);
    metasd_image_choose_columns(&plan, METASD_CODES_INT8, counts);
    assert_int_equal(plan.columns, 1);
    assert_int_equal(metasd_image_begin(&other, &plan, (uint32_t[4]){1, 1}, again), METASD_INVALID);
    assert_int_equal(metasd_image_begin(&other, &plan, counts, again), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&other, 0, "ab", 2, one), METASD_INVALID); /* floats */

    /* relocatable: the same bytes elsewhere, at another alignment, are the same image */
    memcpy(again + 8, memory, metasd_image_bytes(&writer.image.plan));
    assert_int_equal(
        metasd_image_open(again + 8, metasd_image_bytes(&writer.image.plan), &team, &index),
        METASD_OK);
    assert_int_equal(metasd_image_open(again + 4, 2048, &team, &index), METASD_INVALID);

    assert_true(metasd_image_bytes(&huge) == SIZE_MAX);
    huge.entity_kept = UINT64_MAX;
    assert_true(metasd_image_bytes(&huge) == SIZE_MAX);
    huge = (MetasdImagePlan){.family = &metasd_family_complex, .width = 3};
    assert_true(metasd_image_bytes(&huge) == SIZE_MAX);
    huge = (MetasdImagePlan){.width = 4};
    assert_true(metasd_image_bytes(&huge) == SIZE_MAX);
    huge = (MetasdImagePlan){.family = &metasd_family_complex, .width = 4, .entities = UINT32_MAX};
    assert_true(metasd_image_bytes(&huge) == SIZE_MAX);
}

/*
 * Each relation row has its own, and relations that are asked for have one; what is not set is the
 * softmax itself, and what is no sigmoid refused.
 */
static void
sigmoids_are_kept(void **state)
{
    static _Alignas(64) char memory[4096];
    static const MetasdSigmoid good = {0.5f, -3, 0.25f, 1.5f}, relations = {2, 1, 0, 1},
                               bad[] = {{0, 0, 0, 1},   {-1, 0, 0, 1}, {NAN, 0, 0, 1},
                                        {1, NAN, 0, 1}, {1, 0, 1, 1},  {1, 0, 0, 0}};
    uint32_t positions[1] = {0};
    float values[1] = {1};
    MetasdSparseRow one = {.positions = positions, .values = values, .kept = 1};
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer = small_writer(memory, sizeof(memory));
    MetasdImage index;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(metasd_image_set_sigmoid(&writer, 0, bad[i]), METASD_INVALID);
    assert_int_equal(metasd_image_set_sigmoid(&writer, 3, good), METASD_INVALID);
    assert_int_equal(metasd_image_set_sigmoid(&writer, 2, relations), METASD_OK);
    assert_int_equal(metasd_image_set_sigmoid(&writer, 1, good), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, one), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 1, "cd", 2, one), METASD_OK);
    assert_int_equal(metasd_image_add_relation(&writer, 0, "r", 1, one, one), METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(
        metasd_image_open(memory, metasd_image_bytes(&writer.image.plan), &team, &index),
        METASD_OK);
    assert_true(metasd_query_sigmoid(&index, 0).slope == 1.0f);
    assert_true(metasd_query_sigmoid(&index, 0).offset == 0.0f);
    assert_true(metasd_query_sigmoid(&index, 1).slope == 0.5f);
    assert_true(metasd_query_sigmoid(&index, 1).offset == -3.0f);
    assert_true(metasd_query_sigmoid(&index, 1).base == 0.25f);
    assert_true(metasd_query_sigmoid(&index, 1).steep == 1.5f);
    assert_true(metasd_query_sigmoid(&index, 2).slope == 2.0f);
    assert_true(metasd_query_sigmoid(&index, 2).offset == 1.0f);
}

static void
an_empty_image_answers(void **state)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdImagePlan plan = {.family = &metasd_family_complex, .width = 2};
    void *memory = malloc(metasd_image_bytes(&plan));
    uint32_t counts[2] = {0};
    MetasdImageWriter writer;
    MetasdImage index;
    MetasdTopk topk;
    uint32_t id;
    float score;

    (void)state;
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(metasd_image_open(memory, metasd_image_bytes(&plan), &team, &index),
                     METASD_OK);
    assert_false(metasd_label_find(&index.entity_labels, "", 0, &id));
    metasd_topk_start(&topk, 0, &score, &id);
    assert_false(metasd_topk_next(&topk, &id, &score));
    free(memory);
}

/* ---- damage ---- */

/* The image's checksums, written from image.h's promise alone: places 24 and 120 of the header. */
static uint64_t
word_sum(const char *at, size_t bytes)
{
    uint64_t sum[4] = {1, 2, 3, 4}, all = bytes;

    for (int i = 0; i < 5; i++)
        for (size_t k = 0; k < (i < 4 ? bytes / 32 : 4); k++) {
            uint64_t *to = i < 4 ? &sum[i] : &all, word = sum[k % 4];

            if (i < 4)
                memcpy(&word, at + k * 32 + i * 8, 8);
            *to = (*to ^ word) * UINT64_C(0x9e3779b97f4a7c15);
            *to ^= *to >> 32;
        }
    return all;
}

static void
seal(char *image, size_t bytes)
{
    uint64_t sum = word_sum(image + 128, bytes - 128);

    memcpy(image + 24, &sum, 8);
    memset(image + 120, 0, 8);
    sum = word_sum(image, 128);
    memcpy(image + 120, &sum, 8);
}

/* Asks everything of an image that was accepted: the sanitizers watch. */
static void
ask_everything(const MetasdImage *index)
{
    uint32_t n = index->plan.entities, p = 2 * index->plan.relations, id;
    uint32_t most = n > p ? n : p;
    float *scores = malloc((most + 1) * sizeof(float)), score;
    float *scratch = malloc(metasd_query_scratch_bytes(index->plan.width));
    uint32_t *ids = malloc((most + 1) * sizeof(uint32_t));
    MetasdTopk topk;
    size_t len;

    for (uint32_t e = 0; e < n; e += 7) {
        const char *label = metasd_label_get(&index->entity_labels, e, &len);

        (void)metasd_label_find(&index->entity_labels, label, len, &id);
        metasd_query_scores_tails(index, e, e % p, scores, scratch);
        metasd_topk_start(&topk, n, scores, ids);
        while (metasd_topk_next(&topk, &id, &score))
            assert_true(id < n);
        (void)metasd_query_score(index, e, e % p, n - 1, scratch);
        metasd_query_scores_relations(index, e, n - 1 - e, scores, scratch);
        metasd_query_scores_similar(index, e, scores, scratch);
        metasd_query_embedding(index, e, scratch);
    }
    for (uint32_t r = 0; r < p / 2; r++) {
        const char *label = metasd_label_get(&index->relation_labels, r, &len);

        (void)metasd_label_find(&index->relation_labels, label, len, &id);
    }
    free(scores);
    free(scratch);
    free(ids);
}

/* A small world with columns and lists. */
static World
make_damageable(void)
{
    World w = make_world(70, 3, 8, metasd_image_dense(METASD_CODES_INT8));

    assert_true(w.index.plan.columns > 0 && w.index.plan.columns < w.width);
    return w;
}

/*
 * Offset AT of an image, or where it goes on behind the text of the long labels if that is there.
 */
static size_t
beside_text(const World *w, size_t at)
{
    const MetasdLabelTable *kinds[2] = {&w->index.entity_labels, &w->index.relation_labels};

    for (int i = 0; i < 2; i++) {
        size_t text = (size_t)(kinds[i]->bytes - (const char *)w->image) + 200;
        size_t end = text - 200 + (size_t)kinds[i]->size;

        if (at >= text && at < end)
            return (end + 3) / 4 * 4;
    }
    return at;
}

/* Places of all words from FIRST on that are not such text, and how many they are. */
static size_t *
words_to_damage(const World *w, size_t first, size_t *count)
{
    size_t *words = malloc(w->bytes / 4 * sizeof(*words));

    *count = 0;
    for (size_t at = first; at + 4 <= w->bytes; at = beside_text(w, at + 4))
        words[(*count)++] = at;
    return words;
}

static void
damaged_images_are_refused(void **state)
{
    World w = make_damageable();
    MetasdTeam team = metasd_team_of_one();
    char *copy = malloc(w.bytes);
    MetasdImage index;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    for (size_t i = 0; i < w.bytes; i = beside_text(&w, i + (tools_quick() ? 5 : 1))) {
        copy[i] ^= (char)(1 << i % 8);
        assert_int_equal(metasd_image_open(copy, w.bytes, &team, &index), METASD_CORRUPT);
        if (i < 128)
            assert_int_equal(metasd_image_attach(copy, w.bytes, &index), METASD_CORRUPT);
        copy[i] ^= (char)(1 << i % 8);
    }
    free(copy);
    for (size_t n = 0; n < w.bytes; n += n < 512 && !tools_quick() ? 1 : 4093) {
        copy = malloc(n > 0 ? n : 1);
        memcpy(copy, w.image, n);
        assert_int_equal(metasd_image_open(copy, n, &team, &index), METASD_CORRUPT);
        free(copy);
    }
    free_world(&w);
}

/* Damage under a right checksum: refused, or harmless. */
static void
forged_images_do_no_harm(void **state)
{
    World w = make_damageable();
    MetasdTeam team = metasd_team_of_one();
    char *copy = malloc(w.bytes);
    size_t count, refused = 0, tries = 0, *words = words_to_damage(&w, 0, &count);
    size_t step = tools_quick() ? 3 : 1;
    MetasdImage index;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    seal(copy, w.bytes);
    assert_memory_equal(copy, w.image, w.bytes);
    for (size_t i = 0; i < count + 1000; i += step, tries++) {
        /* every word of the header and the arrays once; then several at a time, at random */
        for (size_t k = 0; k < (i < count ? 1 : 3); k++) {
            size_t at = words[i < count ? i : metasd_random_below(1, STREAM, 3 * i + k, count)];
            uint32_t word = (uint32_t)metasd_random(2, STREAM, 3 * i + k), old;

            memcpy(&old, copy + at, 4);
            word = i % 3 == 0 ? old + 1 : i % 3 == 1 ? old ^ (1u << word % 32) : word;
            memcpy(copy + at, &word, 4);
        }
        seal(copy, w.bytes);
        if (metasd_image_open(copy, w.bytes, &team, &index) == METASD_OK)
            ask_everything(&index);
        else
            refused++;
        memcpy(copy, w.image, w.bytes);
    }
    assert_true(refused > tries / 4 && refused < tries);
    free(words);
    free(copy);
    free_world(&w);
}

/* A scale or a code under a right checksum that would make scores infinite. */
static void
codes_above_all_weights_are_refused(void **state)
{
    static const MetasdStorage storages[] = {METASD_FLOAT32, METASD_INT8, METASD_INT6, METASD_INT4};
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    for (size_t s = 0; s < sizeof(storages) / sizeof(*storages); s++) {
        World w = make_world_of(&metasd_family_complex, 70, 3, 8, 1, storages[s], true);
        MetasdImage index;
        double scale = w.index.scales[3];

        assert_int_equal(w.index.plan.columns, 8);
        w.index.scales[3] = 8e8; /* a scale alone may be as large, but not with such codes */
        seal(w.image, w.bytes);
        assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &index),
                         w.index.plan.codes == METASD_CODES_FLOAT ? METASD_OK : METASD_CORRUPT);
        w.index.scales[3] = scale;
        if (w.index.plan.codes == METASD_CODES_FLOAT)
            ((float *)w.index.dimension.codes)[3] = 2e9f;
        else
            w.index.scales[3] = 1e8;
        seal(w.image, w.bytes);
        assert_int_equal(metasd_image_open(w.image, w.bytes, &team, &index), METASD_CORRUPT);
        free_world(&w);
    }
}

/* Damage to an image that was opened before: answers may be wrong, but ids are in range. */
static void
damage_after_opening_does_no_harm(void **state)
{
    World w = make_damageable();
    MetasdImage index;
    char *copy = malloc(w.bytes);
    size_t count, *words = words_to_damage(&w, 128, &count), step = tools_quick() ? 3 : 1;

    (void)state;
    memcpy(copy, w.image, w.bytes);
    for (size_t i = 0; i < count + 1000; i += step) {
        for (size_t k = 0; k < (i < count ? 1 : 20); k++) {
            size_t at = words[i < count ? i : metasd_random_below(3, STREAM, 20 * i + k, count)];
            uint32_t word = (uint32_t)metasd_random(4, STREAM, 20 * i + k), old;

            memcpy(&old, copy + at, 4);
            word = i % 3 == 0 ? old + 1 : i % 3 == 1 ? old ^ (1u << word % 32) : word;
            memcpy(copy + at, &word, 4);
        }
        assert_int_equal(metasd_image_attach(copy, w.bytes, &index), METASD_OK);
        ask_everything(&index);
        memcpy(copy, w.image, w.bytes);
    }
    /* no slot is empty, no label the one looked for: the search ends */
    memset(w.index.entity_labels.slots, 1, w.index.entity_labels.slot_count * sizeof(MetasdSlot));
    ask_everything(&w.index);
    for (uint64_t i = 0; i < w.index.entity_labels.slot_count; i++)
        w.index.entity_labels.slots[i].number = 1;
    ask_everything(&w.index);
    free(words);
    free(copy);
    free_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_equal_a_dense_model),
        cmocka_unit_test(columns_are_chosen),
        cmocka_unit_test(codes_come_with_the_rows),
        cmocka_unit_test(wrong_codes_are_refused),
        cmocka_unit_test(codes_hold_weights_of_any_size),
        cmocka_unit_test(labels_are_any_bytes),
        cmocka_unit_test(builders_mistakes_are_refused),
        cmocka_unit_test(sigmoids_are_kept),
        cmocka_unit_test(an_empty_image_answers),
        cmocka_unit_test(damaged_images_are_refused),
        cmocka_unit_test(forged_images_do_no_harm),
        cmocka_unit_test(codes_above_all_weights_are_refused),
        cmocka_unit_test(damage_after_opening_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
