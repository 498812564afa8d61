/*
 * Odds are those of a softmax over the candidates that compete, and probabilities follow them.
 */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/model/probability.h"
#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "tools.h"
#include "core/ranking/topk.h"

/* ---- odds ---- */

#define CANDIDATES 500

typedef struct Candidates {
    float scores[CANDIDATES];
    bool known[CANDIDATES];
    uint32_t order[CANDIDATES]; /* best first */
    size_t n, shown;            /* candidates that are left, and those of them that were shown */
    MetasdOdds odds;
} Candidates;

/* Of N scores a tenth is left out; every candidate but each `free`-th of the order is known. */
static void
make_candidates(Candidates *f, size_t n, double spread, size_t free)
{
    uint32_t scratch[CANDIDATES];
    MetasdTopk topk;
    float score;

    for (size_t i = 0; i < n; i++)
        f->scores[i] = i % 10 == 7
                           ? METASD_LEFT_OUT
                           : (float)(spread * metasd_random_normal(n, METASD_STREAM_WEIGHTS, i));
    metasd_probability_start(&f->odds, n, f->scores);
    metasd_topk_start(&topk, (uint32_t)n, f->scores, scratch);
    f->n = f->shown = 0;
    while (metasd_topk_next(&topk, &f->order[f->n], &score) && score != METASD_LEFT_OUT) {
        bool known = f->n % free != free - 1;

        f->known[f->order[f->n++]] = known;
        if (f->shown < METASD_ODDS_KNOWN || !f->odds.found) {
            metasd_probability_show(&f->odds, score, known);
            f->shown++;
        }
    }
}

/* The same by the definition. */
static double
plain_odds(const Candidates *f, size_t place)
{
    double mine = (double)f->scores[f->order[place]], sum = 0;
    bool found = false;

    for (size_t i = 0; i < f->n; i++) {
        bool known = f->known[f->order[i]];

        if (i != place && !(known && (!found || i < METASD_ODDS_KNOWN)))
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
    static Candidates f;

    (void)state;
    for (size_t n = 0; n < 5; n++)
        for (size_t s = 0; s < 4; s++)
            for (size_t k = 0; k < 4; k++) {
                double above = INFINITY;

                make_candidates(&f, sizes[n], spreads[s], free[k]);
                for (size_t place = free[k] - 1; place < f.n; place += free[k]) {
                    double odds = metasd_probability_odds(&f.odds, f.scores[f.order[place]]);
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
    MetasdOdds odds;

    (void)state;
    for (size_t first = 0; first < 6; first++) {
        metasd_probability_start(&odds, 6 - first, scores + first);
        for (size_t i = first; i < 6; i++)
            metasd_probability_show(&odds, scores[i], false);
        if (first == 5) /* nothing but what is left out */
            break;
        assert_true(metasd_probability_odds(&odds, scores[first]) == METASD_MOST_ODDS);
        assert_true(metasd_probability_odds(&odds, METASD_LEFT_OUT) == -METASD_MOST_ODDS);
    }
}

/* Bins have the odds of who is in them, and all who can be an answer are in one. */
static void
bins_are_those_of_the_odds(void **state)
{
    static const double spreads[] = {0, 0.5, 3, 30};
    static Candidates f;

    (void)state;
    for (size_t s = 0; s < 4; s++) {
        uint32_t bins[METASD_BINS] = {0}, wanted[METASD_BINS] = {0};

        make_candidates(&f, CANDIDATES, spreads[s], 3);
        metasd_probability_count(&f.odds, bins);
        for (size_t place = 0; place < f.n; place++) {
            float score = f.scores[f.order[place]];
            double odds = metasd_probability_odds(&f.odds, score);
            size_t bin = metasd_probability_bin(&f.odds, score);
            double middle = (double)bin / METASD_BINS_A_UNIT - METASD_MOST_ODDS;

            assert_true(fabs(odds - middle) < 0.501 / METASD_BINS_A_UNIT + 0.001);
            wanted[bin]++;
        }
        assert_memory_equal(bins, wanted, sizeof(bins));
    }
    f.scores[f.order[f.n - 1]] = METASD_IMPOSSIBLE;
    f.scores[f.order[f.n - 2]] = METASD_LEFT_OUT;
    {
        uint32_t bins[METASD_BINS] = {0};
        size_t n = 0;

        metasd_probability_count(&f.odds, bins);
        for (size_t i = 0; i < METASD_BINS; i++)
            n += bins[i];
        assert_int_equal(n, f.n - 2);
    }
}

static void
probabilities_follow_the_odds(void **state)
{
    static const MetasdSigmoid good[] = {
        {1, 0, 0, 1}, {0.05f, -30, 0.5f, 2}, {FLT_MAX, 5, 0, 0.1f}, {2, FLT_MAX, 1e-9f, 1}};
    static const MetasdSigmoid bad[] = {
        {0, 0, 0, 1},        {-1, 0, 0, 1},       {NAN, 0, 0, 1},       {1, NAN, 0, 1},
        {INFINITY, 0, 0, 1}, {1, INFINITY, 0, 1}, {1, -INFINITY, 0, 1}, {1, 0, -1e-9f, 1},
        {1, 0, 1, 1},        {1, 0, NAN, 1},      {1, 0, 0, 0},         {1, 0, 0, NAN},
        {1, 0, 0, INFINITY}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        double above = 1;

        assert_true(metasd_probability_sigmoid_ok(good[i]));
        for (double odds = METASD_MOST_ODDS; odds >= -METASD_MOST_ODDS; odds -= 0.5) {
            double probability = metasd_probability(good[i], odds);

            assert_true(probability >= 0 && probability <= above);
            above = probability;
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(metasd_probability_sigmoid_ok(bad[i]));
    assert_true(metasd_probability(metasd_uncalibrated, 0) == 0.5);
    assert_true(fabs(metasd_probability(metasd_uncalibrated, log(3)) - 0.75) < 1e-12);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odds_are_those_of_who_competes),
        cmocka_unit_test(odds_are_finite),
        cmocka_unit_test(bins_are_those_of_the_odds),
        cmocka_unit_test(probabilities_follow_the_odds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
