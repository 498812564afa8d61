#include "unit.h"
#include "trainings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/lean.h"
#include "threads.h"
#include "tools.h"

/* ---- graphs and options ---- */

World
trainings_world(MetasdTriple *triples, size_t n, uint32_t entities, uint32_t relations,
                double validation, double quiz)
{
    MetasdSplit split = {.seed = 5, .validation_fraction = validation, .quiz_fraction = quiz};
    World world;

    world.memory = tools_graph(&world.graph, triples, n, entities, relations, &split);
    return world;
}

World
trainings_clubs(void)
{
    static MetasdTriple triples[60 * 20];
    size_t n = 0;

    for (uint32_t h = 0; h < 60; h++)
        for (uint32_t t = 0; t < 60; t++) {
            if (h % 6 == t % 6)
                triples[n++] = (MetasdTriple){h, 0, t};
            if ((h + 1) % 6 == t % 6)
                triples[n++] = (MetasdTriple){h, 1, t};
        }
    return trainings_world(triples, n, 60, 2, 0.1, 0.02);
}

#define NOISE 240

World
trainings_noise(void)
{
    static MetasdTriple triples[NOISE];

    for (size_t i = 0; i < NOISE; i++)
        triples[i] = (MetasdTriple){.head = (uint32_t)metasd_random_below(8, 60, 3 * i, 800),
                                    .relation = (uint32_t)metasd_random_below(8, 60, 3 * i + 1, 3),
                                    .tail = (uint32_t)metasd_random_below(8, 60, 3 * i + 2, 800)};
    return trainings_world(triples, NOISE, 800, 3, 0.05, 0.05);
}

MetasdTrainOptions
trainings_options(void)
{
    return (MetasdTrainOptions){.seed = 9,
                                .family = &metasd_family_complex,
                                .rank = 8,
                                .sparsity = 0.5,
                                .epochs = 14,
                                .warmup = 4,
                                .ramp = 4,
                                .batch = 100,
                                .quiz_batch = 20,
                                .validation_most = 1000,
                                .step = {.lr = 0.1f,
                                         .student_lr = 0.1f,
                                         .quiz_lr = 1e-3f,
                                         .reg = 0.01f,
                                         .relation_weight = 0.5f,
                                         .tau = 3,
                                         .kl_forward = 3,
                                         .kl_reverse = 1,
                                         .regularizer = METASD_DURA,
                                         .quiz = true,
                                         .mutual = true}};
}

MetasdTrainOptions
trainings_short_options(void)
{
    MetasdTrainOptions options = trainings_options();

    options.rank = 3;
    options.epochs = 3;
    options.warmup = options.ramp = 1;
    options.batch = 80;
    options.quiz_batch = 10;
    options.class_weights = true;
    return options;
}

/* ---- trainings ---- */

size_t
trainings_floats(const Training *training)
{
    return tools_table_floats(&training->trainer[0].state);
}

/* Keeps a checkpoint, in pieces of odd sizes. */
static void
save(Training *training)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdCheckpoint checkpoint;
    size_t room = metasd_checkpoint_most(&training->trainer[0], &training->options), n;

    assert_int_equal(metasd_checkpoint_save(&checkpoint, &team, &training->trainer[0],
                                            &training->options, TRAININGS_GRAPH),
                     METASD_OK);
    assert_true(checkpoint.bytes <= room);
    training->saved = tools_alloc(room);
    training->saved_bytes = 0;
    while ((n = metasd_checkpoint_next(&checkpoint, training->saved + training->saved_bytes,
                                       1001)) > 0)
        training->saved_bytes += n;
    assert_int_equal(training->saved_bytes, checkpoint.bytes);
}

static void
copy_student(Training *training)
{
    const MetasdState *state = &training->trainer[0].state;
    size_t width = state->width;

    if (!state->size.lean)
        memcpy(training->model, state->student, trainings_floats(training) * sizeof(float));
    for (size_t row = 0; state->size.lean && row < trainings_floats(training) / width; row++)
        metasd_lean_student_row(state, row, training->model + row * width);
}

static MetasdStatus
hear_epoch(void *context, const MetasdEpoch *epoch)
{
    Training *training = context;

    assert_true(training->epochs < TRAININGS_MOST_EPOCHS);
    training->epoch[training->epochs++] = *epoch;
    if (epoch->best)
        copy_student(training);
    if (epoch->epoch == training->save_epoch)
        save(training);
    return training->epochs == training->stop_after_epochs ? METASD_INTERRUPTED : METASD_OK;
}

