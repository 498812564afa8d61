/* A row that is folded of facts answers them as the row would that they came from. */
#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "core/serve/fold.h"
#include "core/serve/query.h"
#include "tools.h"

#define RELATIONS 6u
#define STREAM 90

/* An image of random rows, and what folds on it need. */
typedef struct World {
    uint32_t entities, width;
    void *memory, *fold_memory, *scratch;
    MetasdImage image;
    MetasdFoldSample sample;
    MetasdFold fold;
    MetasdTeam team;
    float *scores, *row;
} World;

static size_t
random_row(float *row, uint32_t *positions, uint32_t width, float scale, uint64_t stream)
{
    size_t kept = 0;

    for (uint32_t j = 0; j < width; j++) {
        float x = scale * (float)metasd_random_normal(7, stream, j);

        if (metasd_random_below(8, stream, j, 4) == 0 || x == 0)
            continue;
        positions[kept] = j;
        row[kept++] = x;
    }
    return kept;
}

static MetasdSparseRow
make_row(float *row, uint32_t *positions, uint32_t width, float scale, uint64_t stream)
{
    return (MetasdSparseRow){.positions = positions,
                             .values = row,
                             .kept = random_row(row, positions, width, scale, stream)};
}

static MetasdStatus
fill_image(World *w, MetasdImagePlan *plan, const MetasdFamily *family, float scale)
{
    float *row = malloc(2 * w->width * sizeof(float));
    uint32_t *positions = malloc(2 * w->width * sizeof(uint32_t));
    uint32_t *counts = calloc(w->width, sizeof(*counts));
    MetasdImageWriter writer;
    MetasdStatus status;
    size_t bytes;
    char label[16];

    *plan = (MetasdImagePlan){
        .family = family, .entities = w->entities, .relations = RELATIONS, .width = w->width};
    for (uint32_t e = 0; e < w->entities; e++) {
        size_t kept = random_row(row, positions, w->width, scale, STREAM + e);

        plan->entity_kept += kept;
        plan->entity_label_bytes += (uint64_t)snprintf(label, sizeof(label), "e%u", e);
        for (size_t i = 0; i < kept; i++)
            counts[positions[i]]++;
    }
    for (uint32_t r = 0; r < 2 * RELATIONS; r++)
        plan->relation_kept += random_row(row, positions, w->width, scale, STREAM + 10000 + r);
    for (uint32_t r = 0; r < RELATIONS; r++)
        plan->relation_label_bytes += (uint64_t)snprintf(label, sizeof(label), "r%u", r);
    metasd_image_choose_columns(plan, METASD_CODES_FLOAT, counts);
    bytes = metasd_image_bytes(plan);
    w->memory = malloc(bytes);
    assert_int_equal(metasd_image_begin(&writer, plan, counts, w->memory), METASD_OK);
    for (uint32_t e = 0; e < w->entities; e++) {
        int len = snprintf(label, sizeof(label), "e%u", e);

        status = metasd_image_add_entity(&writer, e, label, (size_t)len,
                                         make_row(row, positions, w->width, scale, STREAM + e));
        assert_int_equal(status, METASD_OK);
    }
    for (uint32_t r = 0; r < RELATIONS; r++) {
        int len = snprintf(label, sizeof(label), "r%u", r);

        status =
            metasd_image_add_relation(&writer, r, label, (size_t)len,
                                      make_row(row, positions, w->width, scale, STREAM + 10000 + r),
                                      make_row(row + w->width, positions + w->width, w->width,
                                               scale, STREAM + 10000 + RELATIONS + r));
        assert_int_equal(status, METASD_OK);
    }
    assert_int_equal(metasd_image_set_irreflexive(&writer, 1), METASD_OK);
    status = metasd_image_finish(&writer, &w->team);
    if (status == METASD_OK)
        status = metasd_image_open(w->memory, bytes, &w->team, &w->image);
    free(row);
    free(positions);
    free(counts);
    return status;
}

