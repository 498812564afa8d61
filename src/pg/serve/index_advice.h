/*
 * index_advice.h - a NOTICE that tells which index a source lacks.
 */
#ifndef METASD_PG_SERVE_INDEX_ADVICE_H
#define METASD_PG_SERVE_INDEX_ADVICE_H

#include "pg/base/compat.h"

#include "pg/serve/known_cost.h"

/*
 * Gives a NOTICE if no index supports lookups in a source of some size: once per session, source
 * and kind of question, and only to the owner of the source. For a table it has the CREATE INDEX to
 * copy; for a view or a foreign table that is read whole it has other ways out.
 */
extern void metasd_index_advise(const MetasdSource *source, MetasdAsked asked);

#endif
