/* A training that goes on from a checkpoint ends with the same bits as one that never stopped. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "tools.h"
#include "trainings.h"

/* Loads into a new training, whose members then know where it is. */
static MetasdStatus
load(Training *training, const char *bytes, size_t n)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdCheckpoint checkpoint;

    metasd_checkpoint_load(&checkpoint, &training->trainer[0], &training->options, TRAININGS_GRAPH);
    for (size_t at = 0; at < n; at += 777)
        METASD_TRY(metasd_checkpoint_feed(&checkpoint, bytes + at, n - at < 777 ? n - at : 777));
    METASD_TRY(metasd_checkpoint_end(&checkpoint, &team));
    for (int i = 1; i < TRAININGS_MOST_TEAM; i++)
        training->trainer[i].progress = training->trainer[0].progress;
    return METASD_OK;
}

/* Memory that nobody has written to holds anything. */
static Training *
make_dirty(const World *world, MetasdTrainOptions options)
{
    Training *training = trainings_make(world, options);
    MetasdState *state = &training->trainer[0].state;
    size_t bytes = trainings_floats(training) * sizeof(float);

    memset(state->weights, 0x55, bytes);
    memset(state->sums, 0x55, bytes);
    if (!state->size.lean) {
        memset(state->student, 0x55, bytes);
        memset(state->mask, 1, bytes / sizeof(float));
        memset(training->trainer[0].best, 0x55, bytes);
    }
    if (state->size.has_quiz)
        memset(state->quiz_sums, 0x55, bytes);
    return training;
}

/* What is heard of an epoch is the same, bit by bit. */
static void
assert_same_epoch(const MetasdEpoch *a, const MetasdEpoch *b)
{
    assert_true(a->epoch == b->epoch && a->pruned == b->pruned && a->finetunes == b->finetunes);
    assert_memory_equal(&a->losses, &b->losses, sizeof(a->losses));
    assert_memory_equal(&a->full, &b->full, sizeof(a->full));
    assert_memory_equal(&a->student, &b->student, sizeof(a->student));
    assert_true(a->sparsity == b->sparsity && a->threshold == b->threshold &&
                a->regrown == b->regrown);
    assert_true(a->dropped == b->dropped && a->lr == b->lr && a->best == b->best);
}

/* Stops behind epoch `at` of a training and goes on in other memory, by a team of another size. */
static void
check_resumed(const World *world, const Training *whole, int at, int members)
{
    Training *first = make_dirty(world, whole->options),
             *second = make_dirty(world, whole->options);

    first->save_epoch = first->stop_after_epochs = at;
    first->forget_epoch = second->forget_epoch = whole->forget_epoch;
    assert_int_equal(trainings_run(first, 3 - members), METASD_INTERRUPTED);
    assert_int_equal(load(second, first->saved, first->saved_bytes), METASD_OK);
    assert_int_equal(trainings_run(second, members), METASD_OK);
    assert_int_equal(second->epochs, whole->epochs - at);
    for (int i = 0; i < second->epochs; i++)
        assert_same_epoch(&second->epoch[i], &whole->epoch[at + i]);
    assert_same_epoch(&second->best, &whole->best);
    trainings_assert_same(second, whole);
    trainings_unmake(first);
    trainings_unmake(second);
}

/* FORGET: the epoch from which on the model knows nothing; 0: none. */
static void
check_with_forgetting(const World *world, MetasdTrainOptions options, int forget)
{
    Training *whole = make_dirty(world, options);

    whole->forget_epoch = forget;
    assert_int_equal(trainings_run_alone(whole), METASD_OK);
    for (int at = 1; at <= whole->epochs; at += tools_quick() ? 5 : 1)
        for (int members = tools_quick() ? 2 : 1; members <= 2; members++)
            check_resumed(world, whole, at, members);
    assert_true(forget == 0 || whole->best.epoch < forget);
    trainings_unmake(whole);
}

static void
check_every_epoch(const World *world, MetasdTrainOptions options)
{
    check_with_forgetting(world, options, 0);
}

/*
 * Six epochs or more, so that every phase is interrupted: warm-up, ramp, full sparsity,
 * fine-tuning.
 */
static MetasdTrainOptions
make_options(void)
{
    MetasdTrainOptions options = trainings_short_options();

    options.epochs = 7;
    options.warmup = 2;
    options.ramp = 3;
    return options;
}

static void
with_a_quiz(void **state)
{
    World world = trainings_noise();

    (void)state;
    check_every_epoch(&world, make_options());
    free(world.memory);
}

static void
with_fine_tuning(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = make_options();

    (void)state;
    options.step.quiz = false;
    options.finetune = 3;
    options.finetune_lr = 0.3f;
    options.pruning.by_component = true;
    options.pruning.salience = 0.5;
    options.pruning.alignment = 2;
    options.sparsity = 0.9; /* sparse products */
    check_every_epoch(&world, options);
    free(world.memory);
}

