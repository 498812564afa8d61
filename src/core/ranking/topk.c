#include "core/ranking/topk.h"

#include <math.h>

#include "core/base/simd.h"

/* A screenful of answers and the known facts among them; each pass takes GROWTH times more. */
#define FIRST_CHUNK 32
#define GROWTH 4

/* Scores that are compared together: few branches if nearly all are too low. */
#define BLOCK 64

/* True if candidate a comes after candidate b. */
static bool
is_worse(const float *scores, uint32_t a, uint32_t b)
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
        if (child + 1 < n && is_worse(scores, ids[child + 1], ids[child]))
            child++;
        if (!is_worse(scores, ids[child], id))
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

/* The highest of a block's scores below an end; -infinity if there is none. */
METASD_VECTORISE static float
block_max(const float *scores, float below)
{
    float max = -INFINITY;

#pragma omp simd reduction(max : max)
    for (int i = 0; i < BLOCK; i++) {
        float score = scores[i] < below ? scores[i] : -INFINITY;

        max = score > max ? score : max;
    }
    return max;
}

/* True if a score of the block is in [least, up_to]. */
METASD_VECTORISE static bool
block_matters(const float *scores, float least, float up_to)
{
    int any = 0;

#pragma omp simd reduction(| : any)
    for (int i = 0; i < BLOCK; i++)
        any |= (scores[i] >= least) & (scores[i] <= up_to);
    return any != 0;
}

/* Does a candidate come after all chunks so far? */
static bool
is_new(const MetasdTopk *topk, uint32_t id)
{
    float score = topk->scores[id];

    return score < topk->last_score || (score == topk->last_score && (int64_t)id > topk->last_id);
}

/*
 * A lower bound of the scores of the next chunk: the least of the highest scores of blocks, one
 * block for each candidate of the chunk. With it most other blocks are skipped. -infinity if that
 * does not pay.
 */
static float
bound_chunk(const MetasdTopk *topk)
{
    float best[FIRST_CHUNK]; /* a heap, the lowest at the root, of the highest of the blocks */
    uint32_t ids[FIRST_CHUNK], n = topk->chunk;

    if (n > FIRST_CHUNK || topk->n / BLOCK <= n)
        return -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        best[i] = block_max(topk->scores + (size_t)i * BLOCK, topk->last_score);
        ids[i] = i;
    }
    make_heap(best, ids, n);
    for (uint32_t i = n; i < topk->n / BLOCK; i++) {
        float max = block_max(topk->scores + (size_t)i * BLOCK, topk->last_score);

        if (max > best[ids[0]]) {
            best[ids[0]] = max;
            sift_down(best, ids, n, 0);
        }
    }
    return best[ids[0]];
}

/*
 * Selects the next chunk. Ids come ascending, so a candidate with the worst score of a full heap
 * does not enter it: only a higher score does.
 */
static void
select_chunk(MetasdTopk *topk)
{
    const float *scores = topk->scores;
    uint32_t *ids = topk->ids, count = 0;
    float least = bound_chunk(topk);

    for (uint32_t id = 0, end; id < topk->n && topk->chunk > 0; id = end) {
        end = topk->n - id < BLOCK ? topk->n : id + BLOCK;
        if (end - id == BLOCK && !block_matters(scores + id, least, topk->last_score))
            continue;
        for (uint32_t i = id; i < end; i++)
            if (!(scores[i] >= least) || !is_new(topk, i))
                continue;
            else if (count < topk->chunk) {
                ids[count++] = i;
                if (count == topk->chunk)
                    make_heap(scores, ids, count);
            } else if (scores[i] > scores[ids[0]]) {
                ids[0] = i;
                sift_down(scores, ids, count, 0);
            }
        if (count == topk->chunk)
            least = scores[ids[0]];
    }
    if (count < topk->chunk)
        make_heap(scores, ids, count);
    sort_heap(scores, ids, count);
    topk->count = count;
    topk->at = 0;
    if (count > 0) {
        topk->last_id = ids[count - 1];
        topk->last_score = scores[ids[count - 1]];
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
    if (topk->at == topk->count)
        select_chunk(topk);
    if (topk->at == topk->count)
        return false;
    *id = topk->ids[topk->at++];
    *score = topk->scores[*id];
    return true;
}
