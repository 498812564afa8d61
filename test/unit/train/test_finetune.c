/*
 * Fine-tuning trains the student as a model of its own: kept weights change as if there were no
 * others.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/finetune.h"
#include "core/train/step.h"
#include "small_model.h"
#include "tools.h"
#include "trainings.h"

static MetasdStepOptions
options_of(bool finetune)
{
    return (MetasdStepOptions){
        .lr = 0.1f, .reg = 0.05f, .relation_weight = 0.5f, .tau = 3, .finetune = finetune};
}

static double
take_step(SmallModel *m, const MetasdBatch *batch, bool finetune)
{
    MetasdStepOptions options = options_of(finetune);
    MetasdStepContext context = {NULL};
    MetasdLosses losses;

    assert_int_equal(metasd_step(&m->state, &m->team, &options, &context, batch, NULL, &losses),
                     METASD_OK);
    return finetune ? losses.finetune : losses.full;
}

typedef enum Products { DENSE, SPARSE, PACKED, KINDS } Products;

/* A pruned model whose fine-tuning begins; its weights are packed for PACKED products. */
static SmallModel
begin_finetuning(Products products)
{
    SmallModel model = small_model(true, products != DENSE);

    small_model_prune(&model, 0.8);
    assert_int_equal(model.state.sparse[0], products != DENSE);
    if (products != DENSE)
        assert_in_range(model.state.patterns[0].whole, 1, SMALL_WIDTH - 1);
    if (products == PACKED)
        assert_int_equal(metasd_finetune_begin(&model.state, &model.team), METASD_OK);
    assert_int_equal(model.state.packed.values != NULL, products == PACKED);
    return model;
}

static void
end_finetuning(SmallModel *model)
{
    assert_int_equal(metasd_finetune_end(&model->state, &model->team), METASD_OK);
    assert_null(model->state.packed.values);
}

static void
learns_as_a_model_of_its_own(void **state)
{
    MetasdBatch batch;
    void *memory = small_model_batch(&batch, 0);

    (void)state;
    for (Products products = DENSE; products < KINDS; products++) {
        SmallModel pruned = begin_finetuning(products), whole = small_model(false, false);
        size_t n = tools_table_floats(&pruned.state);
        float *before = tools_alloc(n * sizeof(*before));

        memcpy(before, pruned.state.weights, n * sizeof(*before));
        memcpy(whole.state.weights, pruned.state.student, n * sizeof(*before));
        assert_true(fabs(take_step(&pruned, &batch, true) - take_step(&whole, &batch, false)) <
                    1e-5);
        end_finetuning(&pruned);
        for (size_t i = 0; i < n; i++) {
            float wanted = pruned.state.mask[i] ? whole.state.weights[i] : before[i];

            if (!(fabsf(pruned.state.weights[i] - wanted) < 1e-4f))
                fail_msg("weight %zu: %g is not %g", i, (double)pruned.state.weights[i],
                         (double)wanted);
            assert_true(pruned.state.student[i] ==
                        (pruned.state.mask[i] ? pruned.state.weights[i] : 0.0f));
        }
        free(before);
        free(pruned.memory);
        free(whole.memory);
    }
    free(memory);
}

/*
 * Batch after batch: weights of entities that no batch names are trained, too. The packed weights
 * lie in one table or in two.
 */
static void
check_packed(SmallModel *packed, SmallModel *sparse, bool one_table)
{
    size_t n = tools_table_floats(&sparse->state);

    assert_int_equal(metasd_finetune_begin(&packed->state, &packed->team), METASD_OK);
    assert_non_null(packed->state.packed.values);
    assert_int_equal(packed->state.packed.values != packed->state.more_packed_room, one_table);
    for (uint32_t i = 0; i < 5; i++) {
        MetasdBatch batch;
        void *memory = small_model_batch(&batch, i % 3);

        assert_true(fabs(take_step(sparse, &batch, true) - take_step(packed, &batch, true)) < 1e-4);
        free(memory);
    }
    end_finetuning(packed);
    for (size_t i = 0; i < n; i++) {
        assert_true(fabsf(packed->state.weights[i] - sparse->state.weights[i]) < 1e-3f);
        assert_true(packed->state.student[i] ==
                    (packed->state.mask[i] ? packed->state.weights[i] : 0.0f));
        assert_true(fabsf(packed->state.sums[i] - sparse->state.sums[i]) < 1e-4f);
    }
    free(sparse->memory);
    free(packed->memory);
}

static void
packed_weights_are_trained_like_others(void **state)
{
    SmallModel sparse = begin_finetuning(SPARSE), packed = begin_finetuning(SPARSE);

    (void)state;
    check_packed(&packed, &sparse, false);
}

