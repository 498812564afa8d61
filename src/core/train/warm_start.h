/*
 * warm_start.h - a training that starts from the rows of an earlier one, rather than from random
 * numbers.
 *
 * What an earlier training has left are pruned rows: nine of ten weights are 0, and Adagrad's sums
 * are gone. So
 *
 *    weights that are 0   get the small random number that every weight begins with elsewhere: the
 *                         gradient of a product of zeros is 0
 *    sums                 begin above 0: else Adagrad's first steps, of the size of the learning
 *                         rate for every weight, would undo what has been learnt
 *    new entities         begin as what their triples say of them: the mean of the queries that
 *                         they answer, and of the vectors that would answer theirs
 *    new relations        begin at random
 */
#ifndef METASD_CORE_TRAIN_WARM_START_H
#define METASD_CORE_TRAIN_WARM_START_H

#include "core/graph/graph.h"
#include "core/train/state.h"

/*
 * Fills all tables of a step whose weights hold old rows where `known`, a byte a row, is not 0: N
 * entities, then P relations; the other rows may hold anything. New entities are told of by those
 * training triples whose other entity and relation are known. One member calls this, for all, and
 * sets progress->warm (train.h).
 */
extern MetasdStatus metasd_warm_start(MetasdState *state, MetasdTeam *team,
                                      const MetasdGraph *graph, const uint8_t *known,
                                      uint64_t seed);

#endif
