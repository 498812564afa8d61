/*
 * Fitted sigmoids are the most likely ones, rows with few facts have those of the whole model, and
 * probabilities sum to the number of facts that hold.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/random.h"
#include "core/train/calibrate.h"
#include "tools.h"

/* An answer, of which there are so many. */
typedef struct Answer {
    size_t bin, all, holding;
    uint32_t row;
} Answer;

#define MOST_ANSWERS 20000

typedef struct Fit {
    MetasdCalibration calibration;
    MetasdTeam team;
    void *memory;
    Answer answers[MOST_ANSWERS];
    size_t count;
} Fit;

static Fit fit;

/* All rows may have sigmoids of their own. */
static void
make_fit(uint32_t rows)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;

    metasd_calibrate_take(&fit.calibration, &arena, rows, MOST_ANSWERS, rows * METASD_OWN_FACTS);
    bytes = arena.used;
    fit.memory = tools_alloc(bytes);
    arena = metasd_arena_over(fit.memory, bytes);
    metasd_calibrate_take(&fit.calibration, &arena, rows, MOST_ANSWERS, rows * METASD_OWN_FACTS);
    assert_true(metasd_arena_ok(&arena));
    for (uint32_t row = 0; row < rows; row++)
        metasd_calibrate_expect(&fit.calibration, row, METASD_OWN_FACTS);
    fit.team = metasd_team_of_one();
    fit.count = 0;
}

/* Answers that tie, to a question of their own. */
static void
add_tie(uint32_t row, double odds, size_t all, size_t holding)
{
    size_t bin = (size_t)((odds + METASD_MOST_ODDS) * METASD_BINS_A_UNIT + 0.5);
    uint32_t bins[METASD_BINS] = {0}, holds[METASD_BINS] = {0};

    assert_true(fit.count < MOST_ANSWERS && bin < METASD_BINS);
    bins[bin] = (uint32_t)all;
    holds[bin] = (uint32_t)holding;
    metasd_calibrate_add(&fit.calibration, row, bins, holds);
    fit.answers[fit.count++] = (Answer){bin, all, holding, row};
}

/* An answer of such odds, which are normal; it holds with the probability of a sigmoid. */
static void
add(uint32_t row, MetasdSigmoid sigmoid)
{
    double odds = 3 * metasd_random_normal(5, METASD_STREAM_WEIGHTS, fit.count) - 2;
    double chance = (double)metasd_random_below(5, 72, fit.count, 1 << 20) / (1 << 20);

    odds = floor(odds * METASD_BINS_A_UNIT + 0.5) / METASD_BINS_A_UNIT;
    add_tie(row, odds, 1, chance < metasd_probability(sigmoid, odds));
}

static double
odds_of(const Answer *answer)
{
    return (double)answer->bin / METASD_BINS_A_UNIT - METASD_MOST_ODDS;
}

/* Of a row's answers, or all: what holds of them, and what their probabilities sum to. */
static void
sum_up(int64_t row, double *holding, double *sum)
{
    const MetasdCalibration *c = &fit.calibration;

    *holding = *sum = 0;
    for (size_t i = 0; i < fit.count; i++) {
        const Answer *answer = &fit.answers[i];

        if (row >= 0 && answer->row != (uint32_t)row)
            continue;
        *holding += (double)answer->holding;
        *sum += (double)answer->all *
                metasd_probability(row < 0 ? c->whole : c->each[row], odds_of(answer));
    }
}

static void
calibrate(void)
{
    assert_int_equal(metasd_calibrate(&fit.calibration, &fit.team), METASD_OK);
    assert_true(metasd_probability_sigmoid_ok(fit.calibration.whole));
    for (uint32_t row = 0; row < fit.calibration.rows; row++)
        assert_true(metasd_probability_sigmoid_ok(fit.calibration.each[row]));
}

/* Minus the mean logarithm of how likely a sigmoid makes the answers of a row, or of all. */
static double
plain_loss(int64_t row, MetasdSigmoid sigmoid)
{
    double sum = 0, n = 0;

    for (size_t i = 0; i < fit.count; i++) {
        const Answer *answer = &fit.answers[i];
        double p = metasd_probability(sigmoid, odds_of(answer));

        if (row >= 0 && answer->row != (uint32_t)row)
            continue;
        sum -=
            (double)answer->holding * log(p) + (double)(answer->all - answer->holding) * log1p(-p);
        n += (double)answer->all;
    }
    return sum / n;
}

