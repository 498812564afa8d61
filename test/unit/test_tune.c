/* The search spends its budget on what it should: with trainings that are made up. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tune.h"

static const MetasdTuneOptions usual = {
    .seed = 1, .epochs = 30, .present = {{0.1, 500, 0.02, 0}}, .most_rank = 10000};

/* A made-up training: how long it takes, how good it is. */
typedef struct World {
    double epoch_seconds; /* of candidate 0 */
    MetasdPoint best;
    bool fails;  /* with a learning rate above 0.2 */
    int stop_at; /* a trial of this number does not come to its end; 0: all do */
} World;

typedef struct Story {
    int trials, of_rung[METASD_TUNE_RUNGS];
    double seconds;
} Story;

static double
distance(const MetasdPoint *a, const MetasdPoint *b)
{
    double sum = 0;

    for (int axis = 0; axis < METASD_AXES; axis++)
        sum += pow(log((a->x[axis] + 0.1) / (b->x[axis] + 0.1)), 2);
    return sum;
}

static double
quality(const World *world, const MetasdPoint *point, int epochs)
{
    if (world->fails && point->x[METASD_AXIS_LR] > 0.2)
        return NAN;
    return (1 - exp(-epochs / 10.0)) / (1 + distance(point, &world->best));
}

static Story
search(MetasdTune *tune, const MetasdTuneOptions *options, const World *world, double budget)
{
    Story story = {0};
    MetasdTuneTrial trial;

    metasd_tune_start(tune, options);
    while (story.seconds < budget && metasd_tune_next(tune, budget - story.seconds, &trial)) {
        const MetasdPoint *point = &tune->candidate[trial.candidate];
        double seconds = world->epoch_seconds * trial.epochs * point->x[METASD_AXIS_RANK] /
                         options->present.x[METASD_AXIS_RANK];

        assert_int_equal(trial.epochs, tune->epochs[trial.rung]);
        assert_true(isnan(tune->mrr[trial.rung][trial.candidate])); /* nothing is done twice */
        story.seconds += seconds;
        story.trials++;
        if (story.seconds > budget || story.trials == world->stop_at)
            break;
        story.of_rung[trial.rung]++;
        metasd_tune_report(tune, &trial, quality(world, point, trial.epochs), seconds);
        if (tune->planned > 0)
            assert_in_range(story.trials, 1, tune->planned);
    }
    return story;
}

/* ---- candidates ---- */

static bool
is_two_digits(double x)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%.2g", x);
    return strtod(text, NULL) == x;
}

static void
candidates_lie_in_their_ranges(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        MetasdTuneOptions options = usual;
        int low = 0, high = 0, whole = 0;

        options.seed = seed;
        metasd_tune_start(tune, &options);
        assert_int_equal(tune->candidates, METASD_TUNE_CANDIDATES);
        assert_memory_equal(&tune->candidate[0], &usual.present, sizeof(MetasdPoint));
        for (int i = 1; i < tune->candidates; i++) {
            const double *x = tune->candidate[i].x;

            assert_true(x[METASD_AXIS_LR] >= 0.05 && x[METASD_AXIS_LR] <= 0.3);
            assert_true(x[METASD_AXIS_RANK] >= 250 && x[METASD_AXIS_RANK] <= 1000);
            assert_true(x[METASD_AXIS_REG] >= 0.002 && x[METASD_AXIS_REG] <= 0.2);
            assert_true(x[METASD_AXIS_RELATION_WEIGHT] >= 0 && x[METASD_AXIS_RELATION_WEIGHT] <= 4);
            for (int axis = 0; axis < METASD_AXES; axis++)
                assert_true(is_two_digits(x[axis]) || axis == METASD_AXIS_RELATION_WEIGHT);
            low += i <= 40 && x[METASD_AXIS_REG] < 0.02;
            high += i <= 40 && x[METASD_AXIS_REG] > 0.02;
            whole += i <= 40 && x[METASD_AXIS_REG] != 0.02 && x[METASD_AXIS_LR] != 0.1 &&
                     x[METASD_AXIS_RANK] != 500;
        }
        assert_in_range(whole, 15, 35);           /* change all but perhaps relation_weight */
        assert_in_range(low, high / 2, 2 * high); /* evenly, already the first ones */
    }
    free(tune);
}

