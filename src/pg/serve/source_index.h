/*
 * source_index.h - indexes of a source that find known facts.
 */
#ifndef METASD_PG_SERVE_SOURCE_INDEX_H
#define METASD_PG_SERVE_SOURCE_INDEX_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"

/* Is the source a table? A view or a foreign table has no indexes of its own. */
extern bool metasd_source_index_is_possible(const MetasdSource *source);

/* Is the source a table with an index that finds the facts of one question? */
extern bool metasd_source_index_exists(const MetasdSource *source, MetasdAsked asked);

#endif
