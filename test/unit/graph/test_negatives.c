/* A sample holds all targets, counts for all entities, and lies in the parts of the entities. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/negatives.h"
#include "tools.h"
#include "trainings.h"

#define ENTITIES 900
#define RELATIONS 2
#define TRIPLES 700
#define NEGATIVES 150
#define EXAMPLES 60

typedef struct Fixture {
    MetasdGraph graph;
    MetasdSlices slices;
    MetasdNegatives sampler;
    MetasdBatcher batcher;
    MetasdTeam team;
    void *memory[2];
} Fixture;

/* Low numbers are tails of many triples, high ones of few. */
static Fixture *
make(void)
{
    static MetasdTriple triples[TRIPLES];
    MetasdSplit split = {.seed = 1};
    Fixture *f = tools_alloc(sizeof(*f));
    MetasdArena arena = metasd_arena_measure();
    size_t bytes = 0;

    for (uint32_t i = 0; i < TRIPLES; i++)
        triples[i] = (MetasdTriple){i * 7 % ENTITIES, i % RELATIONS, i % 13 * (i % 31)};
    *f = (Fixture){.team = metasd_team_of_one(), .slices = metasd_team_cut(ENTITIES)};
    f->memory[0] = tools_graph(&f->graph, triples, TRIPLES, ENTITIES, RELATIONS, &split);
    for (int pass = 0; pass < 2; pass++) {
        const MetasdGroups *train = &f->graph.part[METASD_TRAIN];

        if (pass == 1) {
            f->memory[1] = tools_alloc(bytes);
            arena = metasd_arena_over(f->memory[1], bytes);
        }
        metasd_negatives_take(&f->sampler, &arena, &f->slices, NEGATIVES, EXAMPLES, true);
        metasd_batcher_take(&f->batcher, &arena, train, EXAMPLES);
        assert_true(metasd_arena_ok(&arena));
        bytes = arena.used;
    }
    assert_int_equal(metasd_batcher_prepare(&f->batcher, &f->team), METASD_OK);
    assert_int_equal(metasd_batcher_shuffle(&f->batcher, &f->team, 1, 1), METASD_OK);
    assert_int_equal(metasd_batcher_next(&f->batcher, &f->team), METASD_OK);
    return f;
}

static void
unmake(Fixture *f)
{
    free(f->memory[0]);
    free(f->memory[1]);
    free(f);
}

static const MetasdSample *
draw(Fixture *f, int which, uint64_t round)
{
    assert_int_equal(
        metasd_negatives_draw(&f->sampler, &f->team, which, 3, round << 8, &f->batcher.batch),
        METASD_OK);
    return &f->sampler.sample[which];
}

static void
samples_are_well_formed(void **state)
{
    Fixture *f = make();
    const MetasdBatch *batch = &f->batcher.batch;
    const MetasdSample *sample = draw(f, 1, 7);
    int each = sample->slices.count / sample->slices.parts;

    (void)state;
    assert_in_range(sample->slices.rows, 1, metasd_negatives_most(ENTITIES, NEGATIVES, EXAMPLES));
    for (uint32_t i = 1; i < sample->slices.rows; i++)
        assert_true(sample->ids[i - 1] < sample->ids[i]);
    for (size_t x = 0; x < batch->n; x++) {
        assert_int_equal(sample->ids[sample->targets[x]], batch->tails[x]);
        assert_true(sample->each[sample->targets[x]] == 1.0f);
    }
    assert_int_equal(sample->slices.parts, f->slices.parts);
    for (int p = 0; p < sample->slices.parts; p++)
        for (uint32_t i = metasd_team_slice_start(&sample->slices, p * each);
             i < metasd_team_slice_start(&sample->slices, (p + 1) * each); i++)
            assert_in_range(
                sample->ids[i],
                metasd_team_slice_start(&f->slices, p * f->slices.count / f->slices.parts),
                metasd_team_slice_start(&f->slices, (p + 1) * f->slices.count / f->slices.parts) -
                    1);
    assert_int_equal(metasd_team_slice_start(&sample->slices, sample->slices.count),
                     sample->slices.rows);
    unmake(f);
}