/* The last epochs see rounded weights, packed or not; the epochs before only rank them. */
static void
with_rounding(void **state)
{
    static const double sparsities[] = {0, 0.5, 0.9};
    World world = trainings_noise();

    (void)state;
    for (size_t s = 0; s < sizeof(sparsities) / sizeof(*sparsities); s++) {
        MetasdTrainOptions options = make_options();

        options.step.quiz = false;
        options.finetune = 5; /* two epochs with rounding */
        options.pruning.by_component = true;
        options.sparsity = sparsities[s];
        options.storage = s == 1 ? METASD_INT6 : METASD_INT4;
        options.negatives = s == 1 ? 50 : 0;
        check_every_epoch(&world, options);
    }
    free(world.memory);
}

static void
with_a_sample(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = make_options();

    (void)state;
    options.negatives = 50;
    options.finetune = 2;
    check_every_epoch(&world, options);
    free(world.memory);
}

/* Of a lean training checkpoints have other tables: the mask and the best weights in bits. */
static void
of_a_lean_training(void **state)
{
    static const MetasdStorage storages[] = {METASD_FLOAT32, METASD_INT4};
    World world = trainings_noise();

    (void)state;
    for (int s = 0; s < 2; s++) {
        MetasdTrainOptions options = make_options();

        options.step.quiz = options.step.mutual = s == 0;
        options.negatives = 50;
        options.lean_from = 1;
        options.finetune = 3;
        options.sparsity = 0.5;
        options.storage = storages[s];
        check_every_epoch(&world, options);
    }
    free(world.memory);
}

/* The best weights are in memory, and in the checkpoint, while later epochs are worse. */
static void
of_a_lean_training_with_patience(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();

    (void)state;
    options.epochs = 30;
    options.patience = 3;
    options.batch = 16;
    options.quiz_batch = 4;
    options.negatives = 4;
    options.sparsity = 0.5;
    options.lean_from = 1;
    check_with_forgetting(&world, options, 11);
    free(world.memory);
}

/* The full model is scored against a sample, the student in fine-tuning against all entities. */
static void
after_a_sample(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = make_options();

    (void)state;
    options.step.quiz = options.step.mutual = false;
    options.negatives = 20;
    options.finetune = 4;
    options.pruning.alignment = 2;
    options.pruning.by_component = true;
    options.sparsity = 0.9;
    check_every_epoch(&world, options);
    free(world.memory);
}

static void
of_a_full_model_alone(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = make_options();

    (void)state;
    options.step.quiz = options.step.mutual = false;
    check_every_epoch(&world, options);
    free(world.memory);
}

/* Dense and pruned: there is no full model in any epoch. */
static void
of_a_student_alone(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = make_options();

    (void)state;
    options.step.quiz = options.step.mutual = false;
    options.warmup = options.ramp = 0;
    options.finetune = options.epochs;
    options.sparsity = 0;
    check_every_epoch(&world, options);
    options.sparsity = 0.5;
    check_every_epoch(&world, options);
    free(world.memory);
}

/* The epoch that is kept is one of before the checkpoint, and patience ends the training. */
static void
with_patience(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options = trainings_options();

    (void)state;
    options.epochs = 30;
    options.patience = 3;
    check_with_forgetting(&world, options, 11);
    free(world.memory);
}

/* Rates that were halved stay so, and quizzes go on where they were. */
static void
after_a_repeated_epoch(void **state)
{
    World world = trainings_noise();
    Training *first, *second, *whole;

    (void)state;
    whole = make_dirty(&world, make_options());
    whole->poison_epoch = 4;
    assert_int_equal(trainings_run_alone(whole), METASD_OK);
    assert_int_equal(whole->failures, 1);
    first = make_dirty(&world, make_options());
    first->poison_epoch = 4;
    first->save_epoch = first->stop_after_epochs = 5;
    assert_int_equal(trainings_run_alone(first), METASD_INTERRUPTED);
    second = make_dirty(&world, make_options());
    assert_int_equal(load(second, first->saved, first->saved_bytes), METASD_OK);
    assert_int_equal(second->trainer[0].progress.repeats, 1);
    assert_int_equal(trainings_run(second, 2), METASD_OK);
    trainings_assert_same(second, whole);
    trainings_unmake(first);
    trainings_unmake(second);
    trainings_unmake(whole);
    free(world.memory);
}

/* ---- what is not a checkpoint of this training ---- */

