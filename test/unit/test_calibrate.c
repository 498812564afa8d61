/*
 * Odds are those of a softmax over who competes; sigmoids are as likely as any, those of rows with
 * few questions are the model's.
 */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "calibrate.h"
#include "random.h"
#include "standing.h"
#include "tools.h"
#include "topk.h"

/* ---- odds ---- */

#define CANDIDATES 500

typedef struct Field {
    float scores[CANDIDATES];
    bool known[CANDIDATES];
    uint32_t order[CANDIDATES]; /* best first */
    size_t n, shown;            /* candidates that are left, and those of them that were shown */
    MetasdField field;
} Field;

/* Of N scores a tenth is left out; every candidate but each `free`-th of the order is known. */
static void
make_field(Field *f, size_t n, double spread, size_t free)
{
    uint32_t scratch[CANDIDATES];
    MetasdTopk topk;
    float score;

    for (size_t i = 0; i < n; i++)
        f->scores[i] = i % 10 == 7
                           ? METASD_LEFT_OUT
                           : (float)(spread * metasd_random_normal(n, METASD_STREAM_WEIGHTS, i));
    metasd_field_start(&f->field, n, f->scores);
    metasd_topk_start(&topk, (uint32_t)n, f->scores, scratch);
    f->n = f->shown = 0;
    while (metasd_topk_next(&topk, &f->order[f->n], &score) && score != METASD_LEFT_OUT) {
        bool known = f->n % free != free - 1;

        f->known[f->order[f->n++]] = known;
        if (f->shown < METASD_FIELD_KNOWN || !f->field.found) {
            metasd_field_show(&f->field, score, known);
            f->shown++;
        }
    }
}

