/*
 * known.h - which answers are facts already: looked up in the source.
 */
#ifndef METASD_PG_SERVE_KNOWN_H
#define METASD_PG_SERVE_KNOWN_H

#include "pg/base/compat.h"

#include "lib/stringinfo.h"

#include "core/serve/image.h"
#include "pg/catalog/model.h"
#include "pg/serve/question.h"
#include "pg/source/labelset.h"
#include "pg/source/source.h"

/* The place of a triple that a question asks for; the other two are given. */
typedef enum MetasdAsked {
    METASD_ASKED_HEAD,
    METASD_ASKED_RELATION,
    METASD_ASKED_TAIL
} MetasdAsked;

/* The group of facts that answer one question. */
typedef struct MetasdKnown {
    MetasdSource *source;
    MetasdAsked asked;
    Datum given[2]; /* the other two places, in order, as values of their columns */
    bool possible;  /* false if a given label cannot be a value of its column: nothing is known */
    bool whole;     /* all facts of the group have been looked up */
} MetasdKnown;

/* Prepares lookups for a question; GIVEN has the labels of the other two places. */
extern void metasd_known_start(MetasdKnown *known, const MetasdModel *model, MetasdAsked asked,
                               const MetasdLabel *given);

/*
 * Sets known_ids[id] for those of N ids whose labels complete a fact, and perhaps for other ids
 * that do.
 */
extern void metasd_known_mark(MetasdKnown *known, const MetasdLabelTable *labels, const uint32 *ids,
                              size_t n, bool *known_ids);

/* The same for all ids; known_ids has one element per label. Reads the whole group. */
extern void metasd_known_mark_all(MetasdKnown *known, const MetasdLabelTable *labels,
                                  bool *known_ids);

/* Sets marks[i] for those of N labels that complete a fact, whether the model knows them or not. */
extern void metasd_known_mark_labels(MetasdKnown *known, const MetasdLabel *labels, size_t n,
                                     bool *marks);

/*
 * Converts a label to a value of a column's type; false if it cannot be one: an entity that occurs
 * as a head need not fit the column of the tails. Labels have the form that the types write.
 */
extern bool metasd_known_value(Oid type, MetasdLabel label, Datum *value);

/* Those of N labels that can be values of a column's type, as an array of it. */
extern Datum metasd_known_array(Oid type, const MetasdLabel *labels, size_t n);

/* Appends the condition of a lookup that the column of PLACE has the value of $PARAMETER. */
extern void metasd_known_append_condition(StringInfo sql, const MetasdSource *source, int place,
                                          int parameter);

/*
 * The numbers of the labels in a row of the source: of the two given places, and of the place asked
 * for, unless GIVEN or ANSWER is NULL. False if the model does not know one of them.
 */
extern bool metasd_known_numbers(const MetasdQuestion *question, MetasdAsked asked,
                                 const MetasdTripleLabels *row, uint32 *given, uint32 *answer);

#endif
