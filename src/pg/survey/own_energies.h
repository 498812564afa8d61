/*
 * own_energies.h - the energies that core/serve/own_pull.h needs, of all rows of a model, from the
 * facts of its source.
 *
 * The facts are read once and sorted by the rows that they share, on disk beyond work_mem, so that
 * one row is in memory at a time. The result has a byte for each weight of the dense tables, which
 * is about as much as the model's image.
 */
#ifndef METASD_PG_SURVEY_OWN_ENERGIES_H
#define METASD_PG_SURVEY_OWN_ENERGIES_H

#include "pg/base/compat.h"

#include "pg/serve/question.h"

/* Bytes of the energies; an error if they are too many for this host. */
extern Size metasd_own_energies_bytes(const MetasdImage *image);

/*
 * Fills ENERGIES in, and counts[R] with the facts of each relation, as often as they are different.
 * Facts that the training held out (unseen.h; UNSEEN is their part) have no energy. The model has a
 * source. Serves interrupts.
 */
extern void metasd_own_energies_fill(const MetasdQuestion *question, double unseen, uint8 *energies,
                                     uint64 *counts);

#endif
