#include "pg/survey/asking.h"

#include "core/ranking/rank_counts.h"
#include "core/serve/query.h"

MetasdAsking *
metasd_asking_create(const MetasdImage *image)
{
    MetasdAsking *asking = palloc0(sizeof(*asking));
    uint32 n = image->plan.entities;

    asking->image = image;
    asking->n = n;
    asking->scores = palloc_extended((Size)n * sizeof(float), MCXT_ALLOC_HUGE);
    asking->sorted = palloc_extended((Size)n * sizeof(uint32), MCXT_ALLOC_HUGE);
    asking->known = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    asking->scratch = palloc(metasd_query_scratch_bytes(image->plan.width));
    return asking;
}

static void
mark_known(MetasdAsking *asking, bool known)
{
    for (uint32 i = 0; i < asking->question->count; i++)
        asking->known[asking->question->answers[i]] = known;
}

/* Takes the next candidate, known or not. */
static bool
take_candidate(MetasdAsking *asking, uint32 *id)
{
    float score;

    return metasd_topk_next(&asking->topk, id, &score);
}

bool
metasd_asking_begin(MetasdAsking *asking, const MetasdSweepQuestion *question)
{
    MetasdOdds *odds = &asking->odds;
    uint32 id;

    asking->question = question;
    asking->first_count = asking->at = 0;
    mark_known(asking, true);
    asking->sigmoid = metasd_query_sigmoid(asking->image, question->row);
    metasd_query_scores_tails(asking->image, question->entity, question->row, asking->scores,
                              asking->scratch);
    metasd_topk_start(&asking->topk, asking->n, asking->scores, asking->sorted);
    metasd_probability_start(odds, asking->n, asking->scores);
    while ((!odds->found || odds->seen < METASD_ODDS_KNOWN) && take_candidate(asking, &id)) {
        metasd_probability_show(odds, asking->scores[id], asking->known[id]);
        if (!asking->known[id]) /* with one, at most METASD_ODDS_KNOWN have been shown */
            asking->first[asking->first_count++] = id;
    }
    return odds->found && asking->scores[asking->first[0]] != METASD_IMPOSSIBLE;
}

void
metasd_asking_finish(MetasdAsking *asking)
{
    mark_known(asking, false);
}

bool
metasd_asking_next(MetasdAsking *asking, uint32 *id)
{
    do {
        if (asking->at < asking->first_count)
            *id = asking->first[asking->at++];
        else if (!take_candidate(asking, id))
            return false;
    } while (asking->known[*id]);
    return asking->scores[*id] != METASD_IMPOSSIBLE;
}

float
metasd_asking_probability(const MetasdAsking *asking, float score)
{
    return (float)metasd_probability(asking->sigmoid,
                                     metasd_probability_odds(&asking->odds, score));
}
