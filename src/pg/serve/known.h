/*
 * known.h - which answers are facts already: looked up in the live source table.
 */
#ifndef METASD_PG_SERVE_KNOWN_H
#define METASD_PG_SERVE_KNOWN_H

#include "pg/base/compat.h"

#include "pg/catalog/catalog.h"
#include "core/serve/image.h"
#include "pg/source/labelset.h"
#include "pg/source/source.h"

/* The place of a triple that a question asks for; the other two are given. */
typedef enum MetasdAsked {
    METASD_ASKED_HEAD,
    METASD_ASKED_RELATION,
    METASD_ASKED_TAIL
} MetasdAsked;

typedef struct MetasdKnown {
    MetasdSource *source;
    MetasdAsked asked;
    Datum given[2]; /* the other two places, in order, as their columns have them */
    bool possible;  /* false where a given label cannot stand in its column: nothing is known */
    bool whole;     /* all facts of the group have been looked up */
} MetasdKnown;

/* Prepares to look facts up for a question; given labels as the image has them. */
extern void metasd_known_start(MetasdKnown *known, const MetasdModel *model, MetasdAsked asked,
                               const MetasdLabel *given);

/*
 * Sets known_ids[id] for those of the N ids whose labels make a fact, and perhaps for others that
 * do.
 */
extern void metasd_known_mark(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids,
                              size_t n, bool *known_ids);

/* The same for all ids there are, known_ids has one for each label: reads the whole group. */
extern void metasd_known_mark_all(MetasdKnown *known, const MetasdLabelTable *labels,
                                  bool *known_ids);

#endif
