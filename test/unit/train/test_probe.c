/*
 * Probes: the halving finds a planted best, for what is open alone, and real trainings agree
 * whenever they are repeated.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/probe.h"
#include "trainings.h"

/* ---- a planted best ---- */

typedef struct Plant {
    MetasdProbeChoice best;
    double relation_gain; /* of the best relation weight */
    double class_gain;    /* of the best class weights; 0: .03 */
    int runs, stop_at;    /* 0: never */
} Plant;

/* The MRR falls with the distance from the planted choice; more where probes are longer. */
static MetasdStatus
run_planted(void *context, MetasdProbe *probe)
{
    Plant *plant = context;
    const MetasdProbeChoice *choice = &probe->choice, *best = &plant->best;

    if (++plant->runs == plant->stop_at)
        return METASD_INTERRUPTED;
    probe->answers = 1000;
    probe->mrr = 0.5 - 0.1 * fabs(log(choice->reg / best->reg)) -
                 (choice->regularizer == best->regularizer ? 0 : 0.03) +
                 (choice->relation_weight == best->relation_weight ? plant->relation_gain : 0) -
                 (choice->class_weights == best->class_weights ? 0
                  : plant->class_gain > 0                      ? plant->class_gain
                                                               : 0.03) +
                 0.001 * probe->epochs;
    return METASD_OK;
}

static MetasdProbing
all_open(void)
{
    return (MetasdProbing){.chosen = {.reg = 0.07, .class_weights = true},
                           .open = {true, true, true, true},
                           .lengths = {1, 3, 1}};
}

static int
most_probes(const MetasdProbing *probing)
{
    MetasdProbeCounts counts = metasd_halving_count(probing);

    return counts.brief + counts.full + counts.longest;
}

static void
halving_finds_what_was_planted(void **state)
{
    static const double regs[] = {0.2, 0.1, 0.05, 0.02, 0.01, 0.005}, weights[] = {0, 1, 4};

    (void)state;
    for (int i = 0; i < 6 * 2 * 3 * 2; i++) {
        Plant plant = {.best = {.reg = regs[i % 6],
                                .regularizer = i / 6 % 2 ? METASD_N3 : METASD_DURA,
                                .relation_weight = weights[i / 12 % 3],
                                .class_weights = i / 36},
                       .relation_gain = 0.02};
        MetasdProbing probing = all_open();

        assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
        assert_true(probing.chosen.reg == plant.best.reg);
        assert_int_equal(probing.chosen.regularizer, plant.best.regularizer);
        assert_true(probing.chosen.relation_weight == plant.best.relation_weight);
        assert_int_equal(probing.chosen.class_weights, plant.best.class_weights);
        assert_true(probing.count >= 12 + 4 + 2 + 1 && probing.count <= 12 + 4 + 1 + 2 + 2 + 1);
        assert_true(probing.count <= most_probes(&probing));
        assert_true(most_probes(&probing) <= METASD_MOST_PROBES);
    }
}

static void
what_is_given_stays(void **state)
{
    (void)state;
    for (int given = 0; given < 1 << METASD_PROBED; given++) {
        Plant plant = {.best = {.reg = 0.02, .regularizer = METASD_N3, .relation_weight = 1},
                       .relation_gain = 0.02};
        MetasdProbing probing = all_open();

        for (int i = 0; i < METASD_PROBED; i++)
            probing.open[i] = !(given >> i & 1);
        assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
        assert_true(probing.chosen.reg == (probing.open[METASD_PROBED_REG] ? 0.02 : 0.07));
        assert_int_equal(probing.chosen.regularizer,
                         probing.open[METASD_PROBED_REGULARIZER] ? METASD_N3 : METASD_DURA);
        assert_true(probing.chosen.relation_weight ==
                    (probing.open[METASD_PROBED_RELATION_WEIGHT] ? 1 : 0));
        assert_int_equal(probing.chosen.class_weights, !probing.open[METASD_PROBED_CLASS_WEIGHTS]);
        assert_int_equal(probing.count == 0, given == (1 << METASD_PROBED) - 1);
        assert_true(probing.count <= most_probes(&probing));
        for (int i = 0; i < probing.count; i++)
            if (given & 1)
                assert_true(probing.probe[i].choice.reg == 0.07);
    }
}

