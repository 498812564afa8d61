/* A lean training takes the same steps as any other, and its memory is small. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/holdout.h"
#include "core/train/warm_start.h"
#include "tools.h"
#include "trainings.h"

/* A training by samples of a graph in which it may be lean. */
static MetasdTrainOptions
make_options(bool lean)
{
    MetasdTrainOptions options = trainings_short_options();

    options.epochs = 6;
    options.warmup = 1;
    options.ramp = 2;
    options.finetune = 2;
    options.sparsity = 0.5;
    options.negatives = 100;
    options.lean_from = lean ? 1 : 0;
    return options;
}

static Training *
make_done(const World *world, MetasdTrainOptions options)
{
    Training *training = trainings_make(world, options);

    assert_int_equal(training->trainer[0].state.size.lean, options.lean_from > 0);
    assert_int_equal(trainings_run_alone(training), METASD_OK);
    return training;
}

/* ---- the same steps ---- */

static bool
has_about(double a, double b)
{
    return fabs(a - b) <= 1e-3 * fmax(fabs(a), fabs(b));
}

/*
 * A lean training keeps its best weights in 16 bits. So a row may be rounded by other levels, if
 * two of those that are tried fit it nearly alike.
 */
static void
check_best(const Training *lean, const Training *other, MetasdStorage storage)
{
    size_t width = lean->trainer[0].state.width, rows = trainings_floats(lean) / width, apart = 0;

    for (size_t r = 0; r < rows; r++) {
        bool differs = false;

        for (size_t j = 0; j < width; j++) {
            float a = lean->trainer[0].best[r * width + j];
            float b = other->trainer[0].best[r * width + j];

            assert_int_equal(a == 0, b == 0);
            differs = differs || fabsf(a - b) >= 1e-3f;
        }
        apart += differs;
    }
    assert_true(apart <= (storage == METASD_FLOAT32 ? 0 : rows / 100));
}

/*
 * Losses and masks are the same bits: the tables are in other places only. Ranks may differ where
 * scores are nearly the same, as a lean student has no sparse products.
 */
static void
check_against_other(const World *world, MetasdTrainOptions options)
{
    Training *other, *lean;

    options.lean_from = 0;
    other = make_done(world, options);
    options.lean_from = 1;
    lean = make_done(world, options);
    assert_int_equal(lean->epochs, other->epochs);
    for (int i = 0; i < lean->epochs; i++) {
        const MetasdEpoch *a = &lean->epoch[i], *b = &other->epoch[i];

        assert_memory_equal(&a->losses, &b->losses, sizeof(a->losses));
        assert_true(a->sparsity == b->sparsity && a->threshold == b->threshold);
        assert_true(a->regrown == b->regrown && a->dropped == b->dropped);
        assert_true(has_about(trainings_mrr(&a->full), trainings_mrr(&b->full)));
        assert_true(has_about(trainings_mrr(&a->student), trainings_mrr(&b->student)));
    }
    if (lean->best.epoch == other->best.epoch)
        check_best(lean, other, options.storage);
    trainings_unmake(other);
    trainings_unmake(lean);
}

static void
steps_are_the_same(void **state)
{
    static const MetasdStorage storages[] = {METASD_FLOAT32, METASD_INT6, METASD_INT4};
    World noise = trainings_noise();

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        MetasdTrainOptions options = make_options(true);

        options.step.quiz = kind & 1;
        options.step.mutual = kind & 2;
        options.storage = storages[kind % 3];
        options.pruning.salience = kind == 3 ? 0.5 : 0;
        options.pruning.alignment = kind == 3 ? 4 : 0;
        options.pruning.by_component = kind == 3;
        options.step.relation_weight = kind == 1 ? 0 : 0.5f;
        check_against_other(&noise, options);
    }
    free(noise.memory);
}

static void
teams_agree(void **state)
{
    World noise = trainings_noise();
    Training *first, *training;

    (void)state;
    for (int rounds = 0; rounds < 2; rounds++) {
        MetasdTrainOptions options = make_options(true);

        options.storage = rounds ? METASD_INT4 : METASD_FLOAT32;
        first = make_done(&noise, options);
        for (int members = 2; members <= TRAININGS_MOST_TEAM; members++) {
            training = trainings_make(&noise, options);
            assert_int_equal(trainings_run(training, members), METASD_OK);
            assert_int_equal(training->epochs, first->epochs);
            for (int i = 0; i < first->epochs; i++)
                assert_memory_equal(&training->epoch[i].student, &first->epoch[i].student,
                                    sizeof(first->epoch[i].student));
            trainings_assert_same(first, training);
            trainings_unmake(training);
        }
        trainings_unmake(first);
    }
    free(noise.memory);
}

