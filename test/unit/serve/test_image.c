/* The serving image answers as a dense model would. */
#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/image.h"
#include "core/serve/postings.h"
#include "core/serve/query.h"
#include "image_world.h"
#include "tools.h"

#define STREAM 80

/* The score by its definition, in double. */
static double
dense_score(const ImageWorld *w, uint32_t h, uint32_t r, uint32_t t)
{
    const float *head = w->E + (size_t)h * w->width, *relation = w->W + (size_t)r * w->width;
    const float *tail = w->E + (size_t)t * w->width;
    double row[3][64];

    if (h == t && image_world_is_irreflexive(r % w->relations))
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
dense_cosine(const ImageWorld *w, uint32_t a, uint32_t b)
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
compare_answers(ImageWorld *w)
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
compare_batch(ImageWorld *w, size_t n)
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
                ImageWorld w = image_world_make_of(
                    tools_families[f], shapes[s].entities, shapes[s].relations, shapes[s].width,
                    shapes[s].density, (MetasdStorage)(k % METASD_STORAGES), k < METASD_STORAGES);

                compare_answers(&w);
                for (size_t n = 0; n <= 60; n = 7 * n + 1) /* few, or enough to share tiles */
                    compare_batch(&w, n);
                image_world_free(&w);
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
        ImageWorld w =
            image_world_make_of(&metasd_family_complex, 300, 3, 64, dense, (MetasdStorage)k, true);
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
        image_world_free(&w);
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

/* Rows of entities as they are added, and the codes and scales that come of them. */
typedef struct CodeCase {
    MetasdSparseRow rows[3];
    MetasdCodes codes;
    float scales[3];
} CodeCase;

/* An image of the rows, with labels of a byte. */
static MetasdImage
build_coded(const CodeCase *of, void *memory)
{
    static const float singles[] = {0.3f, -7};
    static const char *const labels[] = {"a", "b", "c"};
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

    for (int e = 0; e < 3; e++) {
        plan.entity_kept += of->rows[e].kept;
        for (size_t i = 0; i < of->rows[e].kept; i++)
            counts[two_positions[i]]++;
    }
    metasd_image_choose_columns(&plan, of->codes, counts);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    for (uint32_t e = 0; e < 3; e++)
        assert_int_equal(metasd_image_add_entity(&writer, e, labels[e], 1, of->rows[e]), METASD_OK);
    assert_int_equal(metasd_image_add_relation(&writer, 0, "r", 1, relation, relation), METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(
        metasd_image_open(memory, metasd_image_bytes(&writer.image.plan), &team, &index),
        METASD_OK);
    return index;
}

/* The scales are those of the rows; codes are whole if all rows have some. */
static void
codes_come_with_the_rows(void **state)
{
    static const int8_t sixes[] = {63, 1}, eights[] = {127, -3}, ones[] = {1, 63};
    static const float singles[] = {0.3f, -7};
    const CodeCase cases[] = {
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

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        MetasdImage index = build_coded(&cases[c], memory);
        float row[4];

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
        ImageWorld w =
            image_world_make_of(&metasd_family_complex, 130, 3, 8, 0.5, METASD_FLOAT32, true);

        for (uint32_t e = 0; e < w.entities; e++)
            for (uint32_t j = 0; j < w.width; j++)
                if (w.E[e * w.width + j] != 0)
                    w.E[e * w.width + j] =
                        (w.E[e * w.width + j] < 0 ? -1 : 1) * sizes[(e + j / 7) % 6];
        image_world_build_again(&w, (MetasdStorage)k);
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
        image_world_free(&w);
    }
}

static void
labels_are_any_bytes(void **state)
{
    static char label[IMAGE_WORLD_LABEL];
    ImageWorld w = image_world_make(200, 20, 4, 0.5);
    uint32_t id;

    (void)state;
    for (uint32_t e = 0; e < w.entities; e++) {
        size_t len = image_world_label('e', e, label), stored;
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
        size_t len = image_world_label('r', r, label), stored;

        assert_true(metasd_label_find(&w.index.relation_labels, label, len, &id));
        assert_int_equal(id, r);
        assert_memory_equal(metasd_label_get(&w.index.relation_labels, r, &stored), label, len);
        assert_int_equal(stored, len);
    }
    assert_false(metasd_label_find(&w.index.entity_labels, "r7", 2, &id));
    assert_false(metasd_label_find(&w.index.relation_labels, "e7", 2, &id));
    image_world_free(&w);
}

static void
builders_mistakes_are_refused(void **state)
{
    static _Alignas(64) char memory[4096];
    static const struct {
        uint32_t positions[2];
        float values[2];
        size_t kept;
    } bad[] = {{{4}, {1}, 1},     {{0}, {0}, 1},       {{0}, {NAN}, 1},    {{0}, {INFINITY}, 1},
               {{0}, {-2e9f}, 1}, {{1, 1}, {1, 1}, 2}, {{2, 1}, {1, 1}, 2}};
    uint32_t positions[3] = {0, 1, 2};
    float values[3] = {1, 2, 3};
    MetasdSparseRow one = {.positions = positions, .values = values, .kept = 1}, three = one;
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer;

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
}

/* A row with one weight, a float. */
static MetasdSparseRow
one_weight(void)
{
    static const float values[] = {1};
    static const uint32_t positions[] = {0};

    return (MetasdSparseRow){.positions = positions, .values = values, .kept = 1};
}

/* Counts are those of the plan, and those of the rows. */
static void
wrong_counts_are_refused(void **state)
{
    static _Alignas(64) char memory[4096];
    uint32_t counts[4] = {2};
    MetasdImageWriter writer = small_writer(memory, sizeof(memory));
    MetasdImagePlan plan = writer.image.plan;

    (void)state;
    assert_int_equal(metasd_image_begin(&writer, &plan, (uint32_t[4]){1}, memory), METASD_INVALID);
    assert_int_equal(metasd_image_begin(&writer, &plan, (uint32_t[4]){2, 1}, memory),
                     METASD_INVALID);
    assert_int_equal(metasd_image_begin(&writer, &plan, (uint32_t[4]){1, 1}, memory), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, one_weight()), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 1, "cd", 2, one_weight()), METASD_INVALID);
    metasd_image_choose_columns(&plan, METASD_CODES_INT8, counts);
    assert_int_equal(plan.columns, 1);
    assert_int_equal(metasd_image_begin(&writer, &plan, (uint32_t[4]){1, 1}, memory),
                     METASD_INVALID);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, one_weight()),
                     METASD_INVALID); /* a float, where there are codes */
}

