#include "pg/survey/best_triples.h"

#include "utils/memutils.h"

#include "core/base/float_bits.h"

#define FIRST_CAPACITY 256

/* ---- the bound that processes share ---- */

void
metasd_best_triples_init_shared(MetasdSharedLeast *shared, float least)
{
    pg_atomic_init_u32(&shared->bits, metasd_float_bits(least));
}

static void
raise_shared(MetasdSharedLeast *shared, float least)
{
    uint32 seen = pg_atomic_read_u32(&shared->bits);

    while (metasd_float_of_bits(seen) < least &&
           !pg_atomic_compare_exchange_u32(&shared->bits, &seen, metasd_float_bits(least)))
        continue;
}

/* ---- the heap ---- */

/* Does triple A come after triple B? */
static bool
is_worse(const MetasdScoredTriple *a, const MetasdScoredTriple *b)
{
    if (a->key != b->key)
        return a->key < b->key;
    for (int i = 0; i < 3; i++)
        if (a->id[i] != b->id[i])
            return a->id[i] > b->id[i];
    return false;
}

static void
sift_down(MetasdScoredTriple *heap, uint32 n, uint32 i)
{
    MetasdScoredTriple one = heap[i];

    for (;;) {
        uint64 child = 2 * (uint64)i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && is_worse(&heap[child + 1], &heap[child]))
            child++;
        if (!is_worse(&heap[child], &one))
            break;
        heap[i] = heap[child];
        i = (uint32)child;
    }
    heap[i] = one;
}

static void
make_heap(MetasdBestTriples *best)
{
    for (uint32 i = best->count / 2; i-- > 0;)
        sift_down(best->heap, best->count, i);
}

void
metasd_best_triples_start(MetasdBestTriples *best, uint32 k, MetasdSharedLeast *shared, float least)
{
    *best = (MetasdBestTriples){
        .k = k, .shared = shared, .least = least, .context = CurrentMemoryContext};
}

float
metasd_best_triples_least(MetasdBestTriples *best)
{
    float others = metasd_float_of_bits(pg_atomic_read_u32(&best->shared->bits));

    if (others > best->least)
        best->least = others;
    return best->least;
}

static void
grow_heap(MetasdBestTriples *best)
{
    uint64 most = Min((uint64)best->k, (uint64)work_mem * 1024 / sizeof(*best->heap));

    if (best->capacity >= most)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("%u triples are more than work_mem has room for", best->count + 1),
                        errhint("Raise work_mem, lower k, or ask for a higher probability.")));
    best->capacity = (uint32)Min(Max(2 * (uint64)best->capacity, FIRST_CAPACITY), most);
    best->heap = best->heap
                     ? repalloc_huge(best->heap, best->capacity * sizeof(*best->heap))
                     : MemoryContextAllocHuge(best->context, best->capacity * sizeof(*best->heap));
}

void
metasd_best_triples_offer(MetasdBestTriples *best, const MetasdScoredTriple *triple)
{
    if (triple->key < best->least || best->k == 0)
        return;
    if (best->count < best->k) {
        if (best->count == best->capacity)
            grow_heap(best);
        best->heap[best->count++] = *triple;
        if (best->count < best->k)
            return;
        make_heap(best);
    } else if (is_worse(&best->heap[0], triple)) {
        best->heap[0] = *triple;
        sift_down(best->heap, best->count, 0);
    } else
        return;
    best->least = Max(best->least, best->heap[0].key);
    raise_shared(best->shared, best->heap[0].key);
}

static int
compare_triples(const void *a, const void *b)
{
    CHECK_FOR_INTERRUPTS();
    return is_worse(a, b) ? 1 : is_worse(b, a) ? -1 : 0;
}

void
metasd_best_triples_sort(MetasdBestTriples *best)
{
    if (best->count > 1)
        qsort(best->heap, best->count, sizeof(*best->heap), compare_triples);
}