/* The same by the definition. */
static double
plain_odds(const Field *f, size_t place)
{
    double mine = (double)f->scores[f->order[place]], sum = 0;
    bool found = false;

    for (size_t i = 0; i < f->n; i++) {
        bool known = f->known[f->order[i]];

        if (i != place && !(known && (!found || i < METASD_FIELD_KNOWN)))
            sum += exp((double)f->scores[f->order[i]] - mine);
        found |= !known;
    }
    return fmin(fmax(-log(sum), -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

static void
odds_are_those_of_who_competes(void **state)
{
    static const size_t sizes[] = {2, 3, 9, 40, CANDIDATES}, free[] = {1, 2, 3, 50};
    static const double spreads[] = {0, 0.5, 3, 30};
    static Field f;

    (void)state;
    for (size_t n = 0; n < 5; n++)
        for (size_t s = 0; s < 4; s++)
            for (size_t k = 0; k < 4; k++) {
                double above = INFINITY;

                make_field(&f, sizes[n], spreads[s], free[k]);
                for (size_t place = free[k] - 1; place < f.n; place += free[k]) {
                    double odds = metasd_field_odds(&f.field, f.scores[f.order[place]]);
                    double plain = plain_odds(&f, place);

                    /*
                     * The sum is of floats: of a part of it as small as their precision little is
                     * left.
                     */
                    assert_true(fabs(odds - plain) < 1e-4 + 4e-6 * exp(fmax(plain, 0)));
                    assert_true(odds <= above);
                    above = odds;
                }
            }
}

static void
odds_are_finite(void **state)
{
    static const float scores[] = {3e38f, 1e30f, 0, -1e30f, -3e38f, METASD_LEFT_OUT};
    MetasdField field;

    (void)state;
    for (size_t first = 0; first < 6; first++) {
        metasd_field_start(&field, 6 - first, scores + first);
        for (size_t i = first; i < 6; i++)
            metasd_field_show(&field, scores[i], false);
        if (first == 5) /* nothing but what is left out */
            break;
        assert_true(metasd_field_odds(&field, scores[first]) == METASD_MOST_ODDS);
        assert_true(metasd_field_odds(&field, METASD_LEFT_OUT) == -METASD_MOST_ODDS);
    }
}

static void
probabilities_follow_the_odds(void **state)
{
    static const MetasdSigmoid good[] = {{1, 0}, {0.05f, -30}, {FLT_MAX, 5}, {2, FLT_MAX}};
    static const MetasdSigmoid bad[] = {{0, 0},        {-1, 0},       {NAN, 0},      {1, NAN},
                                        {INFINITY, 0}, {1, INFINITY}, {1, -INFINITY}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        double above = 1;

        assert_true(metasd_sigmoid_ok(good[i]));
        for (double odds = METASD_MOST_ODDS; odds >= -METASD_MOST_ODDS; odds -= 0.5) {
            double probability = metasd_probability(good[i], odds);

            assert_true(probability >= 0 && probability <= above);
            above = probability;
        }
    }
    for (size_t i = 0; i < 7; i++)
        assert_false(metasd_sigmoid_ok(bad[i]));
    assert_true(metasd_probability(metasd_uncalibrated, 0) == 0.5);
    assert_true(fabs(metasd_probability(metasd_uncalibrated, log(3)) - 0.75) < 1e-12);
}

/* ---- fitting ---- */

typedef struct Fit {
    MetasdCalibration calibration;
    MetasdTeam team;
    void *memory;
} Fit;

static void
make_fit(Fit *fit, uint32_t rows, size_t most)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;

    metasd_calibration_take(&fit->calibration, &arena, rows, most);
    bytes = arena.used;
    fit->memory = tools_alloc(bytes);
    arena = metasd_arena_over(fit->memory, bytes);
    metasd_calibration_take(&fit->calibration, &arena, rows, most);
    assert_true(metasd_arena_ok(&arena));
    fit->team = metasd_team_of_one();
}

/*
 * An answer to a question of its own, with such odds; it holds with the probability of a sigmoid.
 */
static void
add(Fit *fit, uint32_t row, MetasdSigmoid sigmoid)
{
    MetasdCalibration *c = &fit->calibration;
    double odds = 3 * metasd_random_normal(5, METASD_STREAM_WEIGHTS, c->count) - 2;
    double chance = (double)metasd_random_below(5, 72, c->count, 1 << 20) / (1 << 20);

    assert_true(c->count < c->most);
    c->questions[row]++;
    c->examples[c->count++] = (MetasdExample){
        .odds = (float)odds, .row = row, .holds = chance < metasd_probability(sigmoid, odds)};
}

static void
calibrate(Fit *fit)
{
    assert_int_equal(metasd_calibrate(&fit->calibration, &fit->team), METASD_OK);
    assert_true(metasd_sigmoid_ok(fit->calibration.whole));
    for (uint32_t row = 0; row < fit->calibration.rows; row++)
        assert_true(metasd_sigmoid_ok(fit->calibration.each[row]));
}

/* Minus the mean logarithm of how likely a sigmoid makes the examples of a row, or of all. */
static double
plain_loss(const Fit *fit, int64_t row, double slope, double offset)
{
    double sum = 0, n = 0;

    for (size_t i = 0; i < fit->calibration.count; i++) {
        const MetasdExample *example = &fit->calibration.examples[i];
        double z = slope * (double)example->odds + offset;

        if (row >= 0 && example->row != (uint32_t)row)
            continue;
        sum += example->holds ? log1p(exp(-z)) : log1p(exp(z));
        n++;
    }
    return sum / n;
}

/* The least loss, by going downhill in ever smaller steps. */
static void
plain_fit(const Fit *fit, int64_t row, double *slope, double *offset)
{
    double least;

    *slope = 1;
    *offset = 0;
    least = plain_loss(fit, row, *slope, *offset);
    for (double step = 0.5; step > 1e-4;) {
        static const int moves[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
        bool moved = false;

        for (int m = 0; m < 4; m++) {
            double a = *slope + moves[m][0] * step, b = *offset + moves[m][1] * step;
            double loss = plain_loss(fit, row, a, b);

            if (loss < least) {
                least = loss;
                *slope = a;
                *offset = b;
                moved = true;
            }
        }
        if (!moved)
            step /= 2;
    }
}

static void
check_near(MetasdSigmoid sigmoid, double slope, double offset, double far)
{
    assert_true(fabs((double)sigmoid.slope - slope) < far);
    assert_true(fabs((double)sigmoid.offset - offset) < far);
}

/*
 * The whole and each row with many questions: as the reference has it, near what they were drawn
 * from.
 */
static void
sigmoids_are_found_again(void **state)
{
    static const MetasdSigmoid drawn[] = {{0.7f, -1.5f}, {1.8f, 0.5f}};
    size_t n = tools_quick() ? 4000 : 12000;
    double slope, offset;
    Fit fit;

    (void)state;
    make_fit(&fit, 2, n);
    for (size_t i = 0; i < n; i++)
        add(&fit, i % 2, drawn[i % 2]);
    calibrate(&fit);
    plain_fit(&fit, -1, &slope, &offset);
    check_near(fit.calibration.whole, slope, offset, 0.01);
    for (uint32_t row = 0; row < 2; row++) {
        assert_true(metasd_is_own(&fit.calibration, row));
        plain_fit(&fit, row, &slope, &offset);
        /* drawn to the whole a little, by fewer answers more */
        check_near(fit.calibration.each[row], slope, offset, tools_quick() ? 0.15 : 0.05);
        check_near(fit.calibration.each[row], (double)drawn[row].slope, (double)drawn[row].offset,
                   tools_quick() ? 0.4 : 0.2);
    }
    free(fit.memory);
}

/* Nine questions are too few, ten are enough; none of a row is as few as can be. */
static void
few_questions_leave_a_row_to_the_whole(void **state)
{
    static const MetasdSigmoid drawn = {0.8f, -1}, other = {1, 4};
    Fit fit;

    (void)state;
    make_fit(&fit, 4, 600);
    for (size_t i = 0; i < 500; i++)
        add(&fit, 0, drawn);
    for (size_t i = 0; i < METASD_OWN_QUESTIONS; i++)
        add(&fit, 1, other);
    for (size_t i = 0; i < METASD_OWN_QUESTIONS - 1; i++)
        add(&fit, 2, other);
    calibrate(&fit);
    for (uint32_t row = 2; row < 4; row++) {
        assert_false(metasd_is_own(&fit.calibration, row));
        assert_true(fit.calibration.each[row].slope == fit.calibration.whole.slope);
        assert_true(fit.calibration.each[row].offset == fit.calibration.whole.offset);
    }
    assert_true(fit.calibration.each[1].offset > fit.calibration.whole.offset);
    free(fit.memory);
}

/*
 * Without both kinds of answers likelihood has no maximum: what was believed before keeps it
 * finite.
 */
static void
all_answers_may_be_alike(void **state)
{
    static const MetasdSigmoid always = {1, 100}, never = {1, -100};
    Fit fit;

    (void)state;
    make_fit(&fit, 2, 2000);
    for (size_t i = 0; i < 2000; i++)
        add(&fit, i % 2, i % 2 ? always : never);
    calibrate(&fit);
    for (double odds = -5; odds <= 5; odds++) {
        assert_true(metasd_probability(fit.calibration.each[0], odds) < 0.1);
        assert_true(metasd_probability(fit.calibration.each[1], odds) > 0.9);
    }
    free(fit.memory);
    for (int holds = 0; holds < 2; holds++) {
        make_fit(&fit, 1, 100);
        for (size_t i = 0; i < 100; i++)
            add(&fit, 0, holds ? always : never);
        calibrate(&fit);
        assert_true((metasd_probability(fit.calibration.each[0], 0) > 0.5) == holds);
        free(fit.memory);
    }
}

/* A model that is wrong whenever it is sure is not turned round: order is the score's. */
static void
slopes_stay_positive(void **state)
{
    Fit fit;

    (void)state;
    make_fit(&fit, 1, 1000);
    for (size_t i = 0; i < 1000; i++) {
        add(&fit, 0, metasd_uncalibrated);
        fit.calibration.examples[i].holds = fit.calibration.examples[i].odds < -2;
    }
    calibrate(&fit);
    assert_true(fit.calibration.whole.slope <= 0.051f);
    /* and the offset is the best there is for that slope: as many hold as should */
    assert_true(fabs(metasd_probability(fit.calibration.whole, -2) - 0.5) < 0.05);
    free(fit.memory);
}

static void
without_examples_probabilities_are_the_softmax(void **state)
{
    Fit fit;

    (void)state;
    make_fit(&fit, 3, 0);
    calibrate(&fit);
    for (uint32_t row = 0; row < 3; row++)
        check_near(fit.calibration.each[row], 1, 0, 1e-12);
    check_near(fit.calibration.whole, 1, 0, 1e-12);
    free(fit.memory);
}

static void
more_examples_than_can_be_numbered_are_refused(void **state)
{
    MetasdArena arena = metasd_arena_measure();
    MetasdCalibration calibration;

    (void)state;
    metasd_calibration_take(&calibration, &arena, 1, UINT32_MAX);
    assert_false(metasd_arena_ok(&arena));
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
    size_t n = 2 * METASD_POLL_WORK / METASD_FAR_WORK;
    Fit fit;

    (void)state;
    make_fit(&fit, 1, n);
    for (size_t i = 0; i < n; i++)
        add(&fit, 0, metasd_uncalibrated);
    fit.team.poll = interrupt;
    assert_int_equal(metasd_calibrate(&fit.calibration, &fit.team), METASD_INTERRUPTED);
    free(fit.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odds_are_those_of_who_competes),
        cmocka_unit_test(odds_are_finite),
        cmocka_unit_test(probabilities_follow_the_odds),
        cmocka_unit_test(sigmoids_are_found_again),
        cmocka_unit_test(few_questions_leave_a_row_to_the_whole),
        cmocka_unit_test(all_answers_may_be_alike),
        cmocka_unit_test(slopes_stay_positive),
        cmocka_unit_test(without_examples_probabilities_are_the_softmax),
        cmocka_unit_test(more_examples_than_can_be_numbered_are_refused),
        cmocka_unit_test(fitting_can_be_interrupted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
