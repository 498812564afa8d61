#include "core/base/arena.h"

#include <stdint.h>

MetasdArena
metasd_arena_measure(void)
{
    /* The caller's memory may start anywhere: what alignment can cost is counted at once. */
    return (MetasdArena){.base = NULL, .size = SIZE_MAX, .used = METASD_ALIGN};
}

MetasdArena
metasd_arena_over(void *memory, size_t size)
{
    size_t skip = (METASD_ALIGN - (uintptr_t)memory % METASD_ALIGN) % METASD_ALIGN;

    if (size < skip)
        return (MetasdArena){.base = memory, .overflowed = true};
    return (MetasdArena){.base = (char *)memory + skip, .size = size - skip};
}

/* ---- regions ---- */

MetasdArena
metasd_arena_measure_regions(MetasdRegions *regions, size_t most)
{
    *regions = (MetasdRegions){0};
    /* As if in a region before the first one that is full: nothing taken makes no region. */
    return (MetasdArena){.regions = regions, .region = -1, .most = most};
}

MetasdArena
metasd_arena_over_regions(MetasdRegions *regions)
{
    return (MetasdArena){.regions = regions, .region = -1};
}

size_t
metasd_arena_regions_bytes(const MetasdRegions *regions)
{
    size_t bytes = 0;

    for (int i = 0; i < regions->count; i++)
        if (__builtin_add_overflow(bytes, regions->size[i], &bytes))
            return SIZE_MAX;
    return bytes;
}

/*
 * Goes to the next region, for an array that does not fit this one. Where memory is there the
 * rest of this region is nothing: it was measured to end with its last array.
 */
static bool
next_region(MetasdArena *arena, size_t bytes)
{
    MetasdRegions *regions = arena->regions;
    int next = arena->region + 1;

    if (arena->most > 0) {
        if (next == METASD_MOST_REGIONS)
            return false;
        regions->size[next] = 0;
        regions->count = next + 1;
        arena->size = bytes > arena->most ? bytes : arena->most;
    } else {
        if (next >= regions->count || bytes > regions->size[next])
            return false;
        arena->base = regions->memory[next];
        arena->size = regions->size[next];
    }
    arena->region = next;
    arena->used = 0;
    return true;
}

/* ---- taking ---- */

void *
metasd_arena_take(MetasdArena *arena, size_t count, size_t width)
{
    size_t bytes;
    char *taken;

    if (__builtin_mul_overflow(count, width, &bytes) ||
        __builtin_add_overflow(bytes, METASD_ALIGN - 1, &bytes)) {
        arena->overflowed = true;
        return NULL;
    }
    bytes &= ~(size_t)(METASD_ALIGN - 1);
    if (arena->overflowed ||
        (bytes > arena->size - arena->used && !(arena->regions && next_region(arena, bytes)))) {
        arena->overflowed = true;
        return NULL;
    }
    taken = arena->base ? arena->base + arena->used : NULL;
    arena->used += bytes;
    if (arena->most > 0 && bytes > 0)
        arena->regions->size[arena->region] = arena->used;
    return taken;
}

bool
metasd_arena_ok(const MetasdArena *arena)
{
    return !arena->overflowed;
}
