/*
 * Training learns, keeps the best, is the same for the same seed and any team, and copes with
 * edges.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"
#include "trainings.h"

static size_t
count_kept(const Training *training)
{
    size_t kept = 0;

    for (size_t i = 0; i < trainings_floats(training); i++) {
        assert_true(isfinite(training->trainer[0].best[i]));
        kept += training->trainer[0].best[i] != 0;
    }
    return kept;
}

/* ---- it learns ---- */

static void
a_pruned_model_learns_what_follows(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training = trainings_done(&world, options);
    size_t kept = trainings_floats(training) -
                  (size_t)ceil(options.sparsity * (double)trainings_floats(training));

    (void)state;
    assert_int_equal(training->epochs, options.epochs);
    assert_int_equal(training->best.student.n, world.graph.part[METASD_VALIDATION].examples);
    if (!(trainings_mrr(&training->best.student) > 0.9))
        fail_msg("MRR of the pruned model is %g", trainings_mrr(&training->best.student));
    assert_int_equal(count_kept(training), kept);
    assert_true(training->epoch[training->epochs - 1].losses.tail <
                training->epoch[0].losses.tail / 1.2);
    trainings_unmake(training);
    free(world.memory);
}

/* However few weights are kept: each row has one, and all together are no more than asked for. */
static void
no_row_is_empty(void **state)
{
    static const double sparsities[] = {0.85, 0.93, 0.99};
    World world = trainings_clubs();

    (void)state;
    for (size_t s = 0; s < sizeof(sparsities) / sizeof(*sparsities); s++) {
        MetasdTrainOptions options = trainings_options();
        Training *training;
        size_t rows, width, all, wanted;

        options.sparsity = sparsities[s];
        training = trainings_done(&world, options);
        width = training->trainer[0].state.width;
        all = trainings_floats(training);
        rows = all / width;
        wanted = all - (size_t)ceil(sparsities[s] * (double)all);
        for (size_t i = 0; i < rows; i++) {
            const float *row = training->trainer[0].best + i * width;
            size_t kept = 0;

            for (size_t j = 0; j < width; j++)
                kept += row[j] != 0;
            assert_true(kept > 0);
        }
        assert_int_equal(count_kept(training), rows > wanted ? rows : wanted);
        trainings_unmake(training);
    }
    free(world.memory);
}

/* Warm-up, ramp and full sparsity, as reported and as counted. */
static void
sparsity_rises_as_told(void **state)
{
    World world = trainings_clubs();
    Training *training = trainings_done(&world, trainings_options());
    size_t kept = trainings_floats(training);

    (void)state;
    for (int i = 0; i < training->epochs; i++) {
        const MetasdEpoch *epoch = &training->epoch[i];

        assert_int_equal(epoch->epoch, i + 1);
        assert_int_equal(epoch->pruned, i >= 4);
        kept = kept + epoch->regrown - epoch->dropped;
        if (i < 4)
            assert_true(epoch->sparsity == 0 && epoch->losses.trial == 0);
        else if (i < 7)
            assert_true(epoch->sparsity > training->epoch[i - 1].sparsity && epoch->sparsity < 0.5);
        else
            assert_true(fabs(epoch->sparsity - 0.5) < 1e-3);
        if (i >= 4)
            assert_true(fabs(1 - (double)kept / (double)trainings_floats(training) -
                             epoch->sparsity) < 1e-12);
        assert_true(!epoch->best || i >= 7);
    }
    trainings_unmake(training);
    free(world.memory);
}

/* Weights come back into a mask that is taken anew for every epoch. */
static void
a_mask_is_taken_anew(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training = trainings_done(&world, options);
    size_t changes = 0;

    (void)state;
    for (int i = options.warmup + options.ramp; i < training->epochs; i++)
        changes += training->epoch[i].regrown + training->epoch[i].dropped;
    assert_true(changes > 0);
    trainings_unmake(training);
    free(world.memory);
}