/* In a world where something can be learnt, the best weights come back. */
static void
learns(void **state)
{
    World clubs = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;

    (void)state;
    options.negatives = 4;
    options.batch = 16;
    options.quiz_batch = 4;
    options.sparsity = 0.5;
    options.lean_from = 1;
    training = make_done(&clubs, options);
    assert_true(trainings_mrr(&training->best.student) > 0.5);
    for (size_t i = 0; i < trainings_floats(training); i++) {
        float best = training->trainer[0].best[i], model = training->model[i];

        assert_int_equal(best == 0, model == 0);
        assert_true(fabsf(best - model) <= 1e-4f + 1e-3f * fabsf(model));
    }
    trainings_unmake(training);
    free(clubs.memory);
}

/* ---- failures ---- */

/* It goes back to the best weights, or to random ones, at half the rate. */
static void
goes_on_after_failures(void **state)
{
    World noise = trainings_noise();

    (void)state;
    for (int epoch = 1; epoch <= 6; epoch += 5) {
        Training *training = trainings_make(&noise, make_options(true));

        training->poison_epoch = epoch;
        assert_int_equal(trainings_run_alone(training), METASD_OK);
        assert_int_equal(training->failures, 1);
        assert_int_equal(training->failure[0].epoch, epoch);
        assert_true(training->failure[0].again);
        assert_int_equal(training->epochs, 6);
        for (size_t i = 0; i < trainings_floats(training); i++)
            assert_true(isfinite(training->trainer[0].best[i]));
        trainings_unmake(training);
    }
    free(noise.memory);
}

/* It cannot go back to a version that it has started from. */
static void
gives_up_where_it_cannot_go_back(void **state)
{
    World noise = trainings_noise();
    Training *training = trainings_make(&noise, make_options(true));
    MetasdTrainer *trainer = &training->trainer[0];
    MetasdTeam team = metasd_team_of_one();
    uint8_t *known = tools_alloc(1000);

    (void)state;
    memset(known, 0, 1000);
    assert_int_equal(metasd_warm_start(&trainer->state, &team, &noise.graph, known, 1), METASD_OK);
    trainer->progress.warm = true;
    training->poison_epoch = 1;
    assert_int_equal(trainings_run_alone(training), METASD_NON_FINITE);
    assert_int_equal(training->failures, 1);
    assert_false(training->failure[0].again);
    trainings_unmake(training);
    free(known);
    free(noise.memory);
}

/* ---- after the training ---- */

/* Held-out facts are ranked as with all scores in one block. */
static void
holdouts_agree(void **state)
{
    World noise = trainings_noise();
    MetasdTeam team = metasd_team_of_one();
    MetasdRanks ranks[2] = {{0}};

    (void)state;
    for (int lean = 0; lean < 2; lean++) {
        Training *training = make_done(&noise, make_options(lean));
        MetasdTrainer *trainer = &training->trainer[0];
        MetasdArena arena = metasd_arena_measure();
        MetasdHoldout holdout;
        void *memory;

        metasd_holdout_take(&holdout, &arena, &noise.graph);
        memory = tools_alloc(arena.used);
        arena = metasd_arena_over(memory, arena.used);
        metasd_holdout_take(&holdout, &arena, &noise.graph);
        assert_int_equal(metasd_holdout(&holdout, &trainer->state, &team, trainer->best,
                                        &trainer->validation, &noise.graph, 1000, &ranks[lean]),
                         METASD_OK);
        trainings_unmake(training);
        free(memory);
    }
    assert_true(ranks[0].n > 0);
    assert_int_equal(ranks[0].n, ranks[1].n);
    assert_true(has_about(trainings_mrr(&ranks[0]), trainings_mrr(&ranks[1])));
    free(noise.memory);
}

/* ---- memory ---- */

static size_t
count_bytes(uint32_t entities, bool lean)
{
    MetasdGraph graph = {.entities = entities, .relations = 50};
    MetasdTrainOptions options = make_options(lean);
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer trainer;

    options.rank = 64;
    options.step.quiz = options.step.mutual = false;
    for (int part = 0; part < METASD_PARTS; part++)
        graph.part[part].examples = graph.part[part].count = 1000;
    metasd_trainer_take(&trainer, &shared, &own, &graph, &options, 2);
    assert_true(metasd_arena_ok(&shared) && metasd_arena_ok(&own));
    return shared.used + 2 * own.used;
}

/*
 * Rank 64 has rows of 512 bytes: weights, sums, best weights of half the size, bits, and little
 * more.
 */
static void
entities_are_small(void **state)
{
    size_t each = (count_bytes(2000000, true) - count_bytes(1000000, true)) / 1000000;
    size_t other = (count_bytes(2000000, false) - count_bytes(1000000, false)) / 1000000;

    (void)state;
    assert_in_range(each, 512 + 512 + 256, 1350);
    assert_true(other > 3 * each);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_same),
        cmocka_unit_test(teams_agree),
        cmocka_unit_test(learns),
        cmocka_unit_test(goes_on_after_failures),
        cmocka_unit_test(gives_up_where_it_cannot_go_back),
        cmocka_unit_test(holdouts_agree),
        cmocka_unit_test(entities_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