/* The mean of a sampled sum is the sum over all entities. */
static void
sums_are_unbiased(void **state)
{
    const int rounds = tools_quick() ? 400 : 4000;
    Fixture *f = make();
    double mean = 0, wanted = 0;

    (void)state;
    for (uint32_t e = 0; e < ENTITIES; e++)
        wanted += 1.0 + sin(e);
    for (int round = 0; round < rounds; round++) {
        const MetasdSample *sample = draw(f, 0, (uint64_t)round);

        for (uint32_t i = 0; i < sample->slices.rows; i++)
            mean += (double)sample->each[i] * (1.0 + sin(sample->ids[i])) / rounds;
    }
    if (!(fabs(mean - wanted) < 0.02 * wanted))
        fail_msg("mean %g of %g", mean, wanted);
    unmake(f);
}

/* Heads and sampled entities, once each, ascending. */
static void
touched_rows_are_listed_once(void **state)
{
    Fixture *f = make();
    const MetasdBatch *batch = &f->batcher.batch;
    const MetasdNegatives *sampler = &f->sampler;
    bool wanted[ENTITIES] = {false};
    uint32_t all = 0;

    (void)state;
    for (int which = 0; which < 2; which++) {
        const MetasdSample *sample = draw(f, which, (uint64_t)which);

        for (uint32_t i = 0; i < sample->slices.rows; i++)
            wanted[sample->ids[i]] = true;
    }
    for (size_t g = 0; g < batch->groups; g++)
        wanted[batch->heads[g]] = true;
    assert_int_equal(metasd_negatives_touch(&f->sampler, &f->team, batch, batch), METASD_OK);
    for (uint32_t e = 0; e < ENTITIES; e++)
        all += wanted[e];
    assert_int_equal(sampler->ntouched, all);
    assert_in_range(all, 1, metasd_negatives_most_touched(ENTITIES, NEGATIVES, EXAMPLES, true));
    for (uint32_t i = 0; i < all; i++) {
        assert_true(wanted[sampler->touched[i]]);
        assert_true(i == 0 || sampler->touched[i - 1] < sampler->touched[i]);
        assert_int_equal(metasd_negatives_place(sampler->touched, all, sampler->touched[i]), i);
    }
    unmake(f);
}

/* Numbers of any size are sorted, also those with high bits: a graph of the most entities. */
static void
entities_may_be_many(void **state)
{
    MetasdSlices slices = metasd_team_cut(4000000000u);
    MetasdTeam team = metasd_team_of_one();
    uint32_t tail = 3999999999u, head = 5, group = 0;
    size_t start[2] = {0, 1};
    MetasdBatch batch = {.groups = 1,
                         .n = 1,
                         .heads = &head,
                         .relations = &group,
                         .start = start,
                         .tails = &tail,
                         .group_of = &group};
    MetasdNegatives sampler;
    MetasdArena arena = metasd_arena_measure();
    void *memory;

    (void)state;
    metasd_negatives_take(&sampler, &arena, &slices, NEGATIVES, 1, false);
    assert_true(arena.used < 1 << 20); /* nothing for each entity */
    memory = tools_alloc(arena.used);
    arena = metasd_arena_over(memory, arena.used);
    metasd_negatives_take(&sampler, &arena, &slices, NEGATIVES, 1, false);
    assert_int_equal(metasd_negatives_draw(&sampler, &team, 0, 1, 1 << 8, &batch), METASD_OK);
    for (uint32_t i = 1; i < sampler.sample[0].slices.rows; i++)
        assert_true(sampler.sample[0].ids[i - 1] < sampler.sample[0].ids[i]);
    assert_int_equal(sampler.sample[0].ids[sampler.sample[0].targets[0]], tail);
    free(memory);
}

/* A training by samples learns too, and the team does not change a bit of it. */
static void
samples_teach(void **state)
{
    World clubs = trainings_clubs(), noise = trainings_noise();
    MetasdTrainOptions options = trainings_options();
    Training *training, *first;

    (void)state;
    options.negatives = 20;
    training = trainings_done(&clubs, options);
    assert_true(trainings_mrr(&training->best.student) > 0.5);
    trainings_unmake(training);
    options = trainings_short_options();
    options.negatives = 100;
    first = trainings_done(&noise, options);
    for (int members = 2; members <= TRAININGS_MOST_TEAM; members++) {
        training = trainings_make(&noise, options);
        assert_int_equal(trainings_run(training, members), METASD_OK);
        trainings_assert_same(first, training);
        trainings_unmake(training);
    }
    trainings_unmake(first);
    free(clubs.memory);
    free(noise.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_well_formed),
        cmocka_unit_test(sums_are_unbiased),
        cmocka_unit_test(touched_rows_are_listed_once),
        cmocka_unit_test(entities_may_be_many),
        cmocka_unit_test(samples_teach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