/* Takes exactly the memory that was measured. */
static void
take_memory(World *w, size_t capacity)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;

    metasd_fold_sample_take(&arena, &w->image, &w->sample);
    metasd_fold_take(&arena, &w->sample, capacity, &w->fold);
    bytes = arena.used + METASD_ALIGN;
    w->fold_memory = malloc(bytes);
    arena = metasd_arena_over(w->fold_memory, bytes);
    metasd_fold_sample_take(&arena, &w->image, &w->sample);
    metasd_fold_take(&arena, &w->sample, capacity, &w->fold);
    assert_true(metasd_arena_ok(&arena));
    assert_int_equal(metasd_fold_sample_fill(&w->image, &w->team, &w->sample), METASD_OK);
}

static World
make_world(const MetasdFamily *family, uint32_t entities, uint32_t width, float scale)
{
    World w = {.entities = entities, .width = width, .team = metasd_team_of_one()};
    MetasdImagePlan plan;

    assert_int_equal(fill_image(&w, &plan, family, scale), METASD_OK);
    take_memory(&w, 64);
    w.scratch = malloc(metasd_query_scratch_bytes(width));
    w.scores = malloc(entities * sizeof(float));
    w.row = malloc(width * sizeof(float));
    return w;
}

static void
free_world(World *w)
{
    free(w->memory);
    free(w->fold_memory);
    free(w->scratch);
    free(w->scores);
    free(w->row);
}

/* The places of the K best scores. */
static void
find_best(const World *w, uint32_t *best, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) {
        best[i] = i > 0 && best[0] == 0 ? 1 : 0;
        for (uint32_t e = 0; e < w->entities; e++) {
            bool taken = false;

            for (uint32_t p = 0; p < i; p++)
                taken = taken || best[p] == e;
            if (!taken && (w->scores[e] > w->scores[best[i]]))
                best[i] = e;
        }
        w->scores[best[i]] = METASD_LEFT_OUT;
    }
}

static size_t
rank_of(const World *w, uint32_t e)
{
    size_t rank = 1;

    for (uint32_t i = 0; i < w->entities; i++)
        rank += w->scores[i] > w->scores[e];
    return rank;
}

#define EACH 2u /* answers of a question that are given */

/* The facts of entity E: its best answers with all relation rows but the last. */
static size_t
facts_of_entity(const World *w, uint32_t e, MetasdFoldFact *facts)
{
    size_t n = 0;

    for (uint32_t r = 0; r < 2 * RELATIONS - 1; r++) {
        uint32_t best[EACH];

        metasd_query_scores_tails(&w->image, e, r, w->scores, w->scratch);
        find_best(w, best, EACH);
        for (uint32_t i = 0; i < EACH; i++)
            facts[n++] = (MetasdFoldFact){r, best[i]};
    }
    return metasd_fold_sort(facts, n);
}

/* The facts of relation R: the best answer of some heads. */
static size_t
facts_of_relation(const World *w, uint32_t r, MetasdFoldFact *facts)
{
    size_t n = 0;

    for (uint32_t h = 0; h < 30; h++) {
        uint32_t best[1];

        metasd_query_scores_tails(&w->image, h, r, w->scores, w->scratch);
        find_best(w, best, 1);
        facts[n++] = (MetasdFoldFact){h, best[0]};
    }
    return metasd_fold_sort(facts, n);
}

/* An entity is folded of its own facts: it is found again, and answers what was not given. */
static void
an_entity_is_found_by_its_facts(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        for (uint32_t n = 60; n <= 300; n += 240) { /* fewer than a sample has, and more */
            World w = make_world(tools_families[f], n, 48, 0.5f);
            double mrr = 0;
            int found = 0;

            for (uint32_t e = 0; e < 20; e++) {
                MetasdFoldFact facts[2 * RELATIONS * EACH];
                size_t count = facts_of_entity(&w, e, facts);
                MetasdGiven given = {.id = n, .row = w.row};
                uint32_t best[1];

                assert_int_equal(metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, count,
                                             &w.fold, &w.team, w.row),
                                 METASD_OK);
                metasd_query_scores_similar_of(&w.image, given, w.scores, w.scratch);
                found += rank_of(&w, e) == 1;
                metasd_query_scores_tails(&w.image, e, 2 * RELATIONS - 1, w.scores, w.scratch);
                find_best(&w, best, 1);
                metasd_query_scores_tails_of(&w.image, given, metasd_given(2 * RELATIONS - 1),
                                             w.scores, w.scratch);
                mrr += 1.0 / (double)rank_of(&w, best[0]) / 20;
            }
            assert_true(found >= 16);
            assert_true(mrr >= 0.2); /* by chance it would be .08 and .02 */
            free_world(&w);
        }
}

