#include "core/model/probability.h"

#include <float.h>
#include <math.h>

#include "core/base/exp.h"
#include "core/ranking/rank_counts.h"

/* ---- the odds of a question's candidates ---- */

void
metasd_probability_start(MetasdOdds *field, size_t n, const float *scores)
{
    *field = (MetasdOdds){.n = n, .scores = scores};
}

void
metasd_probability_show(MetasdOdds *field, float score, bool known)
{
    size_t place = field->seen++;

    if (!field->found) {
        field->above = place;
        if (known)
            return;
        field->found = true;
        field->first = score;
        /* Each of those above, all known, is exactly 1 in the sum: nothing cancels. */
        field->sum = metasd_exp_sum(field->n, field->scores, score) - (double)field->above;
    } else if (known && place < METASD_FIELD_KNOWN)
        field->sum -= exp((double)score - (double)field->first);
}

double
metasd_probability_odds(const MetasdOdds *field, float score)
{
    double mine = exp((double)score - (double)field->first), others = field->sum - mine;
    double odds = (double)score - (double)field->first - log(others > DBL_MIN ? others : DBL_MIN);

    return fmin(fmax(odds, -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

/* Odds up to which a candidate's own part in the sum makes no difference to them. */
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
bin_at_level(const MetasdOdds *field, double level, float score)
{
    double odds = (double)score - level;

    return bin_of(odds < SMALL_ODDS ? odds : metasd_probability_odds(field, score));
}

static double
level_of(const MetasdOdds *field)
{
    return (double)field->first + log(field->sum);
}

size_t
metasd_probability_bin(const MetasdOdds *field, float score)
{
    return bin_at_level(field, level_of(field), score);
}

void
metasd_probability_count(const MetasdOdds *field, uint32_t bins[METASD_BINS])
{
    double level = level_of(field);

    for (size_t i = 0; i < field->n; i++)
        if (field->scores[i] > METASD_IMPOSSIBLE)
            bins[bin_at_level(field, level, field->scores[i])]++;
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