/* The least loss of any slope and offset, by going downhill in ever smaller steps. */
static MetasdSigmoid
plain_fit(int64_t row, float base, float steep)
{
    MetasdSigmoid best = {.slope = 1, .offset = 0, .base = base, .steep = steep};
    double least = plain_loss(row, best);

    for (float step = 0.5f; step > 1e-4f;) {
        static const int moves[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
        bool moved = false;

        for (int m = 0; m < 4; m++) {
            MetasdSigmoid next = {.slope = best.slope + (float)moves[m][0] * step,
                                  .offset = best.offset + (float)moves[m][1] * step,
                                  .base = base,
                                  .steep = steep};
            double loss = next.slope > 0 ? plain_loss(row, next) : INFINITY;

            if (loss < least) {
                least = loss;
                best = next;
                moved = true;
            }
        }
        if (!moved)
            step /= 2;
    }
    return best;
}

static void
check_near(MetasdSigmoid sigmoid, MetasdSigmoid wanted, double far)
{
    assert_true(fabs((double)sigmoid.slope - (double)wanted.slope) < far);
    assert_true(fabs((double)sigmoid.offset - (double)wanted.offset) < far);
}

/*
 * The whole and each row with many facts: near the plain fit, and near those drawn.
 */
static void
sigmoids_are_found_again(void **state)
{
    static const MetasdSigmoid drawn[] = {{0.7f, -1.5f, 0, 1}, {1.8f, 0.5f, 0, 1}};
    size_t n = tools_quick() ? 4000 : 12000;
    float base, steep;

    (void)state;
    make_fit(2);
    for (size_t i = 0; i < n; i++)
        add(i % 2, drawn[i % 2]);
    calibrate();
    base = fit.calibration.whole.base;
    steep = fit.calibration.whole.steep;
    assert_true(base < 0.02f);
    check_near(fit.calibration.whole, plain_fit(-1, base, steep), 0.02);
    for (uint32_t row = 0; row < 2; row++) {
        assert_true(metasd_calibrate_is_own(&fit.calibration, row));
        /* drawn to the whole a little, by fewer answers more */
        check_near(fit.calibration.each[row], plain_fit(row, base, steep),
                   tools_quick() ? 0.15 : 0.05);
        check_near(fit.calibration.each[row], drawn[row], tools_quick() ? 0.4 : 0.25);
    }
    free(fit.memory);
}

/* What holds by chance, whatever the odds, is found again, and no other base is more likely. */
static void
a_base_is_found_again(void **state)
{
    static const MetasdSigmoid drawn = {2, 3, 0.04f, 1};
    double least;

    (void)state;
    make_fit(1);
    for (size_t i = 0; i < 10000; i++)
        add(0, drawn);
    calibrate();
    assert_true(fabs((double)fit.calibration.whole.base - 0.04) < 0.01);
    check_near(fit.calibration.whole, drawn, 0.4);
    least = plain_loss(-1, fit.calibration.whole);
    for (float base = 0.01f; base < 0.1f; base += 0.01f)
        assert_true(least < plain_loss(-1, plain_fit(-1, base, 1)) + 1e-4);
    free(fit.memory);
}

/* Below the knee odds may fall faster, or slower. */
static void
a_knee_is_found_again(void **state)
{
    static const float steeps[] = {0.5f, 1, 2.5f};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        MetasdSigmoid drawn = {1, 3, 0, steeps[i]};

        make_fit(1);
        for (size_t k = 0; k < 15000; k++)
            add(0, drawn);
        calibrate();
        assert_true(fabsf(logf(fit.calibration.whole.steep / steeps[i])) < 0.2f);
        check_near(fit.calibration.whole, drawn, 0.3);
        free(fit.memory);
    }
}

/*
 * Probabilities of all answers sum to as many as hold, in all and of each row with enough facts: be
 * they few that are likely, be they thousands that tie.
 */
