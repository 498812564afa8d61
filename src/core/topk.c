#include "topk.h"

#include <math.h>

#include "kernels.h"

/* A screenful of answers and the facts known among them; each pass takes GROWTH times more. */
#define FIRST_CHUNK 64
#define GROWTH 4

/* Scores looked at together: few branches where nearly all are too low to matter. */
#define BLOCK 64

/* True if candidate a comes after candidate b. */
static bool
worse(const float *scores, uint32_t a, uint32_t b)
{
    return scores[a] < scores[b] || (scores[a] == scores[b] && a > b);
}

/* Restores the heap (worst at the root) of n ids below position i. */
static void
sift_down(const float *scores, uint32_t *ids, uint32_t n, uint32_t i)
{
    uint32_t id = ids[i];

    for (;;) {
        uint64_t child = 2 * (uint64_t)i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && worse(scores, ids[child + 1], ids[child]))
            child++;
        if (!worse(scores, ids[child], id))
            break;
        ids[i] = ids[child];
        i = (uint32_t)child;
    }
    ids[i] = id;
}

static void
make_heap(const float *scores, uint32_t *ids, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(scores, ids, n, i);
}

/* Turns the heap into an array, best first. */
static void
sort_heap(const float *scores, uint32_t *ids, uint32_t n)
{
    while (n > 1) {
        uint32_t worst = ids[0];

        ids[0] = ids[--n];
        ids[n] = worst;
        sift_down(scores, ids, n, 0);
    }
}

/* True if a score of the block is in (above, up_to]. */
METASD_VECTORISE static bool
block_matters(const float *scores, float above, float up_to)
{
    int any = 0;

#pragma omp simd reduction(| : any)
    for (int i = 0; i < BLOCK; i++)
        any |= (scores[i] > above) & (scores[i] <= up_to);
    return any != 0;
}

static bool
not_given(const MetasdTopk *topk, uint32_t id)
{
    float score = topk->scores[id];

    return score < topk->last_score || (score == topk->last_score && (int64_t)id > topk->last_id);
}

/*
 * Selects the next chunk. Ids come ascending, so a tie with the worst held never
 * displaces it: once the heap is full only a strictly higher score can enter.
 */
static void
select_chunk(MetasdTopk *topk)
{
    const float *scores = topk->scores;
    uint32_t *ids = topk->ids, id = 0, held = 0;

    for (; id < topk->n && held < topk->chunk; id++)
        if (not_given(topk, id))
            ids[held++] = id;
    make_heap(scores, ids, held);
    while (id < topk->n && held > 0) {
        uint32_t end = topk->n - id < BLOCK ? topk->n : id + BLOCK;

        if (end - id == BLOCK && !block_matters(scores + id, scores[ids[0]], topk->last_score)) {
            id = end;
            continue;
        }
        for (; id < end; id++)
            if (scores[id] > scores[ids[0]] && not_given(topk, id)) {
                ids[0] = id;
                sift_down(scores, ids, held, 0);
            }
    }
    sort_heap(scores, ids, held);
    topk->held = held;
    topk->at = 0;
    if (held > 0) {
        topk->last_id = ids[held - 1];
        topk->last_score = scores[ids[held - 1]];
    }
    topk->chunk = topk->chunk > topk->n / GROWTH ? topk->n : topk->chunk * GROWTH;
}

void
metasd_topk_start(MetasdTopk *topk, uint32_t n, const float *scores, uint32_t *scratch)
{
    *topk = (MetasdTopk){.scores = scores,
                         .ids = scratch,
                         .n = n,
                         .chunk = n < FIRST_CHUNK ? n : FIRST_CHUNK,
                         .last_score = INFINITY,
                         .last_id = -1};
}

bool
metasd_topk_next(MetasdTopk *topk, uint32_t *id, float *score)
{
    if (topk->at == topk->held)
        select_chunk(topk);
    if (topk->at == topk->held)
        return false;
    *id = topk->ids[topk->at++];
    *score = topk->scores[*id];
    return true;
}
