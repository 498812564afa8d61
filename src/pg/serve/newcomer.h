/*
 * newcomer.h - entities and relations that the model does not know, but of which its source has
 * facts by now: they are answered with rows that are made of these (core/serve/fold.h).
 *
 * A newcomer has a number behind those of the image's entities, or relations. It is kept in the
 * call site, so a statement makes its row once; no number means two of them there.
 */
#ifndef METASD_PG_SERVE_NEWCOMER_H
#define METASD_PG_SERVE_NEWCOMER_H

#include "pg/base/compat.h"

#include "core/serve/fold.h"
#include "core/serve/query.h"
#include "pg/serve/question.h"

/* What has become of a label that the model does not know. */
typedef struct MetasdNewcomer {
    uint32 id;      /* its number */
    uint32 facts;   /* that its row was made of; 0: it has no row, and no number */
    uint32 others;  /* facts with entities or relations that are new, too: of no use */
    bool some_left; /* it has more facts than these */
} MetasdNewcomer;

/* Looks a label up that is not in the image. Nothing is found where metasd.fold_in is off. */
extern MetasdNewcomer metasd_newcomer_find(const MetasdQuestion *question, MetasdLabel label,
                                           bool relation);

/* A newcomer of that number. */
extern MetasdLabel metasd_newcomer_label(const MetasdQuestion *question, bool relation, uint32 id);
extern MetasdGiven metasd_newcomer_given(const MetasdQuestion *question, bool relation, uint32 id,
                                         bool reciprocal);

/* The number of facts that its row was made of. */
extern uint32 metasd_newcomer_facts(const MetasdQuestion *question, bool relation, uint32 id);

/*
 * Writes the row of a newcomer, or of a relation's reciprocal, as it would be without one of its
 * facts. False if there would be none: it has no other fact.
 */
extern bool metasd_newcomer_row_without(const MetasdQuestion *question, bool relation, uint32 id,
                                        bool reciprocal, MetasdFoldFact fact, float *row);

/*
 * Sets known_ids[id] for the entities of the image that are tails of (entity, relation, ?) in the
 * source, or heads of (?, relation, entity); one of the two is a newcomer. False if the facts that
 * its row is made of do not tell.
 */
extern bool metasd_newcomer_mark_known(const MetasdQuestion *question, uint32 entity,
                                       uint32 relation, bool heads, bool *known_ids);

/* A copy of an entity that outlives the newcomers of the call site. */
typedef struct MetasdNewcomerCopy {
    MetasdLabel label;
    const float *row;
    const MetasdFoldFact *facts; /* that it was made of, sorted */
    uint32 count;
    bool complete; /* there are no others */
} MetasdNewcomerCopy;

/* The bytes of a copy, and one in that memory context. */
extern Size metasd_newcomer_copy_bytes(const MetasdQuestion *question, uint32 id);
extern MetasdNewcomerCopy metasd_newcomer_copy(const MetasdQuestion *question, uint32 id,
                                               MemoryContext context);

/*
 * Reads the facts of those of N labels that the model does not know with one query for all, or two,
 * so that metasd_newcomer_find need not look them up one by one; what it finds is the same. A label
 * without data is left out. What was read of that kind before is forgotten; all of it is by
 * metasd_newcomer_end_ahead.
 */
extern void metasd_newcomer_read_ahead(const MetasdQuestion *question, const MetasdLabel *labels,
                                       uint32 n, bool relation);

/* The same for labels of a set from number FIRST on; returns where they end. */
extern uint32 metasd_newcomer_read_set_ahead(const MetasdQuestion *question,
                                             const MetasdLabelSet *set, uint32 first,
                                             bool relation);
extern void metasd_newcomer_end_ahead(const MetasdQuestion *question);

/* Labels to read ahead at once, at most; and their bytes. */
#define METASD_MOST_AHEAD 512
#define METASD_MOST_AHEAD_BYTES ((size_t)256 * 1024)

/* Forgets newcomers if another statement has come or they are too many; their numbers end. */
extern void metasd_newcomer_start(const MetasdQuestion *question);

/* Are there so many that metasd_newcomer_start would forget them? */
extern bool metasd_newcomer_too_many(const MetasdQuestion *question);

#endif
