/*
 * warm_start.h - a training that starts from the rows of an earlier one, rather than from random
 * numbers.
 *
 * Of an earlier training there are the rows that were stored: weights that were pruned are 0, and
 * Adagrad's sums are gone. So
 *
 *    weights that are 0   get the small random number that every weight begins with elsewhere: the
 *                         gradient of a product of zeros is 0
 *    sums                 begin above 0: else Adagrad's first steps, of the size of the learning
 *                         rate for every weight, would undo the earlier training
 *    new entities         begin as the mean of the queries that they answer in their triples,
 *                         and of the vectors whose queries would give the answers of theirs
 *    new relations        begin at random
 */
#ifndef METASD_CORE_TRAIN_WARM_START_H
#define METASD_CORE_TRAIN_WARM_START_H

#include "core/graph/graph.h"
#include "core/train/state.h"

/*
 * Fills all tables of a state whose weights hold old rows where `known`, one byte per row, is not
 * 0: N entities, then P relations; the other rows may hold anything. New entities are described by
 * those training triples whose other entity and relation are known. One member calls this, for all,
 * and sets progress->warm (train.h).
 */
extern MetasdStatus metasd_warm_start(MetasdState *state, MetasdTeam *team,
                                      const MetasdGraph *graph, const uint8_t *known,
                                      uint64_t seed);

#endif