static void
seeds_differ_and_repeat(void **state)
{
    MetasdTune *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
    MetasdTuneOptions options = usual;

    (void)state;
    metasd_tune_start(a, &options);
    metasd_tune_start(b, &options);
    assert_memory_equal(a->candidate, b->candidate, sizeof(a->candidate));
    options.seed = 2;
    metasd_tune_start(b, &options);
    assert_memory_not_equal(a->candidate, b->candidate, sizeof(a->candidate));
    free(a);
    free(b);
}

/* Fixed axes stay; memory bounds the rank; where there is little to choose, nothing comes twice. */
static void
limits_are_kept(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    MetasdTuneOptions options = usual;

    (void)state;
    options.most_rank = 613;
    options.present.x[METASD_AXIS_REG] = 0;
    options.fixed[METASD_AXIS_LR] = true;
    metasd_tune_start(tune, &options);
    for (int i = 1; i < tune->candidates; i++) {
        assert_true(tune->candidate[i].x[METASD_AXIS_LR] == 0.1);
        assert_true(tune->candidate[i].x[METASD_AXIS_RANK] <= 613);
        assert_true(tune->candidate[i].x[METASD_AXIS_REG] >= 0);
    }
    options.fixed[METASD_AXIS_RANK] = options.fixed[METASD_AXIS_REG] = true;
    metasd_tune_start(tune, &options);
    assert_int_equal(tune->candidates, 6);
    options.fixed[METASD_AXIS_RELATION_WEIGHT] = true;
    metasd_tune_start(tune, &options);
    assert_int_equal(tune->candidates, 1);

    options = usual;
    options.present.x[METASD_AXIS_RANK] = options.most_rank = 1;
    metasd_tune_start(tune, &options);
    for (int i = 1; i < tune->candidates; i++)
        assert_true(tune->candidate[i].x[METASD_AXIS_RANK] == 1);
    free(tune);
}

/* ---- rungs ---- */

static void
rungs_end_with_whole_trainings(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    MetasdTuneOptions options = usual;

    (void)state;
    for (int epochs = 1; epochs < 500; epochs++) {
        options.epochs = epochs;
        metasd_tune_start(tune, &options);
        assert_int_equal(tune->epochs[tune->rungs - 1], epochs);
        assert_true(tune->epochs[0] >= METASD_TUNE_LEAST_EPOCHS || tune->rungs == 1);
        for (int rung = 1; rung < tune->rungs; rung++)
            assert_true(tune->epochs[rung] > tune->epochs[rung - 1]);
    }
    options.epochs = 30;
    metasd_tune_start(tune, &options);
    assert_int_equal(tune->rungs, 3);
    assert_int_equal(tune->epochs[0], 4);
    assert_int_equal(tune->epochs[1], 10);
    free(tune);
}

/* ---- the budget ---- */

static void
budgets_are_used_and_kept(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = {{0.2, 700, 0.005, 0.5}}};

    (void)state;
    for (double budget = 130; budget < 20000; budget *= 1.3) {
        Story story = search(tune, &usual, &world, budget);
        MetasdTuneChoice choice = metasd_tune_choice(tune, 0);

        assert_int_equal(choice.rung, 2); /* whole trainings decide */
        assert_true(choice.mrr >= choice.present_mrr);
        assert_true(story.seconds <= budget);
        if (budget < 4000) /* beyond, there are no more candidates */
            assert_true(story.seconds > 0.6 * budget);
        assert_true(story.of_rung[2] >= 2);
    }
    free(tune);
}

/* From many candidates it finds a better one than from few, and never a worse one. */
static void
more_time_finds_more(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 0.5, .best = {{0.2, 700, 0.005, 0.5}}};
    double little = 0, much = 0, present = quality(&world, &usual.present, 30);

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        MetasdTuneOptions options = usual;

        options.seed = seed;
        (void)search(tune, &options, &world, 60);
        little += metasd_tune_choice(tune, 0).mrr / 20;
        (void)search(tune, &options, &world, 600);
        much += metasd_tune_choice(tune, 0).mrr / 20;
        assert_true(metasd_tune_choice(tune, 0).mrr > present);
    }
    assert_true(little > present && much > little);
    free(tune);
}

