/*
 * A training that starts from the rows of another: what the tables begin with, and where it ends.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"
#include "trainings.h"
#include "core/train/warm_start.h"

/* ---- what new entities begin with, by hand ---- */

#define ENTITIES 5
#define RELATIONS 2
#define ROWS (ENTITIES + 2 * RELATIONS)

/*
 * Entities 2 and 3 are new, and relation 1. Entity 2 is told of by 0, which has it as a tail, and
 * by 1, which it has; 3 by no entity that is known.
 */
static const MetasdTriple facts[] = {{0, 0, 2}, {2, 0, 1}, {2, 0, 3}, {4, 1, 2}, {0, 0, 4}};
static const uint8_t known[ROWS] = {1, 1, 0, 0, 1, 1, 0, 1, 0};

/* Row of a relation backwards: behind the entities and the relations. */
#define BACKWARDS (ENTITIES + RELATIONS)

typedef struct Expectation {
    const MetasdFamily *family;
    size_t rank;
    float entity[2][2], relation[2], backwards[2]; /* of 0 and 1; of relation 0 */
    float wanted[2];                               /* of entity 2 */
} Expectation;

static const Expectation expectations[] = {
    /* ((1+2i)(2+i) + (1+i)(1+2i) + (2-i)(3-i) + (3-i)(1-i)) / 4 */
    {&metasd_family_complex, 1, {{1, 2}, {3, -1}}, {2, 1}, {1, -1}, {1.5f, -0.25f}},
    /* (1 x 2 + 1 x 1 + 2 x 3 + 3 x 1) / 4, (2 x 1 + -1 x 2 + 1 x -3 + -3 x -1) / 4 */
    {&metasd_family_distmult, 2, {{1, 2}, {3, -3}}, {2, 1}, {1, -1}, {3, 0}},
};

static MetasdState
take_state(const MetasdFamily *family, size_t rank, void **memory)
{
    MetasdState state = {.entities = ENTITIES,
                         .relation_rows = 2 * RELATIONS,
                         .width = rank * family->reals_per_rank,
                         .family = family,
                         .size = {.batch = 4, .queries = 4, .has_student = true, .has_quiz = true}};

    *memory = tools_state_take(&state, 1, 1000);
    return state;
}

static void
put(MetasdState *state, size_t row, const float values[2])
{
    memcpy(state->weights + row * state->width, values, 2 * sizeof(float));
}

/* Is it one of the small numbers that weights begin with where nothing is known? */
static bool
is_noise(float weight)
{
    return weight != 0 && fabsf(weight) < 6 * METASD_INITIAL_SCALE;
}

static void
check_start(const Expectation *want)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdTriple triples[sizeof(facts) / sizeof(facts[0])];
    MetasdSplit split = {.seed = 1};
    MetasdGraph graph;
    void *memory, *graph_memory;
    MetasdState state = take_state(want->family, want->rank, &memory);
    const float *row = state.weights;

    memcpy(triples, facts, sizeof(facts));
    graph_memory =
        tools_graph(&graph, triples, sizeof(facts) / sizeof(facts[0]), ENTITIES, RELATIONS, &split);
    for (size_t i = 0; i < tools_table_floats(&state); i++)
        state.weights[i] = NAN; /* of rows that are not known nothing counts */
    put(&state, 0, want->entity[0]);
    put(&state, 1, want->entity[1]);
    put(&state, 4, (const float[]){0, 7});
    put(&state, ENTITIES, want->relation);
    put(&state, BACKWARDS, want->backwards);
    assert_int_equal(metasd_warm_start(&state, &team, &graph, known, 1), METASD_OK);

    assert_memory_equal(row, want->entity[0], 2 * sizeof(float));
    assert_memory_equal(row + 2, want->entity[1], 2 * sizeof(float));
    for (int i = 0; i < 2; i++) {
        if (want->wanted[i] != 0)
            assert_true(fabsf(row[4 + i] - want->wanted[i]) < 1e-6f);
        else
            assert_true(is_noise(row[4 + i]));
        assert_true(is_noise(row[6 + i])); /* nothing is known of it */
    }
    assert_true(is_noise(row[8]) && row[9] == 7); /* a pruned weight, and a kept one */
    assert_true(is_noise(row[2 * (ENTITIES + 1)]) && is_noise(row[2 * (BACKWARDS + 1)]));
    for (size_t i = 0; i < tools_table_floats(&state); i++)
        assert_true(state.student[i] == state.weights[i] && state.mask[i] == 1 &&
                    state.sums[i] > 0 && state.quiz_sums[i] == 0);
    free(memory);
    free(graph_memory);
}

static void
new_entities_begin_as_their_triples_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++)
        check_start(&expectations[i]);
}