/*
 * Without quiz, mutual learning and fine-tuning the student is the full model, pruned after every
 * epoch.
 */
static void
a_full_model_without_a_student_is_pruned_afterwards(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;

    (void)state;
    options.step.quiz = options.step.mutual = false;
    options.epochs = 8;
    training = trainings_done(&world, options);
    for (int i = 0; i < training->epochs; i++) {
        assert_true(training->epoch[i].pruned);
        assert_true(fabs(training->epoch[i].sparsity - 0.5) < 1e-3);
        assert_true(training->epoch[i].losses.mutual_full == 0);
    }
    assert_true(trainings_mrr(&training->best.full) > 0.9);
    trainings_unmake(training);
    free(world.memory);
}

/* ---- the best is kept ---- */

static void
the_last_epoch_is_kept_that_is_not_worse(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training = trainings_make(&world, options);
    int kept = 0;
    double top = 0;

    (void)state;
    training->forget_epoch = 11;
    assert_int_equal(trainings_run_alone(training), METASD_OK);
    for (int i = 7; i < training->epochs; i++) {
        double mrr = trainings_mrr(&training->epoch[i].student);

        top = fmax(top, mrr);
        if (mrr >= top - 0.5 / sqrt((double)training->epoch[i].student.n))
            kept = i + 1;
        assert_true(training->epoch[i].best == (kept == i + 1));
    }
    assert_int_equal(training->epochs, options.epochs);
    assert_int_equal(training->best.epoch, kept);
    assert_in_range(kept, 8, 10);
    assert_memory_equal(training->model, training->trainer[0].best,
                        trainings_floats(training) * sizeof(float));
    trainings_unmake(training);
    free(world.memory);
}

/* With a rate that moves no weight nothing ever gets better; of level epochs the last is kept. */
static void
patience_stops(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;

    (void)state;
    options.step.lr = options.step.quiz_lr = options.step.student_lr = 1e-12f;
    options.patience = 3;
    options.epochs = 40;
    training = trainings_done(&world, options);
    assert_int_equal(training->best.epoch, options.warmup + options.ramp + options.patience);
    assert_int_equal(training->epochs, options.warmup + options.ramp + options.patience);
    trainings_unmake(training);
    free(world.memory);
}

/* Without validation there is nothing to be patient about, and the last epoch is the best. */
static void
without_validation_the_last_is_the_best(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    Training *training;

    (void)state;
    options.validation_most = 0;
    options.patience = 1;
    options.warmup = options.ramp = 1;
    options.epochs = 5;
    training = trainings_done(&world, options);
    assert_int_equal(training->epochs, 5);
    assert_int_equal(training->best.epoch, 5);
    assert_int_equal(training->best.student.n, 0);
    trainings_unmake(training);
    free(world.memory);
}

/* Whatever the schedule, the model that is kept has the sparsity that was asked for. */
static void
the_last_epoch_is_pruned_in_full(void **state)
{
    static const int schedules[][3] = {{3, 10, 0}, {3, 0, 10}, {1, 5, 5}, {3, 2, 0}, {2, 0, 0}};
    World world = trainings_clubs();

    (void)state;
    for (size_t s = 0; s < sizeof(schedules) / sizeof(schedules[0]); s++) {
        MetasdTrainOptions options = trainings_options();
        Training *training;

        options.epochs = schedules[s][0];
        options.warmup = schedules[s][1];
        options.ramp = schedules[s][2];
        training = trainings_done(&world, options);
        assert_true(training->best.pruned);
        assert_true(fabs(training->best.sparsity - 0.5) < 1e-3);
        assert_true(count_kept(training) <= trainings_floats(training) / 2);
        trainings_unmake(training);
    }
    free(world.memory);
}

/* ---- the same for the same seed ---- */

