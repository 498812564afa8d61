/* Training repeats what is not finite from where the epoch began, and stops when it is told to. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"
#include "trainings.h"

/* ---- what is not finite ---- */

static void
a_hopeless_rate_fails_after_three_repeats(void **state)
{
    World world = trainings_clubs();

    (void)state;
    for (int with_student = tools_quick(); with_student < 2; with_student++)
        for (int members = 1; members <= 2; members++) {
            MetasdTrainOptions options = trainings_options();
            Training *training;

            options.step.lr = 1e30f;
            options.warmup = 0;
            options.step.quiz = options.step.mutual = with_student;
            training = trainings_make(&world, options);
            assert_int_equal(trainings_run(training, members), METASD_NON_FINITE);
            assert_int_equal(training->failures, METASD_REPEATS + 1);
            assert_int_equal(training->epochs, 0);
            for (int i = 0; i <= METASD_REPEATS; i++) {
                const Failure *failure = &training->failure[i];

                assert_int_equal(failure->epoch, 1);
                assert_in_range(failure->batch, 1, 2);
                assert_true(failure->lr == (double)1e30f / (double)(2 << i));
                assert_int_equal(failure->again, i < METASD_REPEATS);
            }
            trainings_unmake(training);
        }
    free(world.memory);
}

static void
a_huge_regulariser_fails_too(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;

    (void)state;
    options.step.reg = INFINITY;
    training = trainings_make(&world, options);
    assert_int_equal(trainings_run_alone(training), METASD_NON_FINITE);
    assert_int_equal(training->failures, METASD_REPEATS + 1);
    assert_int_equal(training->failure[0].batch, 1);
    trainings_unmake(training);
    free(world.memory);
}

/* Too high a rate by less than a factor of 2: as if the training had begun with half of it. */
static void
a_first_epoch_repeats_from_the_beginning(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *repeated, *fresh;

    (void)state;
    options.warmup = 0;
    options.epochs = 2;
    options.step.reg = 0;
    options.step.lr = 4e12f; /* scores of lr^3 do not fit a float, of (lr / 2)^3 they do */
    options.step.quiz = options.step.mutual = false;
    options.step.relation_weight = 0;
    repeated = trainings_done(&world, options);
    assert_int_equal(repeated->failures, 1);
    assert_int_equal(repeated->failure[0].epoch, 1);
    assert_true(repeated->epoch[0].lr == (double)options.step.lr / 2);
    options.step.lr /= 2;
    fresh = trainings_done(&world, options);
    assert_int_equal(fresh->failures, 0);
    trainings_assert_same(repeated, fresh);
    trainings_unmake(repeated);
    trainings_unmake(fresh);
    free(world.memory);
}

static Training *
poisoned(const World *world, MetasdTrainOptions options, int epoch, size_t batch, int members)
{
    Training *training = trainings_make(world, options);

    training->poison_epoch = epoch;
    training->poison_batch = batch;
    assert_int_equal(trainings_run(training, members), METASD_OK);
    assert_int_equal(training->failures, 1);
    assert_int_equal(training->failure[0].epoch, epoch);
    assert_int_equal(training->epochs, training->options.epochs);
    return training;
}

/*
 * Wherever in an epoch the failure comes, the epoch begins again from one and the same state:
 * weights, all accumulators, mask, order of the quizzes.
 */
static void
a_later_epoch_repeats_from_its_start(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();

    (void)state;
    for (int epoch = tools_quick() ? 3 : 1; epoch <= 4; epoch++) {
        Training *first, *third, *last;

        if (epoch == 4) { /* of fine-tuning, with packed weights */
            options.epochs = 5;
            options.finetune = 2;
            options.sparsity = 0.8;
        }
        first = poisoned(&world, options, epoch, 1, 1);
        third = poisoned(&world, options, epoch, 3, 2);
        last = poisoned(&world, options, epoch, 0, 1); /* found when all batches are done */

        assert_int_equal(first->failure[0].batch, 2);
        assert_int_equal(third->failure[0].batch, 4);
        assert_true(last->failure[0].batch > 4);
        trainings_assert_same(first, third);
        trainings_assert_same(first, last);
        if (epoch < 4)
            assert_true(first->epoch[epoch - 1].lr == (double)(options.step.lr / 2));
        if (epoch == 3) /* what the mask changed is still reported */
            assert_true(first->epoch[epoch - 1].dropped > 0);
        trainings_unmake(first);
        trainings_unmake(third);
        trainings_unmake(last);
    }
    free(world.memory);
}

/* A repeated epoch sees rounded weights from its first batch on, as one at half the rate does. */
static void
a_rounded_epoch_repeats_from_its_start(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();

    (void)state;
    options.epochs = 4;
    options.finetune = 1;
    options.storage = METASD_INT4;
    for (int packed = 0; packed < 2; packed++) {
        Training *repeated, *half;

        options.sparsity = packed ? 0.8 : 0;
        options.finetune_lr = 0.2f;
        repeated = poisoned(&world, options, 4, 0, 1);
        options.finetune_lr = 0.1f;
        half = trainings_done(&world, options);
        trainings_assert_same(repeated, half);
        trainings_unmake(repeated);
        trainings_unmake(half);
    }
    free(world.memory);
}

/* ---- interrupts ---- */

/* Whichever poll or barrier asks to stop, the training ends with its status. */
static void
every_poll_and_barrier_can_stop(void **state)
{
    World world = trainings_noise();
    Training *whole = trainings_done(&world, trainings_short_options());
    size_t samples = tools_quick() ? 3 : 12;

    (void)state;
    assert_true(whole->polls > 20 && whole->barriers > 100);
    for (size_t at = 1; at <= whole->polls; at += 1 + whole->polls / samples) {
        Training *training = trainings_make(&world, trainings_short_options());

        training->stop_poll = at;
        assert_int_equal(trainings_run_alone(training), METASD_INTERRUPTED);
        assert_int_equal(training->polls, at);
        trainings_unmake(training);
    }
    for (size_t at = 1; at <= whole->barriers; at += 1 + whole->barriers / samples) {
        Training *training = trainings_make(&world, trainings_short_options());

        training->stop_barrier = at;
        assert_int_equal(trainings_run_alone(training), METASD_INTERRUPTED);
        assert_int_equal(training->barriers, at);
        trainings_unmake(training);
    }
    trainings_unmake(whole);
    free(world.memory);
}

static void
callbacks_can_stop(void **state)
{
    World world = trainings_noise();
    Training *by_batch = trainings_make(&world, trainings_short_options());
    Training *by_epoch = trainings_make(&world, trainings_short_options());

    (void)state;
    by_batch->stop_after_batches = 3;
    assert_int_equal(trainings_run(by_batch, 2), METASD_INTERRUPTED);
    assert_int_equal(by_batch->batches, 3);
    by_epoch->stop_after_epochs = 2;
    assert_int_equal(trainings_run(by_epoch, 2), METASD_INTERRUPTED);
    assert_int_equal(by_epoch->epochs, 2);
    trainings_unmake(by_batch);
    trainings_unmake(by_epoch);
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hopeless_rate_fails_after_three_repeats),
        cmocka_unit_test(a_huge_regulariser_fails_too),
        cmocka_unit_test(a_first_epoch_repeats_from_the_beginning),
        cmocka_unit_test(a_later_epoch_repeats_from_its_start),
        cmocka_unit_test(a_rounded_epoch_repeats_from_its_start),
        cmocka_unit_test(every_poll_and_barrier_can_stop),
        cmocka_unit_test(callbacks_can_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