static void
a_relation_is_found_by_its_facts(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++) {
        World w = make_world(tools_families[f], 200, 48, 0.5f);
        double mrr = 0;

        for (uint32_t r = 0; r < 2 * RELATIONS; r++) {
            MetasdFoldFact facts[64];
            size_t count = facts_of_relation(&w, r, facts);

            assert_int_equal(metasd_fold(&w.image, &w.sample, METASD_FOLD_RELATION, facts, count,
                                         &w.fold, &w.team, w.row),
                             METASD_OK);
            for (uint32_t h = 100; h < 110; h++) { /* heads that were not given */
                uint32_t best[1];

                metasd_query_scores_tails(&w.image, h, r, w.scores, w.scratch);
                find_best(&w, best, 1);
                metasd_query_scores_tails_of(&w.image, metasd_given(h),
                                             (MetasdGiven){.id = 99, .row = w.row}, w.scores,
                                             w.scratch);
                mrr += 1.0 / (double)rank_of(&w, best[0]) / 10 / (2 * RELATIONS);
            }
        }
        assert_true(mrr >= 0.2); /* by chance it would be .03 */
        free_world(&w);
    }
}

/* Neither the order of facts nor their number of times changes a bit. */
static void
facts_are_a_set(void **state)
{
    World w = make_world(&metasd_family_complex, 150, 20, 0.5f);
    MetasdFoldFact facts[8] = {{3, 7}, {0, 7}, {3, 1}, {3, 7}, {11, 149}, {0, 7}, {3, 2}, {3, 1}};
    MetasdFoldFact other[5] = {{3, 1}, {0, 7}, {11, 149}, {3, 2}, {3, 7}};
    float *row = malloc(20 * sizeof(float));

    (void)state;
    assert_int_equal(metasd_fold_sort(facts, 8), 5);
    assert_int_equal(metasd_fold_sort(other, 5), 5);
    assert_memory_equal(facts, other, sizeof(other));
    assert_int_equal(metasd_fold_sort(facts, 0), 0);
    assert_int_equal(
        metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, 5, &w.fold, &w.team, row),
        METASD_OK);
    assert_int_equal(
        metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, other, 5, &w.fold, &w.team, w.row),
        METASD_OK);
    assert_memory_equal(row, w.row, 20 * sizeof(float));
    free(row);
    free_world(&w);
}

/* The norm is about that of the rows beside it, so that scores compare. */
static void
norms_are_like_those_beside(void **state)
{
    World w = make_world(&metasd_family_complex, 300, 48, 0.5f);
    MetasdFoldFact facts[2 * RELATIONS * EACH];
    double mean = 0;

    (void)state;
    for (uint32_t e = 0; e < 300; e++)
        mean += (double)w.image.norms[e] / 300;
    for (uint32_t e = 0; e < 10; e++) {
        double norm = 0;

        assert_int_equal(metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts,
                                     facts_of_entity(&w, e, facts), &w.fold, &w.team, w.row),
                         METASD_OK);
        for (uint32_t j = 0; j < 48; j++)
            norm += (double)w.row[j] * (double)w.row[j];
        assert_true(sqrt(norm) > 0.4 * mean && sqrt(norm) < 1.6 * mean);
    }
    free_world(&w);
}

