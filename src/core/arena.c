#include "arena.h"

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
    if (arena->overflowed || bytes > arena->size - arena->used) {
        arena->overflowed = true;
        return NULL;
    }
    taken = arena->base ? arena->base + arena->used : NULL;
    arena->used += bytes;
    return taken;
}

bool
metasd_arena_ok(const MetasdArena *arena)
{
    return !arena->overflowed;
}
