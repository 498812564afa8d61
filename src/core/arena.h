/*
 * arena.h - memory sized before it is taken.
 *
 * A room that needs memory writes one function that takes all of it from an
 * arena. Run on an arena without memory the same function only measures, so
 * that the size asked for and the size used cannot differ.
 */
#ifndef METASD_ARENA_H
#define METASD_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#define METASD_ALIGN 64 /* bytes: a cache line, and the widest vector register */

typedef struct MetasdArena {
    char *base;      /* NULL while measuring; else aligned to METASD_ALIGN */
    size_t size;     /* bytes at base */
    size_t used;     /* bytes taken so far */
    bool overflowed; /* a size did not fit size_t, or base is too small */
} MetasdArena;

/* An arena that measures. */
extern MetasdArena metasd_arena_measure(void);

/* An arena over memory of SIZE bytes from the caller (aligned within; METASD_ALIGN spare is needed). */
extern MetasdArena metasd_arena_over(void *memory, size_t size);

/*
 * Takes COUNT elements of WIDTH bytes, uninitialised. NULL while measuring, and
 * once the arena has overflowed: check metasd_arena_ok before use.
 */
extern void *metasd_arena_take(MetasdArena *arena, size_t count, size_t width);

/* True if everything asked for was given (or, measuring, fits size_t). */
extern bool metasd_arena_ok(const MetasdArena *arena);

#define METASD_TAKE(arena, type, count) ((type *)metasd_arena_take((arena), (count), sizeof(type)))

#endif