static void
probabilities_sum_to_what_holds(void **state)
{
    double holding, sum;

    (void)state;
    make_fit(4);
    for (size_t q = 0; q < 60; q++) {
        add_tie(0, 2, 1, q % 2); /* one of two */
        add_tie(0, -2, 1, q % 2 == 0);
        add_tie(0, -9, 3000, 0);
        add_tie(1, -1, 1, q % 3 == 0); /* or somebody of whom nothing is known */
        add_tie(1, -8, 3000, q % 3 > 0);
        add_tie(2, -7, 3000, 1); /* nothing is known of anybody */
    }
    for (size_t q = 0; q < 2; q++)
        add_tie(3, -7, 1200, 150); /* few questions of many answers */
    calibrate();
    sum_up(-1, &holding, &sum);
    assert_true(fabs(sum / holding - 1) < 0.05);
    for (uint32_t row = 0; row < 4; row++) {
        assert_true(metasd_calibrate_is_own(&fit.calibration, row));
        sum_up(row, &holding, &sum);
        assert_true(fabs(sum / holding - 1) < 0.15);
    }
    free(fit.memory);
}

/* Nine facts are too few, ten are enough; none of a row is as few as can be. */
static void
few_facts_leave_a_row_to_the_whole(void **state)
{
    static const MetasdSigmoid drawn = {0.8f, -1, 0, 1};

    (void)state;
    make_fit(4);
    for (size_t i = 0; i < 500; i++)
        add(0, drawn);
    for (size_t i = 0; i < METASD_OWN_FACTS; i++)
        add_tie(1, -3, 2, 1);
    for (size_t i = 0; i < METASD_OWN_FACTS - 1; i++)
        add_tie(2, -3, 2, 1);
    calibrate();
    for (uint32_t row = 2; row < 4; row++) {
        assert_false(metasd_calibrate_is_own(&fit.calibration, row));
        assert_true(fit.calibration.each[row].slope == fit.calibration.whole.slope);
        assert_true(fit.calibration.each[row].offset == fit.calibration.whole.offset);
    }
    assert_true(fit.calibration.each[1].offset > fit.calibration.whole.offset);
    assert_true(fit.calibration.each[1].base == fit.calibration.whole.base);
    free(fit.memory);
}

/* Every answer is in the tenth of its probability: by its row's sigmoid, or the whole. */
static void
tenths_count_answers_by_their_probability(void **state)
{
    static const MetasdSigmoid drawn[3] = {{0.8f, -1, 0, 1}, {1.5f, 1, 0, 1}, {0.8f, -1, 0, 1}};
    MetasdTenth tenths[10], plain[10] = {{0}};
    size_t filled = 0;

    (void)state;
    make_fit(3);
    for (size_t i = 0; i < 3000; i++)
        add(i % 2, drawn[i % 2]);
    for (size_t i = 0; i < METASD_OWN_FACTS - 1; i++)
        add_tie(2, 1, 2, 1);
    calibrate();
    assert_true(metasd_calibrate_is_own(&fit.calibration, 1));
    assert_false(metasd_calibrate_is_own(&fit.calibration, 2));
    for (size_t i = 0; i < fit.count; i++) {
        const Answer *answer = &fit.answers[i];
        double p = metasd_probability(fit.calibration.each[answer->row], odds_of(answer));
        MetasdTenth *tenth = &plain[(int)(10 * p)];

        tenth->all += answer->all;
        tenth->holding += answer->holding;
        tenth->claimed += (double)answer->all * p;
    }
    assert_int_equal(metasd_calibrate_tenths(&fit.calibration, &fit.team, tenths), METASD_OK);
    for (int t = 0; t < 10; t++) {
        assert_int_equal(tenths[t].all, plain[t].all);
        assert_int_equal(tenths[t].holding, plain[t].holding);
        assert_true(fabs(tenths[t].claimed - plain[t].claimed) < 1e-6);
        filled += plain[t].all > 0;
    }
    assert_true(filled > 5); /* or little is tested */
    free(fit.memory);
}