/* The best candidate of a rung goes on, and what is there stays where it is the best. */
static void
the_best_wins(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = usual.present};

    (void)state;
    (void)search(tune, &usual, &world, 1000);
    assert_int_equal(metasd_tune_choice(tune, 0).candidate, 0);
    world.best = (MetasdPoint){{0.2, 900, 0.1, 4}};
    (void)search(tune, &usual, &world, 1000);
    for (int i = 0; i < tune->candidates; i++)
        if (!isnan(tune->mrr[0][i]))
            assert_true(
                distance(&tune->candidate[i], &world.best) >=
                distance(&tune->candidate[metasd_tune_choice(tune, 0).candidate], &world.best));
    free(tune);
}

/* Too little time for whole trainings: shorter ones decide; or none, and nothing is chosen. */
static void
little_time(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = {{0.2, 500, 0.005, 0.5}}};

    (void)state;
    for (double budget = 1; budget < 150; budget++) {
        Story story = search(tune, &usual, &world, budget);
        MetasdTuneChoice choice = metasd_tune_choice(tune, 0);

        if (budget < 24)
            assert_int_equal(choice.rung, -1);
        if (choice.rung < 0)
            assert_int_equal(choice.candidate, 0);
        assert_true(choice.rung != 0); /* with 4 epochs of 30 */
        assert_true(choice.rung >= (budget < 50 ? -1 : budget < 149 ? 1 : 2));
        assert_true(story.trials > 0);
    }
    free(tune);
}

/* Trainings slow down in mid-search: the highest rung is still reached. */
static void
a_slower_machine(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    MetasdTuneTrial trial;
    double left = 600;

    (void)state;
    metasd_tune_start(tune, &usual);
    while (left > 0 && metasd_tune_next(tune, left, &trial)) {
        double seconds = trial.epochs * (left > 400 ? 0.5 : 1.0);

        left -= seconds;
        if (left >= 0)
            metasd_tune_report(tune, &trial, 0.5, seconds);
    }
    assert_int_equal(metasd_tune_choice(tune, 0).rung, 2);
    assert_int_equal(metasd_tune_choice(tune, 0).candidate, 0); /* all alike */
    free(tune);
}

/* They take four times as long as the first one told: what time there is still is used. */
static void
a_wrong_measure(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));

    (void)state;
    for (double budget = 130; budget < 2000; budget *= 1.2) {
        MetasdTuneTrial trial;
        double left = budget;

        metasd_tune_start(tune, &usual);
        while (left > 0 && metasd_tune_next(tune, left, &trial)) {
            double seconds = trial.epochs * (tune->done == 0 ? 1.0 : 4.0);

            left -= seconds;
            if (left >= 0)
                metasd_tune_report(tune, &trial, 0.5 + 0.001 * trial.candidate, seconds);
        }
        assert_true(left < 0.6 * budget);
        assert_true(metasd_tune_choice(tune, 0).rung >= (budget < 150 ? -1 : budget < 540 ? 1 : 2));
    }
    free(tune);
}

/*
 * The first rung takes nearly all the time there is: one that may decide is begun all the same, for
 * what a trial of it costs is not known before.
 */
static void
hardly_any_time_left(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    MetasdTuneTrial trial = {.rung = 0};
    double left = 150;

    (void)state;
    metasd_tune_start(tune, &usual);
    while (trial.rung == 0) {
        assert_true(metasd_tune_next(tune, left, &trial));
        /* As the present candidate told, until the first rung is done. */
        left = tune->next == tune->queued && tune->done > 0 ? 1 : left - trial.epochs;
        metasd_tune_report(tune, &trial, 0.5, trial.epochs);
    }
    assert_int_equal(tune->first, 0);
    assert_int_equal(tune->last, 1); /* the highest of three is given up */
    assert_int_equal(trial.rung, 1);
    assert_int_equal(tune->queued, 2); /* one candidate beside the present one */
    free(tune);
}

/* ---- what fails, what stops ---- */

static void
failures_lose(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = {{0.3, 500, 0.02, 0}}, .fails = true};
    MetasdTuneOptions options = usual;
    MetasdTuneChoice choice;

    (void)state;
    (void)search(tune, &options, &world, 1000);
    choice = metasd_tune_choice(tune, 0);
    assert_true(tune->candidate[choice.candidate].x[METASD_AXIS_LR] <= 0.2);
    assert_true(choice.mrr > choice.present_mrr);

    /* What is there fails: whatever does not is better. */
    options.present.x[METASD_AXIS_LR] = 0.25;
    (void)search(tune, &options, &world, 1000);
    choice = metasd_tune_choice(tune, 0);
    assert_int_not_equal(choice.candidate, 0);
    assert_true(choice.mrr > 0 && choice.present_mrr < 0);

    /* All fail: nothing goes on, and nothing is chosen. */
    options.fixed[METASD_AXIS_LR] = true;
    (void)search(tune, &options, &world, 1000);
    choice = metasd_tune_choice(tune, 0);
    assert_int_equal(choice.candidate, 0);
    assert_int_equal(choice.rung, -1);
    free(tune);
}