/* Where few weights will be kept they are packed into the memory of the gradient. */
static void
few_weights_are_packed_without_a_table_of_their_own(void **state)
{
    SmallModel sparse = small_model(true, true);
    SmallModel packed = small_model_of((MetasdStateSize){
        .has_student = true, .most_density = 1, .whole_from = 0.5, .pruned = 0.84});

    (void)state;
    small_model_prune(&packed, 0.85);
    small_model_prune(&sparse, 0.85);
    assert_true(packed.state.sparse[0]);
    check_packed(&packed, &sparse, true);

    packed = small_model_of((MetasdStateSize){
        .has_student = true, .most_density = 1, .whole_from = 0.5, .pruned = 0.84});
    small_model_prune(&packed, 0.8); /* more are kept than the size says */
    assert_false(packed.state.sparse[0]);
    free(packed.memory);
}

/* In the last epochs mask and rest stay, and the rate falls. */
static void
last_epochs_finetune_the_student(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;
    const MetasdState *step;

    (void)state;
    options.finetune = 3;
    training = trainings_done(&world, options);
    step = &training->trainer[0].state;
    for (int i = 0; i < training->epochs; i++) {
        const MetasdEpoch *epoch = &training->epoch[i];
        int left = options.epochs - i;

        if (left > 3) {
            assert_true(fabs(epoch->lr - 0.1) < 1e-6);
            continue;
        }
        assert_true(fabs(epoch->lr - 0.1 * left / 4) < 1e-6);
        assert_true(epoch->pruned && fabs(epoch->sparsity - 0.5) < 1e-3);
        assert_true(epoch->regrown == 0 && epoch->dropped == 0);
        assert_true(epoch->losses.full == 0 && epoch->losses.finetune > 0);
    }
    for (size_t i = 0; i < trainings_floats(training); i++)
        if (!step->mask[i])
            assert_true(step->weights[i] == training->trainer[0].saved[0][i]);
    assert_true(trainings_mrr(&training->best.student) > 0.9);
    trainings_unmake(training);
    free(world.memory);
}

/* Without the full model in stages 2 and 3, too: the sparsity rises during fine-tuning. */
static void
finetuning_may_begin_after_the_warm_up(void **state)
{
    World world = trainings_clubs();

    (void)state;
    for (int sampled = 0; sampled < 2; sampled++) {
        MetasdTrainOptions options = trainings_options();
        Training *training;
        double before = 0;

        options.step.quiz = options.step.mutual = false;
        options.warmup = 4;
        options.ramp = 3;
        options.finetune = options.epochs;
        options.negatives = sampled ? 20 : 0;
        training = trainings_done(&world, options);
        for (int i = 0; i < training->epochs; i++) {
            const MetasdEpoch *epoch = &training->epoch[i];

            assert_int_equal(epoch->pruned, i >= options.warmup);
            assert_int_equal(epoch->finetunes, i >= options.warmup);
            assert_true(i < options.warmup || i >= options.warmup + options.ramp ||
                        epoch->sparsity > before);
            assert_true(i < options.warmup + options.ramp || epoch->regrown + epoch->dropped == 0);
            before = epoch->sparsity;
        }
        assert_true(fabs(before - 0.5) < 1e-3);
        assert_true(training->best.epoch >= options.warmup + options.ramp);
        assert_true(trainings_mrr(&training->best.student) > 0.8);
        trainings_unmake(training);
    }
    free(world.memory);
}

/* The MRR of a full model is its own throughout, or there is none. */
static void
check_full_model(const World *world, double sparsity, int warmup)
{
    MetasdTrainOptions options = trainings_options();
    Training *training;
    const MetasdRanks *before = NULL;

    options.step.quiz = options.step.mutual = false;
    options.sparsity = sparsity;
    options.warmup = warmup;
    options.ramp = 0;
    options.epochs = 6;
    options.finetune = options.epochs - warmup;
    training = trainings_done(world, options);
    for (int i = 0; i < training->epochs; i++) {
        const MetasdEpoch *epoch = &training->epoch[i];

        assert_int_equal(epoch->finetunes, i >= warmup);
        assert_int_equal(epoch->student.n, world->graph.part[METASD_VALIDATION].examples);
        if (i < warmup)
            assert_memory_equal(&epoch->full, &epoch->student, sizeof(epoch->full));
        else if (before && sparsity > 0)
            assert_memory_equal(&epoch->full, before, sizeof(epoch->full));
        else
            assert_int_equal(epoch->full.n, 0);
        before = i < warmup ? &epoch->full : before;
    }
    assert_int_equal(training->best.full.n > 0, warmup > 0 && sparsity > 0);
    assert_true(training->best.student.n > 0);
    trainings_unmake(training);
}

static void
a_student_that_learns_alone_has_no_full_model(void **state)
{
    World world = trainings_clubs();

    (void)state;
    for (int warmup = 0; warmup <= 2; warmup += 2) {
        check_full_model(&world, 0, warmup);
        check_full_model(&world, 0.5, warmup);
    }
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_as_a_model_of_its_own),
        cmocka_unit_test(packed_weights_are_trained_like_others),
        cmocka_unit_test(few_weights_are_packed_without_a_table_of_their_own),
        cmocka_unit_test(last_epochs_finetune_the_student),
        cmocka_unit_test(finetuning_may_begin_after_the_warm_up),
        cmocka_unit_test(a_student_that_learns_alone_has_no_full_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
