#include "pg/survey/asking.h"

#include <float.h>
#include <math.h>

#include "utils/memutils.h"

#include "core/base/exp.h"
#include "core/ranking/above.h"
#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"

MetasdAsking *
metasd_asking_create(const MetasdImage *image, const MetasdNewcomerList *newcomers)
{
    MetasdAsking *asking = palloc0(sizeof(*asking));
    uint32 n = image->plan.entities;

    asking->image = image;
    asking->newcomers = newcomers;
    asking->n = n;
    asking->context = CurrentMemoryContext;
    asking->scores = palloc_extended((Size)n * sizeof(float), MCXT_ALLOC_HUGE);
    asking->ids = palloc_extended((Size)n * sizeof(uint32), MCXT_ALLOC_HUGE);
    asking->scratch = palloc(metasd_query_scratch_bytes(image->plan.width));
    return asking;
}

/* Moves the scores of the known answers away from those of the candidates. */
static void
set_known_aside(MetasdAsking *asking)
{
    const MetasdSweepQuestion *question = asking->question;

    if (question->count > asking->capacity) {
        if (asking->known)
            pfree(asking->known);
        asking->capacity = (uint32)Min((uint64)question->count * 5 / 4, PG_UINT32_MAX);
        asking->known = MemoryContextAllocHuge(asking->context,
                                               (Size)asking->capacity * sizeof(*asking->known));
    }
    for (uint32 i = 0; i < question->count; i++) {
        asking->known[i] = asking->scores[question->answers[i]];
        asking->scores[question->answers[i]] = METASD_LEFT_OUT;
    }
}

bool
metasd_asking_begin(MetasdAsking *asking, const MetasdSweepQuestion *question)
{
    const MetasdImage *image = asking->image;
    MetasdOdds *odds = &asking->odds;

    asking->question = question;
    asking->sigmoid = metasd_newcomer_list_sigmoid(image, question->row);
    metasd_query_scores_tails_of(
        image, metasd_newcomer_list_entity(asking->newcomers, image, question->entity),
        metasd_newcomer_list_row(asking->newcomers, image, question->row), asking->scores,
        asking->scratch);
    set_known_aside(asking);
    metasd_probability_start(odds, asking->n, asking->scores);
    odds->first = metasd_above_most(asking->n, asking->scores);
    odds->found = odds->first > METASD_IMPOSSIBLE;
    if (odds->found)
        odds->sum = metasd_exp_sum(asking->n, asking->scores, odds->first);
    return odds->found;
}

/* The log odds of a probability: the inverse of metasd_probability. */
static double
find_odds(MetasdSigmoid sigmoid, double probability)
{
    double base = (double)sigmoid.base, x;

    if (probability <= base)
        return -METASD_MOST_ODDS;
    x = (-log((1 - base) / (probability - base) - 1) - (double)sigmoid.offset) /
        (double)sigmoid.slope;
    return x < METASD_KNEE ? METASD_KNEE + (x - METASD_KNEE) / (double)sigmoid.steep : x;
}

/* More than rounding can change a score. */
#define SLACK 1e-3

uint32
metasd_asking_select(MetasdAsking *asking, double probability)
{
    const MetasdOdds *odds = &asking->odds;
    double x = probability < 1 ? find_odds(asking->sigmoid, probability) : METASD_MOST_ODDS;
    float least = nextafterf(METASD_IMPOSSIBLE, INFINITY);

    /* Odds of u = exp(score - first) are u / (sum - u); they end at the most odds. */
    if (x > -METASD_MOST_ODDS + SLACK) {
        double u = odds->sum / (1 + exp(-fmin(x, METASD_MOST_ODDS) + SLACK));

        least = fmaxf(least, (float)((double)odds->first + log(u) - SLACK));
    }
    return metasd_above_ids(asking->n, asking->scores, least, asking->ids);
}

double
metasd_asking_probability(const MetasdAsking *asking, uint32 id)
{
    return metasd_probability(asking->sigmoid,
                              metasd_probability_odds(&asking->odds, asking->scores[id]));
}

double
metasd_asking_probability_beside(MetasdSigmoid sigmoid, const MetasdOdds *odds, float score)
{
    double x = (double)score - (double)odds->first - log(fmax(odds->sum, DBL_MIN));

    return metasd_probability(sigmoid, fmin(fmax(x, -METASD_MOST_ODDS), METASD_MOST_ODDS));
}

double
metasd_asking_probability_of_known(const MetasdAsking *asking, uint32 i)
{
    if (asking->known[i] == METASD_IMPOSSIBLE)
        return 0;
    return metasd_asking_probability_beside(asking->sigmoid, &asking->odds, asking->known[i]);
}