/* Stopped at any trial, the choice is the best of what was compared with candidate 0. */
static void
stops_anywhere(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = {{0.2, 700, 0.005, 0.5}}};
    Story whole = search(tune, &usual, &world, 400);

    (void)state;
    for (world.stop_at = 1; world.stop_at <= whole.trials; world.stop_at++) {
        MetasdTuneChoice choice;

        (void)search(tune, &usual, &world, 400);
        choice = metasd_tune_choice(tune, 0);
        if (choice.rung < 0)
            assert_int_equal(choice.candidate, 0);
        else
            assert_false(isnan(choice.mrr) || isnan(choice.present_mrr));
        for (int i = 0; i < tune->candidates && choice.rung >= 0; i++)
            assert_false(tune->mrr[choice.rung][i] > choice.mrr);
        assert_true(choice.rung >= 1 || isnan(tune->mrr[1][0]) ||
                    world.stop_at < whole.of_rung[0] + 4);
    }
    free(tune);
}

/* What is better by less than chance may make of it is left. */
static void
a_little_better(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    World world = {.epoch_seconds = 1, .best = {{0.2, 700, 0.005, 0.5}}};
    MetasdTuneChoice best;
    double gain;

    (void)state;
    (void)search(tune, &usual, &world, 1000);
    best = metasd_tune_choice(tune, 0);
    gain = best.mrr - best.present_mrr;
    assert_true(gain > 0);
    assert_int_equal(metasd_tune_choice(tune, 0.9 * gain).candidate, best.candidate);
    assert_int_equal(metasd_tune_choice(tune, 1.1 * gain).candidate, 0);
    assert_true(metasd_tune_choice(tune, 1.1 * gain).mrr == best.present_mrr);
    assert_true(metasd_tune_margin(10000) > 0 && metasd_tune_margin(10000) < 0.01);
    assert_true(metasd_tune_margin(100) > 0.01 && metasd_tune_margin(0) == 0);
    free(tune);
}

static void
the_best_so_far(void **state)
{
    MetasdTune *tune = malloc(sizeof(*tune));
    MetasdTuneTrial first, second;

    (void)state;
    metasd_tune_start(tune, &usual);
    assert_true(metasd_tune_next(tune, 1000, &first));
    assert_int_equal(first.candidate, 0);
    metasd_tune_report(tune, &first, 0.4, 4);
    assert_true(metasd_tune_is_best(tune, &first));
    assert_true(metasd_tune_next(tune, 996, &second));
    metasd_tune_report(tune, &second, 0.4, 4);
    assert_false(metasd_tune_is_best(tune, &second));
    assert_true(metasd_tune_next(tune, 992, &second));
    metasd_tune_report(tune, &second, 0.5, 4);
    assert_true(metasd_tune_is_best(tune, &second));
    assert_true(metasd_tune_next(tune, 988, &second));
    metasd_tune_report(tune, &second, NAN, 4);
    assert_false(metasd_tune_is_best(tune, &second));
    free(tune);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(candidates_lie_in_their_ranges),
                                       cmocka_unit_test(seeds_differ_and_repeat),
                                       cmocka_unit_test(limits_are_kept),
                                       cmocka_unit_test(rungs_end_with_whole_trainings),
                                       cmocka_unit_test(budgets_are_used_and_kept),
                                       cmocka_unit_test(more_time_finds_more),
                                       cmocka_unit_test(the_best_wins),
                                       cmocka_unit_test(little_time),
                                       cmocka_unit_test(a_slower_machine),
                                       cmocka_unit_test(hardly_any_time_left),
                                       cmocka_unit_test(failures_lose),
                                       cmocka_unit_test(a_little_better),
                                       cmocka_unit_test(a_wrong_measure),
                                       cmocka_unit_test(stops_anywhere),
                                       cmocka_unit_test(the_best_so_far)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