static MetasdStatus
hear_batch(void *context, int epoch, size_t done, size_t total, double loss)
{
    Training *training = context;
    MetasdState *state = &training->trainer[0].state;

    assert_true(done >= 1 && done <= total);
    assert_true(isfinite(loss));
    training->batches++;
    if (epoch == training->poison_epoch &&
        done == (training->poison_batch ? training->poison_batch : total)) {
        (state->packed.values ? state->packed.values : state->weights)[3] = NAN;
        training->poison_epoch = 0;
    }
    /* Members of a lean training may copy rows of the next batch by now, unless there is none. */
    if (training->forget_epoch > 0 && epoch >= training->forget_epoch &&
        (!state->size.lean || done == total)) {
        memset(state->weights, 0, trainings_floats(training) * sizeof(float));
        if (!state->size.lean)
            memset(state->student, 0, trainings_floats(training) * sizeof(float));
    }
    return training->batches == training->stop_after_batches ? METASD_INTERRUPTED : METASD_OK;
}

static MetasdStatus
hear_repeat(void *context, int epoch, size_t batch, double lr, bool again)
{
    Training *training = context;

    assert_true(training->failures < METASD_REPEATS + 2);
    training->failure[training->failures++] = (Failure){epoch, batch, lr, again};
    return METASD_OK;
}

/* The context of a team of one; teams of threads are not counted. */
static MetasdStatus
counted_poll(MetasdTeam *team)
{
    Training *training = team->context;

    return ++training->polls == training->stop_poll ? METASD_INTERRUPTED : METASD_OK;
}

static MetasdStatus
counted_barrier(MetasdTeam *team)
{
    Training *training = team->context;

    return ++training->barriers == training->stop_barrier ? METASD_INTERRUPTED : METASD_OK;
}

Training *
trainings_make(const World *world, MetasdTrainOptions options)
{
    Training *training = tools_alloc(sizeof(*training));
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    size_t shared_bytes, own_bytes;

    *training = (Training){.world = world, .options = options};
    metasd_trainer_take(&training->trainer[0], &shared, &own, &world->graph, &options,
                        TRAININGS_MOST_TEAM);
    assert_true(metasd_arena_ok(&shared) && metasd_arena_ok(&own));
    shared_bytes = shared.used;
    own_bytes = own.used;
    training->memory = tools_alloc(shared_bytes);
    for (int i = 0; i < TRAININGS_MOST_TEAM; i++) {
        training->own[i] = tools_alloc(own_bytes);
        shared = metasd_arena_over(training->memory, shared_bytes);
        own = metasd_arena_over(training->own[i], own_bytes);
        metasd_trainer_take(&training->trainer[i], &shared, &own, &world->graph, &options,
                            TRAININGS_MOST_TEAM);
        assert_true(metasd_arena_ok(&shared) && metasd_arena_ok(&own));
    }
    training->model = tools_alloc(trainings_floats(training) * sizeof(float));
    return training;
}

void
trainings_unmake(Training *training)
{
    for (int i = 0; i < TRAININGS_MOST_TEAM; i++)
        free(training->own[i]);
    free(training->saved);
    free(training->model);
    free(training->memory);
    free(training);
}

static MetasdStatus
train(MetasdTeam *team, void *context)
{
    Training *training = context;
    MetasdTrainEvents events = {
        .context = training, .epoch = hear_epoch, .batch = hear_batch, .repeat = hear_repeat};
    MetasdEpoch best;
    MetasdStatus status = metasd_train(&training->trainer[team->rank], team,
                                       &training->world->graph, &training->options, &events, &best);

    if (team->rank == 0)
        training->best = best;
    return status;
}

MetasdStatus
trainings_run(Training *training, int members)
{
    return threads_run(members, train, training);
}

MetasdStatus
trainings_run_alone(Training *training)
{
    MetasdTeam team = metasd_team_of_one();

    team.poll = counted_poll;
    team.barrier = counted_barrier;
    team.context = training;
    return train(&team, training);
}

Training *
trainings_done(const World *world, MetasdTrainOptions options)
{
    Training *training = trainings_make(world, options);

    assert_int_equal(trainings_run_alone(training), METASD_OK);
    return training;
}

double
trainings_mrr(const MetasdRanks *ranks)
{
    return ranks->n > 0 ? ranks->reciprocal / (double)ranks->n : 0;
}

void
trainings_assert_same(const Training *a, const Training *b)
{
    assert_int_equal(trainings_floats(a), trainings_floats(b));
    assert_memory_equal(a->trainer[0].best, b->trainer[0].best,
                        trainings_floats(a) * sizeof(float));
}