static void
check_teams(MetasdTrainOptions options)
{
    World world = trainings_noise();
    Training *single;

    single = trainings_done(&world, options);
    assert_true(single->epoch[single->epochs - 1].finetunes);
    assert_int_equal(single->trainer[0].state.entity_slices.parts, 12);
    for (int members = 1; members <= TRAININGS_MOST_TEAM; members++) {
        Training *training = trainings_make(&world, options);

        assert_int_equal(trainings_run(training, members), METASD_OK);
        trainings_assert_same(training, single);
        for (int i = 0; i < single->epochs; i++) {
            const MetasdEpoch *a = &training->epoch[i], *b = &single->epoch[i];

            assert_memory_equal(&a->losses, &b->losses, sizeof(a->losses));
            assert_memory_equal(&a->student, &b->student, sizeof(a->student));
            assert_true(a->regrown == b->regrown && a->dropped == b->dropped &&
                        a->threshold == b->threshold);
        }
        trainings_unmake(training);
    }
    trainings_unmake(single);
    free(world.memory);
}

static void
the_team_changes_no_bit(void **state)
{
    MetasdTrainOptions options = trainings_short_options();

    (void)state;
    options.pruning.alignment = 2;
    options.epochs = 4;
    options.finetune = 2;
    options.sparsity = 0.8; /* packed */
    check_teams(options);
    options.storage = METASD_INT4; /* the last epoch sees rounded weights */
    check_teams(options);
    options.sparsity = 0;
    check_teams(options);
}

/* Members whose memory is in many regions train as those with all of it in one. */
static void
regions_change_no_bit(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();
    Training *one = trainings_done(&world, options), *many = trainings_make(&world, options);
    MetasdRegions regions;
    MetasdArena shared = metasd_arena_measure_regions(&regions, 20000);
    MetasdArena measured = metasd_arena_measure(), own;
    int members = TRAININGS_MOST_TEAM;

    (void)state;
    metasd_trainer_take(&many->trainer[0], &shared, &measured, &world.graph, &options, members);
    assert_true(metasd_arena_ok(&shared) && regions.count > 5);
    for (int r = 0; r < regions.count; r++)
        regions.memory[r] = aligned_alloc(METASD_ALIGN, regions.size[r]);
    for (int i = 0; i < members; i++) {
        shared = metasd_arena_over_regions(&regions);
        own = metasd_arena_over(many->own[i], measured.used);
        metasd_trainer_take(&many->trainer[i], &shared, &own, &world.graph, &options, members);
        assert_true(metasd_arena_ok(&shared) && metasd_arena_ok(&own));
    }
    assert_int_equal(trainings_run(many, members), METASD_OK);
    trainings_assert_same(one, many);
    for (int r = 0; r < regions.count; r++)
        free(regions.memory[r]);
    trainings_unmake(one);
    trainings_unmake(many);
    free(world.memory);
}

static void
the_seed_decides(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();
    Training *first = trainings_done(&world, options), *same = trainings_done(&world, options),
             *other;

    (void)state;
    trainings_assert_same(first, same);
    options.seed++;
    other = trainings_done(&world, options);
    assert_memory_not_equal(first->trainer[0].best, other->trainer[0].best,
                            trainings_floats(first) * sizeof(float));
    trainings_unmake(first);
    trainings_unmake(same);
    trainings_unmake(other);
    free(world.memory);
}

/* ---- edges ---- */

