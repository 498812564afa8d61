/*
 * index_advice.h - says which index a source lacks.
 */
#ifndef METASD_PG_SERVE_INDEX_ADVICE_H
#define METASD_PG_SERVE_INDEX_ADVICE_H

#include "pg/base/compat.h"

#include "pg/serve/known.h"

/*
 * A NOTICE where known facts are looked up in a source of some size by what no index supports: once
 * a session for each source and what is asked, to who owns the source. For a table, with the CREATE
 * INDEX to copy; for a view or a foreign table that has to be read whole, with
 * other ways out.
 */
extern void metasd_index_advise(const MetasdSource *source, MetasdAsked asked);

/* Is the source a table with an index for what is asked? Not so a view, whatever it reads. */
extern bool metasd_index_exists(const MetasdSource *source, MetasdAsked asked);

#endif