/* Who is not expected, or finds no room, has no sigmoid of their own, and nobody else's. */
static void
rows_without_room_are_left_to_the_whole(void **state)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdCalibration *c = &fit.calibration;
    uint32_t bins[METASD_BINS] = {[150] = 40}, holding[METASD_BINS] = {[150] = 20};

    (void)state;
    metasd_calibrate_take(c, &arena, 3, 9, METASD_OWN_FACTS);
    fit.memory = tools_alloc(arena.used);
    arena = metasd_arena_over(fit.memory, arena.used);
    metasd_calibrate_take(c, &arena, 3, 9, METASD_OWN_FACTS);
    fit.team = metasd_team_of_one();
    metasd_calibrate_expect(c, 0, METASD_OWN_FACTS - 1);
    metasd_calibrate_expect(c, 1, METASD_OWN_FACTS);
    metasd_calibrate_expect(c, 2, METASD_OWN_FACTS);
    for (uint32_t row = 0; row < 3; row++)
        metasd_calibrate_add(c, row, bins, holding);
    calibrate();
    for (uint32_t row = 0; row < 3; row++)
        assert_int_equal(metasd_calibrate_is_own(c, row), row == 1);
    assert_int_equal(c->whole_bins[150].all, 120);
    assert_int_equal(c->own_bins[150].all, 40);
    free(fit.memory);
}

/*
 * Without both kinds of answers likelihood has no maximum: what was believed before keeps it
 * finite.
 */
static void
all_answers_may_be_alike(void **state)
{
    static const MetasdSigmoid always = {1, 100, 0, 1}, never = {1, -100, 0, 1};

    (void)state;
    make_fit(2);
    for (size_t i = 0; i < 2000; i++)
        add(i % 2, i % 2 ? always : never);
    calibrate();
    for (double odds = -5; odds <= 5; odds++)
        assert_true(metasd_probability(fit.calibration.each[1], odds) > 0.9);
    assert_false(metasd_calibrate_is_own(&fit.calibration, 0));
    free(fit.memory);
    for (int holds = 0; holds < 2; holds++) {
        make_fit(1);
        for (size_t i = 0; i < 100; i++)
            add(0, holds ? always : never);
        calibrate();
        assert_true((metasd_probability(fit.calibration.each[0], 0) > 0.5) == holds);
        free(fit.memory);
    }
}

/* A model that is wrong whenever it is sure is not turned round: order is the score's. */
static void
slopes_stay_positive(void **state)
{
    double holding, sum;

    (void)state;
    make_fit(1);
    for (size_t i = 0; i < 1000; i++) {
        double odds = 3 * metasd_random_normal(5, METASD_STREAM_WEIGHTS, i) - 2;

        add_tie(0, odds, 1, odds < -2);
    }
    calibrate();
    assert_true(fit.calibration.whole.slope > 0);
    /* and the offset is the best there is for that slope: as many hold as should */
    sum_up(-1, &holding, &sum);
    assert_true(fabs(sum / holding - 1) < 0.05);
    free(fit.memory);
}

static void
without_answers_probabilities_are_the_softmax(void **state)
{
    (void)state;
    make_fit(3);
    calibrate();
    for (uint32_t row = 0; row < 3; row++)
        assert_memory_equal(&fit.calibration.each[row], &metasd_uncalibrated,
                            sizeof(metasd_uncalibrated));
    assert_memory_equal(&fit.calibration.whole, &metasd_uncalibrated, sizeof(metasd_uncalibrated));
    free(fit.memory);
}

static MetasdStatus
interrupt(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

static void
fitting_can_be_interrupted(void **state)
{
    (void)state;
    make_fit(100);
    for (uint32_t row = 0; row < 100; row++)
        add_tie(row, -3, 100, 10);
    fit.team.poll = interrupt;
    assert_int_equal(metasd_calibrate(&fit.calibration, &fit.team), METASD_INTERRUPTED);
    free(fit.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmoids_are_found_again),
        cmocka_unit_test(a_base_is_found_again),
        cmocka_unit_test(a_knee_is_found_again),
        cmocka_unit_test(probabilities_sum_to_what_holds),
        cmocka_unit_test(few_facts_leave_a_row_to_the_whole),
        cmocka_unit_test(tenths_count_answers_by_their_probability),
        cmocka_unit_test(rows_without_room_are_left_to_the_whole),
        cmocka_unit_test(all_answers_may_be_alike),
        cmocka_unit_test(slopes_stay_positive),
        cmocka_unit_test(without_answers_probabilities_are_the_softmax),
        cmocka_unit_test(fitting_can_be_interrupted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