/* A relation loss that wins hardly anything is not worth its time; no lengths, no probes. */
static void
small_gains_do_not_count(void **state)
{
    Plant plant = {.best = {.reg = 0.05, .relation_weight = 4}, .relation_gain = 0.004};
    MetasdProbing probing = all_open();

    (void)state;
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.chosen.relation_weight == 0);
    probing = all_open();
    probing.lengths = (MetasdProbeLengths){0};
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.count == 0 && probing.chosen.reg == 0.07);
}

static void
an_end_is_passed_on(void **state)
{
    (void)state;
    for (int stop = 1; stop <= 19; stop++) {
        Plant plant = {.best = {.reg = 0.02}, .stop_at = stop};
        MetasdProbing probing = all_open();

        assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_INTERRUPTED);
        assert_int_equal(probing.count, stop - 1);
    }
}

/* The planted MRR, but brief probes underrate weights above .05. */
static MetasdStatus
run_slow(void *context, MetasdProbe *probe)
{
    METASD_TRY(run_planted(context, probe));
    if (probe->epochs < 3 && probe->choice.reg > 0.05)
        probe->mrr -= 0.4;
    return METASD_OK;
}

static void
a_large_weight_that_is_slow_is_found(void **state)
{
    Plant plant = {.best = {.reg = 0.1}, .relation_gain = 0.02};
    MetasdProbing probing = all_open();

    (void)state;
    assert_int_equal(metasd_halving(&probing, run_slow, &plant), METASD_OK);
    assert_true(probing.chosen.reg == 0.1);
    assert_int_equal(probing.count, 12 + 4 + 2 + 2 + 2 + 1);
    assert_true(probing.count <= most_probes(&probing));
    plant.best.reg = 0.02; /* .05 was tried for longer already, or does not win */
    assert_int_equal(metasd_halving(&probing, run_slow, &plant), METASD_OK);
    assert_true(probing.chosen.reg == 0.02);
}

/* The planted MRR, but only the longest probes see that weights above .05 are good. */
static MetasdStatus
run_slower(void *context, MetasdProbe *probe)
{
    METASD_TRY(run_planted(context, probe));
    if (probe->epochs < 9 && probe->choice.reg > 0.05)
        probe->mrr -= 0.4;
    return METASD_OK;
}

static void
the_longest_probes_find_a_larger_weight(void **state)
{
    static const double larger[] = {0.1, 0.2};

    (void)state;
    for (int i = 0; i < 2; i++) {
        Plant plant = {.best = {.reg = larger[i], .relation_weight = 1}, .relation_gain = 0.02};
        MetasdProbing probing = all_open();

        assert_int_equal(metasd_halving(&probing, run_slower, &plant), METASD_OK);
        assert_true(probing.chosen.reg == larger[i]);
        assert_true(probing.chosen.relation_weight == 1);
        assert_true(probing.count <= METASD_MOST_PROBES);
        probing = all_open();
        probing.lengths = (MetasdProbeLengths){8, 24, 1};
        assert_int_equal(metasd_halving(&probing, run_slower, &plant), METASD_OK);
        assert_true(probing.chosen.reg == larger[i]);
        for (int j = 0; j < probing.count; j++)
            assert_true(probing.probe[j].epochs <= 24);
    }
}

/* The planted MRR, but twice the best weight is nearly as good as the best. */
static MetasdStatus
run_level(void *context, MetasdProbe *probe)
{
    MetasdProbe planted = *probe;

    if (planted.choice.reg == 0.05)
        planted.choice.reg = 0.02;
    METASD_TRY(run_planted(context, &planted));
    probe->answers = planted.answers;
    probe->mrr = planted.mrr - (probe->choice.reg == 0.05 ? 0.002 : 0);
    return METASD_OK;
}

