/*
 * arena.h - memory that is sized before it is taken.
 *
 * A part of the core that needs memory has one function that takes all of it from an arena. On an
 * arena without memory the same function only measures, so that the measured size and the used size
 * cannot differ.
 *
 * An arena may lie over several regions, for memory that comes in pieces. Measuring divides the
 * arrays among regions; the same calls over memory of the measured sizes put every array at the
 * same place of the same region. An array is never divided.
 */
#ifndef METASD_CORE_BASE_ARENA_H
#define METASD_CORE_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#define METASD_ALIGN 64 /* bytes: a cache line, and the widest vector register */

#define METASD_MOST_REGIONS 64

typedef struct MetasdRegions {
    int count;
    size_t size[METASD_MOST_REGIONS];  /* bytes */
    void *memory[METASD_MOST_REGIONS]; /* set by the caller, aligned to METASD_ALIGN */
} MetasdRegions;

typedef struct MetasdArena {
    char *base;      /* NULL while measuring; else aligned to METASD_ALIGN */
    size_t size;     /* bytes at base */
    size_t used;     /* bytes taken so far; with regions, of this one */
    bool overflowed; /* a size did not fit size_t, or base is too small */

    MetasdRegions *regions; /* NULL: there is one piece of memory */
    int region;             /* the current one */
    size_t most;            /* bytes a region has while measuring; 0 after that */
} MetasdArena;

/* An arena that measures. */
extern MetasdArena metasd_arena_measure(void);

/*
 * An arena over memory of SIZE bytes from the caller (aligned within; METASD_ALIGN spare is
 * needed).
 */
extern MetasdArena metasd_arena_over(void *memory, size_t size);

/*
 * An arena that measures regions of up to MOST bytes; an array larger than that gets one of its
 * own. More than METASD_MOST_REGIONS of them overflow the arena.
 */
extern MetasdArena metasd_arena_measure_regions(MetasdRegions *regions, size_t most);

/* An arena over regions that were measured and have got memory. */
extern MetasdArena metasd_arena_over_regions(MetasdRegions *regions);

/* Bytes of all regions together. */
extern size_t metasd_arena_regions_bytes(const MetasdRegions *regions);

/*
 * Takes COUNT elements of WIDTH bytes, uninitialised. NULL while measuring, and
 * once the arena has overflowed: check metasd_arena_ok before use.
 */
extern void *metasd_arena_take(MetasdArena *arena, size_t count, size_t width);

/* True if everything asked for was given (or, measuring, fits size_t). */
extern bool metasd_arena_ok(const MetasdArena *arena);

#define METASD_TAKE(arena, type, count) ((type *)metasd_arena_take((arena), (count), sizeof(type)))

#endif
