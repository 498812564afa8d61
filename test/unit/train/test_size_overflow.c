/*
 * Sizes that do not fit their numbers are noticed where memory is measured, wherever the product
 * arises; and what is asked of nothing is nothing.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/train/holdout.h"
#include "core/train/step.h"
#include "core/serve/image.h"
#include "core/train/validate.h"
#include "tools.h"
#include "core/graph/graph_build.h"

/* ---- sizes ---- */

static void
graphs_have_limits(void **state)
{
    MetasdSplit split = {.seed = 1};
    MetasdTeam team = metasd_team_of_one();
    MetasdArena arena = metasd_arena_measure();
    MetasdGraph graph;

    (void)state;
    assert_true(metasd_graph_bytes(SIZE_MAX, 1, 1, 1) == SIZE_MAX);
    assert_true(metasd_graph_bytes(SIZE_MAX / 2 + 1, 0, 1, 1) == SIZE_MAX);
    /* Refused before any memory is touched: a measuring arena has none. */
    assert_int_equal(
        metasd_graph_build(&graph, &team, &arena, NULL, 0, NULL, 0, 1, UINT32_MAX / 2 + 1, &split),
        METASD_INVALID);
    arena = metasd_arena_measure();
    assert_int_equal(
        metasd_graph_build(&graph, &team, &arena, NULL, UINT32_MAX / 2 + 1, NULL, 0, 1, 1, &split),
        METASD_INVALID);
}

static bool
state_fits(MetasdState state)
{
    MetasdArena arena = metasd_arena_measure();

    metasd_state_take(&state, &arena, 2, 1000);
    return metasd_arena_ok(&arena);
}

static void
states_have_limits(void **state)
{
    const MetasdState good = {.entities = 1000,
                              .relation_rows = 8,
                              .width = 16,
                              .family = &metasd_family_complex,
                              .size = {.batch = 100,
                                       .queries = 100,
                                       .has_student = true,
                                       .has_quiz = true,
                                       .most_density = 0.4,
                                       .negatives = 50}};
    MetasdState large = good;

    (void)state;
    assert_true(state_fits(good));
    large.width = SIZE_MAX / 1000; /* times 1008 rows */
    assert_false(state_fits(large));
    large = good;
    large.size.batch = SIZE_MAX / 15; /* times 16 floats */
    assert_false(state_fits(large));
    large = good;
    large.entities =
        4; /* fewer than the queries of a batch, and than the rows of a sampled slice */
    large.relation_rows = 2;
    large.size.batch = large.size.queries = 1;
    large.width = SIZE_MAX / METASD_SLICE_ROWS + 2;
    assert_false(state_fits(large));
}

static void
validators_have_limits(void **state)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdValidator validator;

    (void)state;
    metasd_validate_take(&validator, &arena, 2, SIZE_MAX / 4);
    assert_false(metasd_arena_ok(&arena)); /* the numbers fit, their bytes do not */
    arena = metasd_arena_measure();
    metasd_validate_take(&validator, &arena, 8, SIZE_MAX / 4);
    assert_false(metasd_arena_ok(&arena));
}

static void
scores_have_limits(void **state)
{
    MetasdSlices entities = metasd_team_cut(UINT32_MAX), relations = metasd_team_cut(2);
    MetasdScoresNeed need = {.batch = 64,
                             .width = 4,
                             .queries = 64,
                             .floats = 1000,
                             .entities = &entities,
                             .relations = &relations,
                             .ranked = &entities,
                             .members = 1};
    MetasdArena arena = metasd_arena_measure();
    MetasdScores scores;

    (void)state;
    metasd_pass_take(&scores, &arena, &need);
    assert_true(metasd_arena_ok(&arena));
    need.width = SIZE_MAX / 64; /* times 64 queries and 12 parts */
    arena = metasd_arena_measure();
    metasd_pass_take(&scores, &arena, &need);
    assert_false(metasd_arena_ok(&arena));
}

