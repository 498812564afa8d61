/*
 * random.h - random numbers by position.
 *
 * A generator without state: the value at (seed, stream, index) depends on these three alone. So
 * every member of a team can compute its own part, and the size of the team changes nothing. The
 * mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood 2014), applied twice.
 */
#ifndef METASD_CORE_BASE_RANDOM_H
#define METASD_CORE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/team.h"

/* Streams keep the uses of one seed apart. */
typedef enum MetasdStream {
    METASD_STREAM_WEIGHTS = 1,
    METASD_STREAM_SPLIT,
    METASD_STREAM_EPOCH, /* the order of the training groups; epochs are added, shifted */
    METASD_STREAM_QUIZ,
    METASD_STREAM_NEGATIVES /* the entities to score a batch against; steps are added, shifted */
} MetasdStream;

/* 64 random bits. */
extern uint64_t metasd_random(uint64_t seed, uint64_t stream, uint64_t index);

/* Uniform in 0 .. bound - 1; bound > 0. */
extern uint64_t metasd_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound);

/* Standard normal (Box and Muller 1958). */
extern double metasd_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

/* Fills ORDER with a random permutation of 0 .. n - 1 (Fisher and Yates). */
extern MetasdStatus metasd_random_order(MetasdTeam *team, uint64_t seed, uint64_t stream,
                                        uint32_t *order, size_t n);

#endif
