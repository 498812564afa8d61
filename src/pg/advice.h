/*
 * advice.h - says which index a source lacks.
 */
#ifndef METASD_ADVICE_H
#define METASD_ADVICE_H

#include "compat.h"

#include "known.h"

/*
 * A NOTICE with the CREATE INDEX to copy, where known facts are looked up in a source of some size
 * by what no index supports: once a session for each source and what is asked, to who owns the
 * source.
 */
extern void metasd_advise_index(const MetasdSource *source, MetasdAsked asked);

#endif