/* The same bytes elsewhere, at another alignment, are the same image. */
static void
images_can_be_moved(void **state)
{
    static _Alignas(64) char memory[4096], again[4096];
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer = small_writer(memory, sizeof(memory));
    size_t bytes = metasd_image_bytes(&writer.image.plan);
    MetasdImage index;

    (void)state;
    assert_int_equal(metasd_image_add_entity(&writer, 0, "ab", 2, one_weight()), METASD_OK);
    assert_int_equal(metasd_image_add_entity(&writer, 1, "cd", 2, one_weight()), METASD_OK);
    assert_int_equal(metasd_image_add_relation(&writer, 0, "r", 1, one_weight(), one_weight()),
                     METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    memcpy(again + 8, memory, bytes);
    assert_int_equal(metasd_image_open(again + 8, bytes, &team, &index), METASD_OK);
    assert_int_equal(metasd_image_open(again + 4, 2048, &team, &index), METASD_INVALID);
}

static void
impossible_plans_have_no_size(void **state)
{
    const MetasdFamily *family = &metasd_family_complex;
    const MetasdImagePlan plans[] = {
        {.family = family, .width = 4, .entity_kept = UINT64_MAX / 4},
        {.family = family, .width = 4, .entity_kept = UINT64_MAX},
        {.family = family, .width = 3},
        {.width = 4},
        {.family = family, .width = 4, .entities = UINT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++)
        assert_true(metasd_image_bytes(&plans[i]) == SIZE_MAX);
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
        cmocka_unit_test(wrong_counts_are_refused),
        cmocka_unit_test(images_can_be_moved),
        cmocka_unit_test(impossible_plans_have_no_size),
        cmocka_unit_test(sigmoids_are_kept),
        cmocka_unit_test(an_empty_image_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
