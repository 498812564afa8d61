#include "core/ranking/best_first.h"

#include <stdlib.h>

void
metasd_best_first_start(MetasdBestFirst *best, uint32_t n, const float *scores, const uint32_t *ids,
                        uint32_t *scratch)
{
    *best = (MetasdBestFirst){.ids = ids, .tied = ids ? scratch + n : NULL};
    metasd_topk_start(&best->topk, n, scores, scratch);
}

static int
by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Takes the next candidate of topk, if none waits. */
static bool
look_ahead(MetasdBestFirst *best)
{
    if (!best->waits)
        best->waits = metasd_topk_next(&best->topk, &best->next, &best->next_score);
    return best->waits;
}

/* Takes all candidates of the next score. */
static void
take_ties(MetasdBestFirst *best)
{
    best->count = best->at = 0;
    while (look_ahead(best) && (best->count == 0 || best->next_score == best->score)) {
        best->score = best->next_score;
        best->tied[best->count++] = best->ids[best->next];
        best->waits = false;
    }
    if (best->count > 1)
        qsort(best->tied, best->count, sizeof(*best->tied), by_id);
}

bool
metasd_best_first_next(MetasdBestFirst *best, uint32_t *id, float *score)
{
    if (!best->ids)
        return metasd_topk_next(&best->topk, id, score);
    if (best->at == best->count)
        take_ties(best);
    if (best->at == best->count)
        return false;
    *id = best->tied[best->at++];
    *score = best->score;
    return true;
}