static void
what_is_damaged_is_refused(void **state)
{
    World world = trainings_clubs();
    Training *first = trainings_make(&world, trainings_options()), *second;
    size_t word = tools_quick() ? 56 : 8, step;

    (void)state;
    first->save_epoch = first->stop_after_epochs = 10;
    assert_int_equal(trainings_run_alone(first), METASD_INTERRUPTED);
    second = trainings_make(&world, trainings_options());
    step = first->saved_bytes / (tools_quick() ? 10 : 200);
    for (size_t at = 0; at < first->saved_bytes; at += at < 512 ? word : step) {
        first->saved[at] ^= 4;
        assert_int_equal(load(second, first->saved, first->saved_bytes), METASD_CORRUPT);
        first->saved[at] ^= 4;
        assert_int_equal(load(second, first->saved, at), METASD_CORRUPT);
        assert_int_equal(second->trainer[0].progress.epoch, 0);
    }
    assert_int_equal(load(second, first->saved, first->saved_bytes), METASD_OK);
    assert_int_equal(second->trainer[0].progress.epoch, 10);
    first->saved = realloc(first->saved, first->saved_bytes + 1);
    first->saved[first->saved_bytes] = 0;
    assert_int_equal(load(second, first->saved, first->saved_bytes + 1), METASD_CORRUPT);
    trainings_unmake(first);
    trainings_unmake(second);
    free(world.memory);
}

static void
another_training_is_refused(void **state)
{
    World world = trainings_clubs();
    MetasdTrainOptions options[3];
    Training *first = trainings_make(&world, trainings_options());
    MetasdCheckpoint checkpoint;

    (void)state;
    first->save_epoch = first->stop_after_epochs = 10;
    assert_int_equal(trainings_run_alone(first), METASD_INTERRUPTED);
    for (int i = 0; i < 3; i++)
        options[i] = trainings_options();
    options[0].rank++;
    options[1].step.quiz = false;
    options[2].epochs = 9;
    for (int i = 0; i < 3; i++) {
        Training *second = trainings_make(&world, options[i]);

        assert_int_equal(load(second, first->saved, first->saved_bytes), METASD_INVALID);
        trainings_unmake(second);
    }
    metasd_checkpoint_load(&checkpoint, &first->trainer[0], &first->options, TRAININGS_GRAPH + 1);
    assert_int_equal(metasd_checkpoint_feed(&checkpoint, first->saved, first->saved_bytes),
                     METASD_INVALID);
    trainings_unmake(first);
    free(world.memory);
}

/* ---- the hash ---- */

static uint64_t
hash_of(const MetasdTriple *list, size_t n, uint32_t entities)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdTriple triples[4];
    uint64_t hash = 0;
    World world;

    memcpy(triples, list, n * sizeof(*list));
    world = trainings_world(triples, n, entities, 2, 0, 0);
    assert_int_equal(metasd_graph_hash(&team, &world.graph, &hash), METASD_OK);
    free(world.memory);
    return hash;
}

static void
graphs_have_hashes(void **state)
{
    static const MetasdTriple some[] = {{0, 0, 1}, {1, 1, 2}, {2, 0, 0}},
                              shuffled[] = {{2, 0, 0}, {0, 0, 1}, {1, 1, 2}, {0, 0, 1}},
                              others[] = {{0, 0, 1}, {1, 1, 2}, {2, 1, 0}};

    (void)state;
    assert_true(hash_of(some, 3, 3) == hash_of(shuffled, 4, 3));
    assert_true(hash_of(some, 3, 3) != hash_of(others, 3, 3));
    assert_true(hash_of(some, 3, 3) != hash_of(some, 2, 3));
    assert_true(hash_of(some, 3, 3) != hash_of(some, 3, 4));
}

static void
every_byte_counts(void **state)
{
    char bytes[40] = {0};

    (void)state;
    for (size_t n = 0; n < sizeof(bytes); n++) {
        uint64_t hash = metasd_hash(1, bytes, n);

        assert_true(hash != metasd_hash(1, bytes, n + 1));
        assert_true(hash != metasd_hash(2, bytes, n));
        for (size_t i = 0; i < n; i++) {
            bytes[i] = 1;
            assert_true(hash != metasd_hash(1, bytes, n));
            bytes[i] = 0;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_quiz),
        cmocka_unit_test(with_fine_tuning),
        cmocka_unit_test(with_rounding),
        cmocka_unit_test(with_a_sample),
        cmocka_unit_test(of_a_lean_training),
        cmocka_unit_test(of_a_lean_training_with_patience),
        cmocka_unit_test(after_a_sample),
        cmocka_unit_test(of_a_full_model_alone),
        cmocka_unit_test(of_a_student_alone),
        cmocka_unit_test(with_patience),
        cmocka_unit_test(after_a_repeated_epoch),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test(another_training_is_refused),
        cmocka_unit_test(graphs_have_hashes),
        cmocka_unit_test(every_byte_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