/* A calibration needs so many questions at most, for a graph of any size. */
static void
questions_of_a_calibration_are_limited(void **state)
{
    static const size_t held_out[] = {0, 7, METASD_HOLDOUT_QUESTIONS, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(held_out) / sizeof(*held_out); i++) {
        MetasdGraph graph = {.entities = 10, .relations = 2};
        MetasdArena arena = metasd_arena_measure();
        MetasdHoldout holdout;
        size_t most =
            held_out[i] < METASD_HOLDOUT_QUESTIONS ? held_out[i] : METASD_HOLDOUT_QUESTIONS;

        graph.part[METASD_VALIDATION].count = held_out[i];
        metasd_holdout_take(&holdout, &arena, &graph);
        assert_true(metasd_arena_ok(&arena));
        assert_int_equal(holdout.calibration.most, most);
        assert_true(arena.used < 20 << 20);
    }
}

static void
images_have_limits(void **state)
{
    static _Alignas(64) char memory[4096];
    MetasdImagePlan plan = {.family = &metasd_family_complex, .relations = 1, .width = 2};
    MetasdSparseRow nothing = {0};
    uint32_t counts[3] = {0};
    MetasdImageWriter writer;

    (void)state;
    assert_true(metasd_image_bytes(&plan) < sizeof(memory));
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory + 1), METASD_INVALID);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_OK);
    assert_int_equal(metasd_image_add_relation(&writer, 1, "", 0, nothing, nothing),
                     METASD_INVALID);
    assert_int_equal(metasd_image_add_relation(&writer, 0, "", 0, nothing, nothing), METASD_OK);
    assert_int_equal(metasd_image_add_relation(&writer, 1, "", 0, nothing, nothing),
                     METASD_INVALID);
    plan.width = 3; /* the family's vectors are pairs */
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, memory), METASD_INVALID);
}

/* ---- nothing ---- */

static void
a_step_on_nothing_changes_nothing(void **state)
{
    MetasdState tables = {.entities = 20,
                          .relation_rows = 4,
                          .width = 8,
                          .family = &metasd_family_complex,
                          .size = {.batch = 10}};
    MetasdStepOptions options = {.lr = 0.1f, .reg = 0.1f, .relation_weight = 1, .tau = 1};
    MetasdStepContext context = {NULL};
    MetasdTeam team = metasd_team_of_one();
    void *memory = tools_state_take(&tables, 1, 1000);
    size_t bytes = tools_table_floats(&tables) * sizeof(float);
    float *before = tools_alloc(bytes);
    MetasdLosses losses = {.tail = 1, .full = 1};
    MetasdBatch batch = {.n = 0};

    (void)state;
    assert_int_equal(metasd_state_init(&tables, &team, 1, 0.1f), METASD_OK);
    memcpy(before, tables.weights, bytes);
    assert_int_equal(metasd_step(&tables, &team, &options, &context, &batch, NULL, &losses),
                     METASD_OK);
    assert_memory_equal(tables.weights, before, bytes);
    assert_true(losses.tail == 0 && losses.full == 0);
    free(before);
    free(memory);
}

static void
every_status_has_a_text(void **state)
{
    (void)state;
    for (int a = METASD_OK; a <= METASD_CORRUPT; a++) {
        assert_string_not_equal(metasd_status_text((MetasdStatus)a), "unknown status");
        for (int b = METASD_OK; b < a; b++)
            assert_string_not_equal(metasd_status_text((MetasdStatus)a),
                                    metasd_status_text((MetasdStatus)b));
    }
    assert_string_equal(metasd_status_text((MetasdStatus)99), "unknown status");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_have_limits),
        cmocka_unit_test(states_have_limits),
        cmocka_unit_test(validators_have_limits),
        cmocka_unit_test(scores_have_limits),
        cmocka_unit_test(questions_of_a_calibration_are_limited),
        cmocka_unit_test(images_have_limits),
        cmocka_unit_test(a_step_on_nothing_changes_nothing),
        cmocka_unit_test(every_status_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
