/*
 * In rounded epochs the student's products see weights as they will be stored, and the weights
 * that are not rounded learn.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "core/train/finetune.h"
#include "core/train/phases.h"
#include "core/train/rounding.h"
#include "core/train/step.h"
#include "small_model.h"
#include "tools.h"
#include "trainings.h"

typedef enum Products { DENSE, SPARSE, PACKED, KINDS } Products;

/* A pruned model whose rounded epoch begins. */
static SmallModel
begin_rounded(Products products, MetasdStorage storage)
{
    SmallModel model = small_model_of((MetasdStateSize){.has_student = true,
                                                        .has_quiz = true,
                                                        .rounds = true,
                                                        .most_density = products == DENSE ? 0 : 1,
                                                        .whole_from = 0.33});

    small_model_prune(&model, 0.7);
    model.state.rounds = storage;
    assert_int_equal(metasd_rounding_fit(&model.state, &model.team, storage), METASD_OK);
    if (products == PACKED) {
        assert_int_equal(metasd_finetune_begin(&model.state, &model.team), METASD_OK);
        assert_non_null(model.state.packed.values);
        assert_in_range(model.state.patterns[0].whole, 1, SMALL_WIDTH - 1);
    }
    return model;
}

static double
take_step(SmallModel *m, const MetasdBatch *batch, bool finetune, uint64_t round)
{
    MetasdStepOptions options = {
        .lr = 0.1f, .reg = 0.05f, .relation_weight = 0.5f, .tau = 3, .finetune = finetune};
    MetasdStepContext context = {.round = round};
    MetasdLosses losses;

    assert_int_equal(metasd_step(&m->state, &m->team, &options, &context, batch, NULL, &losses),
                     METASD_OK);
    return finetune ? losses.finetune : losses.full;
}

/* Is each row of the student that of the weights, with the levels that the epoch began with? */
static void
assert_rounded(const SmallModel *model, const float *scales, MetasdStorage storage)
{
    const MetasdState *state = &model->state;

    for (size_t i = 0; i < tools_table_floats(state); i++) {
        float weight = state->mask[i] ? state->weights[i] : 0, rounded;

        metasd_row_levels_round(metasd_state_storage_of(state, i / SMALL_WIDTH, storage),
                                scales[i / SMALL_WIDTH], 1, &weight, &rounded);
        assert_true(state->student[i] == rounded);
    }
}

/* The loss and the changes are those of a model that has the rounded weights. */
static void
the_gradient_passes_straight_through(void **state)
{
    MetasdBatch batch;
    void *memory = small_model_batch(&batch, 0);

    (void)state;
    for (int k = 0; k < 2 * KINDS; k++) {
        MetasdStorage storage = k < KINDS ? METASD_INT4 : METASD_INT6;
        Products products = (Products)(k % KINDS);
        SmallModel pruned = begin_rounded(products, storage);
        SmallModel whole = small_model(false, false);
        size_t n = tools_table_floats(&pruned.state), different = 0;
        float *before = tools_alloc(n * sizeof(*before)), *seen = tools_alloc(n * sizeof(*seen));

        memcpy(before, pruned.state.weights, n * sizeof(*before));
        memcpy(seen, pruned.state.student, n * sizeof(*seen));
        memcpy(whole.state.weights, seen, n * sizeof(*seen));
        assert_true(fabs(take_step(&pruned, &batch, true, (uint64_t)k) -
                         take_step(&whole, &batch, false, 0)) < 1e-5);
        assert_int_equal(metasd_finetune_end(&pruned.state, &pruned.team), METASD_OK);
        for (size_t i = 0; i < n; i++) {
            float change = pruned.state.mask[i] ? whole.state.weights[i] - seen[i] : 0;

            assert_true(fabsf(pruned.state.weights[i] - before[i] - change) < 1e-4f);
            different += pruned.state.mask[i] && before[i] != seen[i];
        }
        assert_true(different > n / 10);
        if (products != PACKED)
            assert_rounded(&pruned, pruned.state.scales, storage);
        free(before);
        free(seen);
        free(pruned.memory);
        free(whole.memory);
    }
    free(memory);
}