/* Of two weights that are level the larger is taken after short probes, else the better. */
static void
of_level_weights_the_larger_is_taken(void **state)
{
    Plant plant = {.best = {.reg = 0.02}, .relation_gain = 0.02};
    MetasdProbing probing = all_open();

    (void)state;
    assert_int_equal(metasd_halving(&probing, run_level, &plant), METASD_OK);
    assert_true(probing.chosen.reg == 0.05);
    probing = all_open();
    probing.lengths.full = 24;
    assert_int_equal(metasd_halving(&probing, run_level, &plant), METASD_OK);
    assert_true(probing.chosen.reg == 0.02);
}

/* A relation loss that pays late is not left for a small gain of a short probe. */
static void
a_relation_loss_may_pay_late(void **state)
{
    Plant plant = {.best = {.reg = 0.05, .relation_weight = 0}, .relation_gain = 0.015};
    MetasdProbing probing = all_open();

    (void)state;
    probing.chosen.relation_weight = 0.5;
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.chosen.relation_weight == 0.5);
    plant.relation_gain = 0.04;
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.chosen.relation_weight == 0);
    plant.relation_gain = 0.015;
    probing = all_open();
    probing.chosen.relation_weight = 0.5;
    probing.lengths = (MetasdProbeLengths){8, 24, 1};
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.chosen.relation_weight == 0);
}

/* Nor are class weights, where they are the default. */
static void
class_weights_may_pay_late(void **state)
{
    Plant plant = {.best = {.reg = 0.05, .class_weights = false}};
    MetasdProbing probing = all_open();

    (void)state;
    plant.class_gain = 0.015;
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_true(probing.chosen.class_weights);
    probing = all_open();
    probing.lengths = (MetasdProbeLengths){8, 24, 1};
    assert_int_equal(metasd_halving(&probing, run_planted, &plant), METASD_OK);
    assert_false(probing.chosen.class_weights);
}

/* ---- trainings ---- */

typedef struct Watch {
    size_t batches, stop_after;
    int probe; /* the last one that told of itself */
} Watch;

static MetasdStatus
watch_batch(void *context, int probe, size_t done, size_t total, double loss)
{
    Watch *watch = context;

    (void)loss;
    assert_true(probe >= watch->probe && done >= 1 && done <= total);
    watch->probe = probe;
    return ++watch->batches == watch->stop_after ? METASD_INTERRUPTED : METASD_OK;
}

static MetasdStatus
probe_clubs(const World *world, MetasdProbing *probing, int seeds, Watch *watch)
{
    MetasdTrainOptions options = trainings_options();
    MetasdTrainOptions small = metasd_probe_options(&world->graph, &options);
    MetasdTrainEvents events = {.context = watch, .batch = watch_batch};
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTeam team = metasd_team_of_one();
    MetasdTrainer trainer;
    void *memory[2];
    MetasdStatus status;

    metasd_trainer_take(&trainer, &shared, &own, &world->graph, &small, 1);
    memory[0] = malloc(shared.used + METASD_ALIGN);
    memory[1] = malloc(own.used + METASD_ALIGN);
    shared = metasd_arena_over(memory[0], shared.used + METASD_ALIGN);
    own = metasd_arena_over(memory[1], own.used + METASD_ALIGN);
    metasd_trainer_take(&trainer, &shared, &own, &world->graph, &small, 1);
    assert_true(metasd_arena_ok(&shared) && metasd_arena_ok(&own));
    *probing = (MetasdProbing){.open = {true, true, true, true}};
    probing->lengths = (MetasdProbeLengths){0.7, 2, seeds};
    status = metasd_probe(probing, &trainer, &team, &world->graph, &options, &events);
    free(memory[0]);
    free(memory[1]);
    return status;
}

