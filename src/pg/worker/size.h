/*
 * size.h - how many bytes the embeddings of a version take.
 */
#ifndef METASD_PG_WORKER_SIZE_H
#define METASD_PG_WORKER_SIZE_H

#include "pg/base/compat.h"

#include "core/codec/row_codec.h"
#include "core/train/options.h"

/*
 * About so many bytes, without labels: of `entities` rows and of two rows for each relation, which
 * have the rank, the family and the sparsity of the options.
 */
extern double metasd_size_stored(uint32 entities, uint32 relations,
                                 const MetasdTrainOptions *options, MetasdStorage storage);

#endif