static MetasdStatus
refuse(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

static void
edges_are_reported(void **state)
{
    World w = make_world(&metasd_family_complex, 40, 8, 0.5f);
    MetasdFoldFact facts[65] = {{0, 1}};
    MetasdArena arena = metasd_arena_measure();
    MetasdFold fold;

    (void)state;
    assert_int_equal(
        metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, 0, &w.fold, &w.team, w.row),
        METASD_INVALID);
    assert_int_equal(
        metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, 65, &w.fold, &w.team, w.row),
        METASD_INVALID);
    w.team.poll = refuse;
    w.team.worked = METASD_POLL_WORK - 1;
    assert_int_equal(
        metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, 1, &w.fold, &w.team, w.row),
        METASD_INTERRUPTED);
    w.team.worked = METASD_POLL_WORK - 1;
    assert_int_equal(metasd_fold_sample_fill(&w.image, &w.team, &w.sample), METASD_INTERRUPTED);
    metasd_fold_take(&arena, &w.sample, SIZE_MAX / 8, &fold);
    assert_false(metasd_arena_ok(&arena));
    free_world(&w);

    /* Rows of zeros have no direction, and huge ones no likelihood: no row is not a number. */
    for (int i = 0; i < 3; i++) {
        static const float scales[] = {0, 1e8f, 1e-30f};
        MetasdStatus status;

        w = make_world(&metasd_family_complex, 200, 8, scales[i]);
        status =
            metasd_fold(&w.image, &w.sample, METASD_FOLD_ENTITY, facts, 1, &w.fold, &w.team, w.row);
        assert_true(status == METASD_OK || status == METASD_NON_FINITE);
        for (uint32_t j = 0; j < 8 && status == METASD_OK; j++)
            assert_true(fabsf(w.row[j]) <= METASD_IMAGE_MAX_WEIGHT);
        free_world(&w);
    }
}

/* A row from elsewhere that is equal to one of the image answers as that one does. */
static void
rows_from_elsewhere_answer_alike(void **state)
{
    World w = make_world(&metasd_family_complex, 100, 24, 0.5f);
    float *relation = malloc(24 * sizeof(float)), *other = malloc(24 * sizeof(float));
    float *scores = malloc(100 * sizeof(float));

    (void)state;
    metasd_query_embedding(&w.image, 5, w.row);
    metasd_query_embedding(&w.image, 9, other);
    for (uint32_t r = 0; r < 2 * RELATIONS; r++) {
        bool irreflexive = r % RELATIONS == 1;
        MetasdGiven head = {.id = 100, .row = w.row}, tail = {.id = 101, .row = other};
        MetasdGiven of = {.id = 99, .row = relation, .irreflexive = irreflexive};

        metasd_query_relation_row(&w.image, r, relation);
        metasd_query_scores_tails(&w.image, 5, r, scores, w.scratch);
        assert_true((scores[5] == METASD_IMPOSSIBLE) == irreflexive);
        metasd_query_scores_tails_of(&w.image, metasd_given(5), of, w.scores, w.scratch);
        assert_memory_equal(scores, w.scores, 100 * sizeof(float));
        metasd_query_scores_tails_of(&w.image, head, of, w.scores, w.scratch);
        for (uint32_t e = 0; e < 100; e++)
            assert_true(e == 5 || scores[e] == w.scores[e]); /* it is not entity 5 itself */
        assert_true(w.scores[5] > METASD_IMPOSSIBLE);
        assert_true(fabsf(metasd_query_score_of(&w.image, head, of, tail, w.scratch) -
                          metasd_query_score(&w.image, 5, r, 9, w.scratch)) < 1e-4f);
        assert_true((metasd_query_score_of(&w.image, head, of, head, w.scratch) ==
                     METASD_IMPOSSIBLE) == irreflexive);
    }
    metasd_query_scores_relations(&w.image, 5, 9, scores, w.scratch);
    metasd_query_scores_relations_of(&w.image, (MetasdGiven){.row = w.row},
                                     (MetasdGiven){.row = other}, w.scores, w.scratch);
    assert_memory_equal(scores, w.scores, RELATIONS * sizeof(float));
    metasd_query_scores_similar(&w.image, 5, scores, w.scratch);
    metasd_query_scores_similar_of(&w.image, (MetasdGiven){.row = w.row}, w.scores, w.scratch);
    for (uint32_t e = 0; e < 100; e++)
        assert_true(fabsf(scores[e] - w.scores[e]) < 1e-5f);
    assert_true(metasd_probability_sigmoid_ok(metasd_query_mean_sigmoid(&w.image)));
    free(relation);
    free(other);
    free(scores);
    free_world(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entity_is_found_by_its_facts),
        cmocka_unit_test(a_relation_is_found_by_its_facts),
        cmocka_unit_test(facts_are_a_set),
        cmocka_unit_test(norms_are_like_those_beside),
        cmocka_unit_test(edges_are_reported),
        cmocka_unit_test(rows_from_elsewhere_answer_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
