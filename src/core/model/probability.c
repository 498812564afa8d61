#include "core/model/probability.h"

#include <float.h>
#include <math.h>

#include "core/base/exp.h"
#include "core/ranking/rank_counts.h"

/* ---- the odds of a question's candidates ---- */

void
metasd_probability_start(MetasdOdds *odds, size_t n, const float *scores)
{
    *odds = (MetasdOdds){.n = n, .scores = scores};
}

void
metasd_probability_show(MetasdOdds *odds, float score, bool known)
{
    size_t place = odds->seen++;

    if (!odds->found) {
        odds->above = place;
        if (known)
            return;
        odds->found = true;
        odds->first = score;
        /* Each candidate above, all known, adds exactly 1 to the sum: nothing cancels. */
        odds->sum = metasd_exp_sum(odds->n, odds->scores, score) - (double)odds->above;
    } else if (known && place < METASD_ODDS_KNOWN)
        odds->sum -= exp((double)score - (double)odds->first);
}

double
metasd_probability_odds(const MetasdOdds *odds, float score)
{
    double mine = exp((double)score - (double)odds->first), others = odds->sum - mine;
    double x = (double)score - (double)odds->first - log(others > DBL_MIN ? others : DBL_MIN);

    return fmin(fmax(x, -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

/* Below these odds the candidate's own part in the sum makes no difference. */
#define SMALL_ODDS (-7.0)

static inline size_t
bin_of(double odds)
{
    if (!(odds > -METASD_MOST_ODDS))
        return 0;
    return odds < METASD_MOST_ODDS ? (size_t)((odds + METASD_MOST_ODDS) * METASD_BINS_A_UNIT + 0.5)
                                   : METASD_BINS - 1;
}

/* `level` = the logarithm of the sum. */
static inline size_t
bin_at_level(const MetasdOdds *odds, double level, float score)
{
    double x = (double)score - level;

    return bin_of(x < SMALL_ODDS ? x : metasd_probability_odds(odds, score));
}

static double
level_of(const MetasdOdds *odds)
{
    return (double)odds->first + log(odds->sum);
}

size_t
metasd_probability_bin(const MetasdOdds *odds, float score)
{
    return bin_at_level(odds, level_of(odds), score);
}

void
metasd_probability_count(const MetasdOdds *odds, uint32_t bins[METASD_BINS])
{
    double level = level_of(odds);

    for (size_t i = 0; i < odds->n; i++)
        if (odds->scores[i] > METASD_IMPOSSIBLE)
            bins[bin_at_level(odds, level, odds->scores[i])]++;
}

/* ---- from odds to probability ---- */

bool
metasd_probability_sigmoid_ok(MetasdSigmoid sigmoid)
{
    return sigmoid.slope > 0 && sigmoid.slope <= FLT_MAX && fabsf(sigmoid.offset) <= FLT_MAX &&
           sigmoid.base >= 0 && sigmoid.base < 1 && sigmoid.steep > 0 && sigmoid.steep <= FLT_MAX;
}

double
metasd_probability(MetasdSigmoid sigmoid, double odds)
{
    double x = metasd_bent_odds(odds, (double)sigmoid.steep), base = (double)sigmoid.base;
    double z = (double)sigmoid.slope * x + (double)sigmoid.offset;

    return base + (1 - base) / (1 + exp(-z));
}