static void
probes_of_a_graph_are_always_the_same(void **state)
{
    World world = trainings_clubs();
    MetasdProbing one, two;
    Watch watch = {0}, again = {0};

    (void)state;
    assert_int_equal(probe_clubs(&world, &one, 1, &watch), METASD_OK);
    assert_int_equal(probe_clubs(&world, &two, 1, &again), METASD_OK);
    assert_int_equal(watch.batches, again.batches);
    assert_int_equal(one.count, two.count);
    assert_int_equal(watch.probe, one.count);
    for (int i = 0; i < one.count; i++) {
        assert_true(one.probe[i].mrr == two.probe[i].mrr && one.probe[i].mrr > 0);
        assert_true(one.probe[i].answers > 0);
    }
    assert_true(one.chosen.reg == two.chosen.reg);
    again = (Watch){0};
    assert_int_equal(probe_clubs(&world, &two, 3, &again), METASD_OK);
    assert_int_equal(again.batches % 3, 0);
    assert_true(again.batches > 2 * watch.batches);
    for (int i = 0; i < two.count; i++)
        assert_true(two.probe[i].mrr > 0 && two.probe[i].mrr < 1 + 1e-9);
    again = (Watch){.stop_after = watch.batches / 2};
    assert_int_equal(probe_clubs(&world, &two, 1, &again), METASD_INTERRUPTED);
    free(world.memory);
}

/* What is planned for a graph of 15,000 entities and a training of so many epochs. */
static MetasdProbing
plan(int epochs, size_t rank, size_t answers)
{
    MetasdTrainOptions options = trainings_options();
    MetasdGraph graph = {.entities = 15000, .relations = 200};
    MetasdProbing probing = all_open();

    graph.part[METASD_TRAIN].examples = 600000;
    graph.part[METASD_TRAIN].count = 150000;
    graph.part[METASD_VALIDATION].examples = answers;
    options.rank = rank;
    options.batch = 1000;
    options.epochs = epochs;
    metasd_probe_plan(&probing, &graph, &options);
    return probing;
}

static int
count_open(const MetasdProbing *probing)
{
    int n = 0;

    for (int i = 0; i < METASD_PROBED; i++)
        n += probing->open[i];
    return n;
}

/*
 * Longer trainings have longer probes, up to a length, and then more seeds; shorter ones leave
 * parameters out, but the weight of the regulariser. Too few answers, or too short ones: none.
 */
static void
lengths_follow_from_the_work(void **state)
{
    MetasdProbing probing, before = {.open = {false}};

    (void)state;
    for (int epochs = 1; epochs < 1 << 14; epochs *= 2) {
        probing = plan(epochs, 100, 5000);
        assert_true(probing.lengths.brief >= before.lengths.brief ||
                    count_open(&probing) > count_open(&before));
        assert_true(count_open(&probing) >= count_open(&before));
        assert_true(probing.lengths.full == 0 ||
                    (probing.lengths.full > probing.lengths.brief && probing.lengths.seeds >= 1 &&
                     probing.open[METASD_PROBED_REG]));
        before = probing;
    }
    assert_true(count_open(&probing) == METASD_PROBED && probing.lengths.seeds > 1);
    assert_true(plan(1, 8, 5000).lengths.full == 0);
    assert_true(plan(1 << 14, 100, METASD_PROBE_LEAST_ANSWERS - 1).lengths.full == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halving_finds_what_was_planted),
        cmocka_unit_test(what_is_given_stays),
        cmocka_unit_test(small_gains_do_not_count),
        cmocka_unit_test(a_large_weight_that_is_slow_is_found),
        cmocka_unit_test(of_level_weights_the_larger_is_taken),
        cmocka_unit_test(a_relation_loss_may_pay_late),
        cmocka_unit_test(class_weights_may_pay_late),
        cmocka_unit_test(the_longest_probes_find_a_larger_weight),
        cmocka_unit_test(an_end_is_passed_on),
        cmocka_unit_test(probes_of_a_graph_are_always_the_same),
        cmocka_unit_test(lengths_follow_from_the_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