/* Batch after batch, as those that are not packed. */
static void
packed_weights_are_rounded_like_others(void **state)
{
    SmallModel sparse = begin_rounded(SPARSE, METASD_INT4);
    SmallModel packed = begin_rounded(PACKED, METASD_INT4);
    size_t far = 0, n = tools_table_floats(&sparse.state);

    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t round = METASD_ROUNDING_BATCHES - 2 + i; /* the third one fits levels */
        float scales[SMALL_ENTITIES];
        size_t fitted = 0;
        MetasdBatch batch;
        void *memory = small_model_batch(&batch, i % 3);

        memcpy(scales, packed.state.scales, sizeof(scales));
        assert_true(fabs(take_step(&sparse, &batch, true, round) -
                         take_step(&packed, &batch, true, round)) < 1e-3);
        for (size_t e = 0; e < SMALL_ENTITIES; e++)
            fitted += packed.state.scales[e] != scales[e];
        assert_true(i == 2 ? fitted > SMALL_ENTITIES / 2 : fitted == 0);
        free(memory);
    }
    assert_int_equal(metasd_finetune_end(&packed.state, &packed.team), METASD_OK);
    /* near an edge of a step, one may be rounded up and the other down */
    for (size_t i = 0; i < n; i++)
        far += !(fabsf(packed.state.weights[i] - sparse.state.weights[i]) < 1e-3f);
    assert_true(far <= n / 100);
    assert_rounded(&sparse, sparse.state.scales, METASD_INT4);
    free(sparse.memory);
    free(packed.memory);
}

/* What is kept is what will be stored; the weights themselves are not rounded. */
static void
the_best_is_as_it_will_be_stored(void **state)
{
    static const double sparsities[] = {0, 0.5, 0.85};
    World world = trainings_clubs();

    (void)state;
    for (int k = 0; k < 2 * 3; k++) {
        MetasdTrainOptions options = trainings_options();
        Training *training;
        size_t width, different = 0;
        float *row;

        options.storage = METASD_INT4;
        options.sparsity = sparsities[k % 3];
        options.finetune = k < 3 ? 5 : 0; /* ranked as stored in any case */
        training = trainings_done(&world, options);
        assert_true(trainings_mrr(&training->best.student) > (options.sparsity > 0.8 ? 0.3 : 0.8));
        width = training->trainer[0].state.width;
        row = malloc(width * sizeof(*row));
        for (size_t at = 0; at < trainings_floats(training); at += width) {
            MetasdStorage as =
                metasd_state_storage_of(&training->trainer[0].state, at / width, METASD_INT4);

            memcpy(row, training->trainer[0].best + at, width * sizeof(*row));
            assert_int_equal(metasd_row_round(as, width, row), METASD_OK);
            assert_memory_equal(row, training->trainer[0].best + at, width * sizeof(*row));
        }
        for (size_t i = 0; i < trainings_floats(training); i++)
            different += training->trainer[0].state.mask[i] &&
                         training->trainer[0].state.weights[i] != training->trainer[0].best[i];
        assert_true(different > 0);
        free(row);
        trainings_unmake(training);
    }
    free(world.memory);
}

/* That students are ranked as they will be stored changes no weight; only the last epochs do. */
static void
only_the_last_epochs_learn_otherwise(void **state)
{
    World world = trainings_clubs();

    (void)state;
    for (int k = 0; k < 4; k++) {
        MetasdTrainOptions options = trainings_options();
        Training *plain, *rounded;

        options.sparsity = k % 2 ? 0.85 : 0;
        options.negatives = k / 2 ? 20 : 0;
        options.finetune = 6;
        plain = trainings_done(&world, options);
        options.storage = METASD_INT4;
        rounded = trainings_done(&world, options);
        for (int i = 0; i < options.epochs; i++) {
            bool same = memcmp(&plain->epoch[i].losses, &rounded->epoch[i].losses,
                               sizeof(MetasdLosses)) == 0;

            assert_int_equal(same, !metasd_phases_rounds(&options, i + 1));
        }
        trainings_unmake(plain);
        trainings_unmake(rounded);
    }
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_passes_straight_through),
        cmocka_unit_test(packed_weights_are_rounded_like_others),
        cmocka_unit_test(the_best_is_as_it_will_be_stored),
        cmocka_unit_test(only_the_last_epochs_learn_otherwise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
