/* A model from elsewhere is taken as it is, or pruned by magnitude, and ranked. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/codec/row_codec.h"
#include "tools.h"
#include "trainings.h"

static MetasdTrainOptions
adopting_options(double sparsity, MetasdStorage storage)
{
    MetasdTrainOptions options = trainings_options();

    options.epochs = 1;
    options.warmup = options.ramp = options.finetune = 0;
    options.step.mutual = options.step.quiz = false;
    options.pruning = (MetasdPruneOptions){.by_component = false};
    options.sparsity = sparsity;
    options.storage = storage;
    return options;
}

/* Adopts the weights of another training. What was in the memory before must not matter. */
static Training *
adopt(const World *world, const Training *from, double sparsity, MetasdStorage storage)
{
    Training *training = trainings_make(world, adopting_options(sparsity, storage));
    MetasdState *state = &training->trainer[0].state;
    MetasdTeam team = metasd_team_of_one();

    for (size_t i = 0; i < trainings_floats(from); i++)
        state->sums[i] = state->student[i] = training->trainer[0].best[i] = NAN;
    memset(state->mask, 0, trainings_floats(from));
    memcpy(state->weights, from->trainer[0].best, trainings_floats(from) * sizeof(float));
    assert_int_equal(metasd_train_adopt(&training->trainer[0], &team, &world->graph,
                                        &training->options, &training->best),
                     METASD_OK);
    assert_int_equal(training->best.epoch, 0);
    assert_int_equal(training->best.full.n, from->best.student.n);
    assert_true(training->best.pruned && training->best.best);
    return training;
}

static void
nothing_is_changed_that_is_not_pruned(void **state)
{
    World world = trainings_clubs();
    Training *first = trainings_done(&world, trainings_options());
    Training *whole = adopt(&world, first, 0, METASD_FLOAT32);

    (void)state;
    assert_memory_equal(whole->trainer[0].best, first->trainer[0].best,
                        trainings_floats(first) * sizeof(float));
    assert_memory_equal(&whole->best.student, &first->best.student, sizeof(MetasdRanks));
    assert_memory_equal(&whole->best.full, &first->best.student, sizeof(MetasdRanks));
    trainings_unmake(whole);
    trainings_unmake(first);
    free(world.memory);
}

static void
the_smallest_weights_are_pruned(void **state)
{
    World world = trainings_clubs();
    Training *first = trainings_done(&world, trainings_options());
    Training *pruned = adopt(&world, first, 0.7, METASD_FLOAT32);
    size_t n = trainings_floats(first), kept = 0;
    float most = 0;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        float before = first->trainer[0].best[i], now = pruned->trainer[0].best[i];

        assert_true(now == 0 || now == before);
        kept += now != 0;
        if (now == 0)
            most = fmaxf(most, fabsf(before));
    }
    assert_true(most > 0 &&
                (double)most < pruned->best.threshold); /* a row keeps one in any case */
    assert_true(fabs(1 - (double)kept / (double)n - pruned->best.sparsity) < 1e-9);
    assert_true(fabs(pruned->best.sparsity - 0.7) < 0.01);
    assert_memory_equal(&pruned->best.full, &first->best.student, sizeof(MetasdRanks));
    trainings_unmake(pruned);
    trainings_unmake(first);
    free(world.memory);
}

static void
it_is_ranked_as_it_will_be_stored(void **state)
{
    World world = trainings_clubs();
    Training *first = trainings_done(&world, trainings_options());
    Training *rounded = adopt(&world, first, 0, METASD_INT4);
    MetasdState *tables = &rounded->trainer[0].state;
    size_t width = tables->width, rows = (size_t)tables->entities + tables->relation_rows;
    float *row = tools_alloc(width * sizeof(*row));

    (void)state;
    for (size_t i = 0; i < rows; i++) {
        memcpy(row, first->trainer[0].best + i * width, width * sizeof(*row));
        assert_int_equal(
            metasd_row_round(metasd_state_storage_of(tables, i, METASD_INT4), width, row),
            METASD_OK);
        assert_memory_equal(rounded->trainer[0].best + i * width, row, width * sizeof(*row));
    }
    free(row);
    trainings_unmake(rounded);
    trainings_unmake(first);
    free(world.memory);
}

static void
options_out_of_range_are_refused(void **state)
{
    World world = trainings_clubs();
    Training *training = trainings_make(&world, adopting_options(0, METASD_FLOAT32));
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    training->options.sparsity = 2;
    assert_int_equal(metasd_train_adopt(&training->trainer[0], &team, &world.graph,
                                        &training->options, &training->best),
                     METASD_INVALID);
    trainings_unmake(training);
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_changed_that_is_not_pruned),
        cmocka_unit_test(the_smallest_weights_are_pruned),
        cmocka_unit_test(it_is_ranked_as_it_will_be_stored),
        cmocka_unit_test(options_out_of_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
