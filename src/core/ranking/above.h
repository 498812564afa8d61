/*
 * above.h - the scores that are high enough, of many that mostly are not.
 */
#ifndef METASD_CORE_RANKING_ABOVE_H
#define METASD_CORE_RANKING_ABOVE_H

#include <stddef.h>
#include <stdint.h>

/* The highest of N scores, none of which is NaN; -infinity if there is none. */
extern float metasd_above_most(uint32_t n, const float *scores);

/* Writes the ids of all scores >= LEAST to IDS, ascending, and returns their number. */
extern uint32_t metasd_above_ids(uint32_t n, const float *scores, float least, uint32_t *ids);

#endif
