/*
 * shard.h - the part of a table that a part of a distributed query may read.
 *
 * Citus runs parts of a query on the nodes that have the rows. A function in such a part may not
 * send a query to other nodes. It may read the shards of its own node: that is right where one of
 * them has all the rows in question.
 */
#ifndef METASD_PG_SOURCE_SHARD_H
#define METASD_PG_SOURCE_SHARD_H

#include "pg/base/compat.h"

#include "pg/source/source.h"

/* Does this session run parts of queries that another node of a Citus cluster has distributed? */
extern bool metasd_shard_runs_part(void);

/* Does it, and may it send no queries to other nodes? */
extern bool metasd_shard_is_part(void);

/*
 * The relation that has all rows of SOURCE with VALUE in the columns of the N given places: the
 * source itself, except in a part of a distributed query. There it is a shard of this node, and an
 * error if none has them all. N is 0 for the rows of a label that the model does not know, which
 * may be anywhere.
 */
extern Oid metasd_shard_of(const MetasdSource *source, const int *place, const Datum *value, int n);

#endif