/* ---- trainings ---- */

/* One that starts from another's model, but for the entities from `first_new` on. */
static Training *
make_warm(const World *world, MetasdTrainOptions options, const Training *from, size_t first_new)
{
    Training *training = trainings_make(world, options);
    MetasdTeam team = metasd_team_of_one();
    MetasdState *state = &training->trainer[0].state;
    size_t rows = (size_t)state->entities + state->relation_rows;
    uint8_t *knows = tools_alloc(rows);

    for (size_t row = 0; row < rows; row++)
        knows[row] = row < first_new || row >= state->entities;
    memcpy(state->weights, from->trainer[0].best, trainings_floats(from) * sizeof(float));
    assert_int_equal(metasd_warm_start(state, &team, &world->graph, knows, options.seed),
                     METASD_OK);
    for (int i = 0; i < TRAININGS_MOST_TEAM; i++)
        training->trainer[i].progress.warm = true;
    free(knows);
    return training;
}

static MetasdTrainOptions
short_options(void)
{
    MetasdTrainOptions options = trainings_options();

    options.epochs = 2;
    options.warmup = 0;
    options.ramp = 0;
    options.step.lr = 0.01f;
    return options;
}

static void
it_is_as_good_in_less_time(void **state)
{
    World world = trainings_clubs();
    Training *first = trainings_done(&world, trainings_options());
    Training *cold = trainings_done(&world, short_options());

    (void)state;
    for (int news = 0; news <= 4; news += 4) {
        Training *warm = make_warm(&world, short_options(), first, 60 - (size_t)news);

        assert_int_equal(trainings_run_alone(warm), METASD_OK);
        if (!(trainings_mrr(&warm->best.student) > trainings_mrr(&first->best.student) - 0.02) ||
            !(trainings_mrr(&warm->best.student) > trainings_mrr(&cold->best.student) + 0.1))
            fail_msg("MRR with %d new entities %g, before %g, anew %g", news,
                     trainings_mrr(&warm->best.student), trainings_mrr(&first->best.student),
                     trainings_mrr(&cold->best.student));
        trainings_unmake(warm);
    }
    trainings_unmake(first);
    trainings_unmake(cold);
    free(world.memory);
}

static void
any_team_gets_the_same_bits(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();
    Training *first = trainings_done(&world, options), *whole;

    (void)state;
    whole = make_warm(&world, options, first, first->trainer[0].state.entities / 2);
    assert_int_equal(trainings_run_alone(whole), METASD_OK);
    assert_true(memcmp(whole->trainer[0].best, first->trainer[0].best,
                       trainings_floats(first) * sizeof(float)) != 0);
    for (int members = 2; members <= TRAININGS_MOST_TEAM; members++) {
        Training *warm = make_warm(&world, options, first, first->trainer[0].state.entities / 2);

        assert_int_equal(trainings_run(warm, members), METASD_OK);
        trainings_assert_same(warm, whole);
        trainings_unmake(warm);
    }
    trainings_unmake(whole);
    trainings_unmake(first);
    free(world.memory);
}

static void
it_goes_on_from_a_checkpoint(void **state)
{
    World world = trainings_noise();
    MetasdTrainOptions options = trainings_short_options();
    Training *first = trainings_done(&world, options);
    Training *whole = make_warm(&world, options, first, 100), *stopped, *resumed;
    MetasdTeam team = metasd_team_of_one();
    MetasdCheckpoint checkpoint;

    (void)state;
    assert_int_equal(trainings_run_alone(whole), METASD_OK);
    stopped = make_warm(&world, options, first, 100);
    stopped->save_epoch = stopped->stop_after_epochs = 1;
    assert_int_equal(trainings_run_alone(stopped), METASD_INTERRUPTED);
    resumed = trainings_make(&world, options);
    metasd_checkpoint_load(&checkpoint, &resumed->trainer[0], &options, TRAININGS_GRAPH);
    assert_int_equal(metasd_checkpoint_feed(&checkpoint, stopped->saved, stopped->saved_bytes),
                     METASD_OK);
    assert_int_equal(metasd_checkpoint_end(&checkpoint, &team), METASD_OK);
    assert_int_equal(trainings_run_alone(resumed), METASD_OK);
    trainings_assert_same(resumed, whole);
    trainings_unmake(first);
    trainings_unmake(whole);
    trainings_unmake(stopped);
    trainings_unmake(resumed);
    free(world.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_entities_begin_as_their_triples_say),
        cmocka_unit_test(it_is_as_good_in_less_time),
        cmocka_unit_test(any_team_gets_the_same_bits),
        cmocka_unit_test(it_goes_on_from_a_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
