/* powerlaw.c - graphs made up: triples_make of triples.h. */
#include "triples.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"
#include "core/base/random.h"

/*
 * With these the most frequent entity of 15,000 has 1.3 % of all examples, as in FB15k-237, the
 * most frequent relation of 20 has 23 % of the triples.
 */
#define ENTITY_OFFSET 10
#define RELATION_OFFSET 1

/* Streams of random numbers. */
enum { NUMBERING = 1001, HEADS, RELATIONS, TAILS };

/* Draws of a triple before it is given up, for each that is wanted. */
#define DRAWS 16

/* ---- which triples there are already ---- */

typedef struct Seen {
    uint64_t *slots; /* a triple as a number, plus 1; 0 is free */
    size_t mask;     /* slots - 1, a power of two less one */
} Seen;

static Seen
nothing_seen(size_t n)
{
    Seen seen = {.mask = 1024};

    while (seen.mask < 2 * n)
        seen.mask *= 2;
    seen.slots = memory_take(seen.mask * sizeof(*seen.slots));
    for (size_t i = 0; i < seen.mask; i++)
        seen.slots[i] = 0;
    seen.mask--;
    return seen;
}

/* Adds a number; false if it was there. */
static bool
see(Seen *seen, uint64_t number)
{
    size_t slot = metasd_random(0, 0, number) & seen->mask;

    for (; seen->slots[slot] != 0; slot = (slot + 1) & seen->mask)
        if (seen->slots[slot] == number + 1)
            return false;
    seen->slots[slot] = number + 1;
    return true;
}

/* ---- draws ---- */

/* 0 .. n - 1, k in proportion to log((k + offset + 1) / (k + offset)): about 1 / (k + offset). */
static uint32_t
draw(uint64_t seed, uint64_t stream, uint64_t index, uint32_t n, double offset)
{
    double u = (double)(metasd_random(seed, stream, index) >> 11) * 0x1p-53;
    double k = offset * (pow((n + offset) / offset, u) - 1);

    return k < n ? (uint32_t)k : n - 1;
}

TripleSet
triples_make(uint32_t entities, size_t n, uint32_t relations, uint64_t seed)
{
    TripleSet set = {.entities = entities, .relations = relations};
    MetasdTeam team = metasd_team_of_one();
    uint32_t *numbers = memory_take(entities * sizeof(*numbers));
    Seen seen = nothing_seen(n);

    (void)metasd_random_order(&team, seed, NUMBERING, numbers, entities); /* nothing interrupts */
    for (uint64_t i = 0; set.train.n < n && i / DRAWS < n; i++) {
        uint32_t head = i < entities ? (uint32_t)i : draw(seed, HEADS, i, entities, ENTITY_OFFSET);
        MetasdTriple triple = {.head = numbers[head],
                               .relation = draw(seed, RELATIONS, i, relations, RELATION_OFFSET),
                               .tail = numbers[draw(seed, TAILS, i, entities, ENTITY_OFFSET)]};

        if (see(&seen,
                ((uint64_t)triple.head * relations + triple.relation) * entities + triple.tail))
            triples_add(&set.train, triple);
    }
    free(seen.slots);
    free(numbers);
    return set;
}
