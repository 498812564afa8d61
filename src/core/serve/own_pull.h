/*
 * own_pull.h - a fact without what it has taught the model itself.
 *
 * A score of a fact that the model was trained on is flattered: the fact has pulled its own rows.
 * Before such a fact is ranked among what could stand in its place, its pull is taken out of the
 * four rows that it reads. A weight that has the gradient g, of the fact's own score, goes back by
 *
 *     step g / sqrt(energy),     energy = the sum of g^2 over all facts of the row,
 *
 * as a step of Adagrad (adagrad.h) on this fact alone would have moved it. So a column that only
 * this fact uses loses the whole step, and one that many facts share loses little. The energies of
 * a row are kept as one byte a column, in steps of half a power of two; that loses nothing.
 *
 * What stays is the score that the other facts give to this one, to first order. Nothing here
 * allocates memory. Ids must be in range.
 */
#ifndef METASD_CORE_SERVE_OWN_PULL_H
#define METASD_CORE_SERVE_OWN_PULL_H

#include "core/serve/image.h"
#include "core/serve/pull.h"

/* For a model of which nothing better is known; somewhat less than the default learning rate. */
#define METASD_OWN_STEP 0.2f

typedef struct MetasdOwnPull {
    const MetasdImage *image;
    const uint8_t *energies;         /* (N + P) x width: entities, then relation rows */
    uint32_t id[3];                  /* of the fact: head, relation, tail */
    float *stored[METASD_PULL_ROWS]; /* its rows, as the model has them */
    float *rows[METASD_PULL_ROWS];   /* the same without its pull, once that is taken out */
    float *gradient, *query;
    void *scratch;
    float step[UINT8_MAX + 1]; /* for each code of an energy */
} MetasdOwnPull;

/* Bytes of the memory for rows of WIDTH weights; aligned as malloc does. */
extern size_t metasd_own_pull_bytes(uint32_t width);

/* ENERGIES may be NULL until a pull is taken out. */
extern void metasd_own_pull_start(MetasdOwnPull *own, const MetasdImage *image,
                                  const uint8_t *energies, float step, void *memory);

/* Reads the rows of a fact. */
extern void metasd_own_pull_read(MetasdOwnPull *own, uint32_t head, uint32_t relation,
                                 uint32_t tail);

/* energy[width] += the squares of the fact's gradients towards one of its rows. */
extern void metasd_own_pull_add_energy(MetasdOwnPull *own, MetasdPullRow row, double *energy);

/* Writes the energies of a row as `width` bytes. */
extern void metasd_own_pull_encode(uint32_t width, const double *energy, uint8_t *codes);

/* Takes the fact's pull out of its rows. */
extern void metasd_own_pull_take_out(MetasdOwnPull *own);

/*
 * scores[N] = the scores of all answers to the fact's question for its tail (METASD_PULL_TAILS) or
 * its head (METASD_PULL_HEADS), by these rows; returns that of the fact.
 */
extern float metasd_own_pull_scores(MetasdOwnPull *own, MetasdPullSides side, float *scores);

#endif
