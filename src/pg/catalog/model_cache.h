/*
 * model_cache.h - remembers in a session the models that it asked last.
 *
 * If the snapshot shows a row with the same bytes as when it was read, the row still says the same.
 * So a question only checks that the two rows of a remembered model are unchanged. This is correct
 * whatever was done to the rows since, and whichever version of them the snapshot sees.
 */
#ifndef METASD_PG_CATALOG_MODEL_CACHE_H
#define METASD_PG_CATALOG_MODEL_CACHE_H

#include "pg/base/compat.h"

#include "access/htup.h"

#include "pg/catalog/model.h"

/* A copy of the model of that name, or NULL if the tables must be read. */
extern MetasdModel *metasd_model_cache_find(const char *name);

/* Remembers a model that was read from ROW, and from the row RUN of the run that serves it. */
extern void metasd_model_cache_put(const MetasdModel *model, HeapTuple row, HeapTuple run);

#endif