static void
small_graphs_train(void **state)
{
    static const struct {
        MetasdTriple triples[3];
        size_t n;
        uint32_t entities, relations;
    } graphs[] = {
        {{{0, 0, 1}}, 1, 2, 1},
        {{{0, 0, 0}}, 1, 1, 1},            /* an entity related to itself, and no other */
        {{{0, 0, 1}, {0, 0, 1}}, 2, 3, 2}, /* repeated; an entity and a relation without triples */
        {{{0, 0, 1}, {1, 0, 0}, {1, 1, 1}}, 3, 2, 2},
    };
    static const double sparsities[] = {0, 0.5, 0.999, 1};

    (void)state;
    for (size_t g = 0; g < sizeof(graphs) / sizeof(graphs[0]); g++)
        for (size_t s = 0; s < sizeof(sparsities) / sizeof(sparsities[0]); s++)
            for (int members = 1; members <= TRAININGS_MOST_TEAM; members++) {
                MetasdTriple triples[3];
                World world;
                Training *training;
                MetasdTrainOptions options = trainings_options();
                size_t m, pruned, rows;

                memcpy(triples, graphs[g].triples, sizeof(triples));
                world = trainings_world(triples, graphs[g].n, graphs[g].entities,
                                        graphs[g].relations, 0.5, 0.5);
                options.rank = 1;
                options.sparsity = sparsities[s];
                options.epochs = 4;
                options.warmup = options.ramp = 1;
                options.batch = 100000;
                training = trainings_make(&world, options);
                assert_int_equal(trainings_run(training, members), METASD_OK);
                m = trainings_floats(training);
                pruned = (size_t)ceil(sparsities[s] * (double)m);
                rows = m / training->trainer[0].state.width;
                assert_int_equal(count_kept(training), m - pruned > rows ? m - pruned : rows);
                assert_int_equal(training->epochs, 4);
                trainings_unmake(training);
                free(world.memory);
            }
}

/* Large batches of a small graph take no more memory than its examples fill. */
static void
memory_follows_the_graph(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    MetasdArena large[2] = {metasd_arena_measure(), metasd_arena_measure()};
    MetasdArena endless[2] = {metasd_arena_measure(), metasd_arena_measure()};
    MetasdTrainer trainer;

    (void)state;
    options.batch = options.quiz_batch = 10000;
    metasd_trainer_take(&trainer, &large[0], &large[1], &world.graph, &options, 1);
    options.batch = options.quiz_batch = SIZE_MAX / 2;
    metasd_trainer_take(&trainer, &endless[0], &endless[1], &world.graph, &options, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(metasd_arena_ok(&large[i]) && metasd_arena_ok(&endless[i]));
        assert_int_equal(large[i].used, endless[i].used);
    }
    free(world.memory);
}

static void
sizes_that_overflow_are_noticed(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();
    MetasdArena arena = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer trainer;

    (void)state;
    options.rank = SIZE_MAX / 4;
    metasd_trainer_take(&trainer, &arena, &own, &world.graph, &options, 1);
    assert_false(metasd_arena_ok(&arena));
    free(world.memory);
}

static void
options_out_of_range_are_refused(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        options[i] = trainings_short_options();
    options[0].epochs = 0;
    options[1].sparsity = 1.5;
    options[2].sparsity = NAN;
    options[3].batch = 0;
    options[4].quiz_batch = 0;
    options[5].step.tau = 0;
    options[6].warmup = -1;
    options[7].rank = 0;
    for (int i = 0; i < 8; i++) {
        Training *training = trainings_make(&world, options[i]);

        assert_int_equal(trainings_run_alone(training), METASD_INVALID);
        trainings_unmake(training);
    }
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pruned_model_learns_what_follows),
        cmocka_unit_test(no_row_is_empty),
        cmocka_unit_test(sparsity_rises_as_told),
        cmocka_unit_test(a_mask_is_taken_anew),
        cmocka_unit_test(a_full_model_without_a_student_is_pruned_afterwards),
        cmocka_unit_test(the_last_epoch_is_kept_that_is_not_worse),
        cmocka_unit_test(patience_stops),
        cmocka_unit_test(without_validation_the_last_is_the_best),
        cmocka_unit_test(the_last_epoch_is_pruned_in_full),
        cmocka_unit_test(the_team_changes_no_bit),
        cmocka_unit_test(regions_change_no_bit),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(small_graphs_train),
        cmocka_unit_test(memory_follows_the_graph),
        cmocka_unit_test(sizes_that_overflow_are_noticed),
        cmocka_unit_test(options_out_of_range_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
