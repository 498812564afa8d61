/* Rates, sparsities and masks by epoch. */
#include "unit.h"

#include "core/train/phases.h"

/* 4 epochs of the full model, 2 of both models, 3 of fine-tuning. */
static MetasdTrainOptions
make_options(void)
{
    return (MetasdTrainOptions){.rank = 1,
                                .batch = 1,
                                .epochs = 9,
                                .warmup = 4,
                                .ramp = 2,
                                .finetune = 3,
                                .sparsity = 0.8,
                                .step = {.lr = 0.1f, .mutual = true, .tau = 3}};
}

static void
assert_rates(const MetasdTrainOptions *options, const float *rates)
{
    for (int epoch = 1; epoch <= options->epochs; epoch++)
        assert_float_equal(metasd_phases_rate(options, epoch), rates[epoch - 1], 1e-6);
}

static void
rates_fall_in_warm_up_and_finetuning(void **state)
{
    MetasdTrainOptions options = make_options();

    (void)state;
    assert_rates(&options, (float[]){.1f, .1f, .1f, .1f, .1f, .1f, .075f, .05f, .025f});
    options.warmup_lr = 0.4f;
    options.finetune_lr = 0.8f;
    assert_rates(&options, (float[]){.4f, .3f, .2f, .1f, .1f, .1f, .6f, .4f, .2f});
    options.finetune = 9; /* more than there is after the warm-up */
    assert_rates(&options, (float[]){.4f, .3f, .2f, .1f, .8f * 5 / 6, .8f * 4 / 6, .4f, .8f * 2 / 6,
                                     .8f / 6});
}

static void
a_mask_is_taken_until_it_stays(void **state)
{
    static const double sparsities[] = {0.8 * (1 - 0.125), 0.8, 0.8, 0.8, 0.8};
    static const bool taken[] = {false, false, false, false, true, true, false, false, false};
    MetasdTrainOptions options = make_options();

    (void)state;
    for (int epoch = 1; epoch <= options.epochs; epoch++) {
        assert_int_equal(metasd_phases_prunes(&options, epoch), epoch > 4);
        assert_int_equal(metasd_phases_takes_mask(&options, epoch), taken[epoch - 1]);
        assert_int_equal(metasd_phases_finetunes(&options, epoch), epoch > 6);
        if (epoch > 4)
            assert_float_equal(metasd_phases_sparsity(&options, epoch), sparsities[epoch - 5],
                               1e-12);
    }
    options.finetune = 5; /* of all that are pruned, and nothing rises */
    options.ramp = 0;
    for (int epoch = 5; epoch <= options.epochs; epoch++)
        assert_int_equal(metasd_phases_takes_mask(&options, epoch), epoch == 5);
}

/* The last quarter of fine-tuning, rounded up; none where weights are stored as they are. */
static void
the_last_part_of_finetuning_rounds(void **state)
{
    static const int finetunes[] = {0, 1, 3, 4, 5, 9}, first[] = {10, 9, 9, 9, 8, 8};
    MetasdTrainOptions options = make_options();

    (void)state;
    for (size_t i = 0; i < sizeof(finetunes) / sizeof(*finetunes); i++)
        for (int epoch = 1; epoch <= options.epochs; epoch++) {
            options.finetune = finetunes[i];
            options.storage = METASD_FLOAT32;
            assert_false(metasd_phases_rounds(&options, epoch));
            options.storage = METASD_INT4;
            assert_int_equal(metasd_phases_rounds(&options, epoch), epoch >= first[i]);
        }
}

/* None where the student learns alone from the start, or is alone and not pruned. */
static void
the_full_model_is_there_while_it_counts(void **state)
{
    static const struct {
        double sparsity;
        int warmup, finetune, epochs_with_it;
    } cases[] = {{0.8, 4, 3, 9}, {0.8, 4, 9, 9}, {0.8, 0, 3, 9}, {0.8, 0, 9, 0}, {0.8, 0, 12, 0},
                 {0, 4, 3, 6},   {0, 4, 9, 4},   {0, 0, 3, 6},   {0, 0, 9, 0},   {0, 0, 0, 9}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        MetasdTrainOptions options = make_options();

        options.sparsity = cases[i].sparsity;
        options.warmup = cases[i].warmup;
        options.finetune = cases[i].finetune;
        for (int epoch = 1; epoch <= options.epochs; epoch++)
            assert_int_equal(metasd_phases_has_full(&options, epoch),
                             epoch <= cases[i].epochs_with_it);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_fall_in_warm_up_and_finetuning),
        cmocka_unit_test(a_mask_is_taken_until_it_stays),
        cmocka_unit_test(the_last_part_of_finetuning_rounds),
        cmocka_unit_test(the_full_model_is_there_while_it_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
