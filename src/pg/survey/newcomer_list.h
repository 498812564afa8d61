/*
 * newcomer_list.h - the newcomers (newcomer.h) of a survey, and the facts that have them.
 *
 * Newcomers have numbers behind those of the image's N entities and R relations: N + i, and R + i.
 * Questions with relation R + i have the row 2 R + 2 i, and 2 R + 2 i + 1 if heads are asked for;
 * below 2 R rows are those of the image.
 *
 * Facts with a newcomer are in a question file of their own. So the questions of a sweep, which
 * workers share, are about what the image has. Only this process looks at newcomers.
 */
#ifndef METASD_PG_SURVEY_NEWCOMER_LIST_H
#define METASD_PG_SURVEY_NEWCOMER_LIST_H

#include "pg/base/compat.h"

#include "core/model/probability.h"
#include "core/serve/query.h"
#include "pg/serve/candidates.h"
#include "pg/serve/question.h"
#include "pg/source/source.h"
#include "pg/survey/question_file.h"

typedef struct MetasdNewcomerList MetasdNewcomerList;

/* Starts without newcomers, in the current memory context. */
extern MetasdNewcomerList *metasd_newcomer_list_create(const MetasdQuestion *question);

/*
 * The number of an entity or relation of the image, or of a newcomer, which is then in the list; a
 * NOTICE as metasd_question_find gives it. False if the model knows nothing of the label.
 */
extern bool metasd_newcomer_list_name(MetasdNewcomerList *list, MetasdLabel label, bool relation,
                                      uint32 *id);

/* The number of an entity that is in the list afterwards. */
extern uint32 metasd_newcomer_list_add(MetasdNewcomerList *list, const MetasdNewcomerCopy *one);

/* The number of entities, or relations, in the list. */
extern uint32 metasd_newcomer_list_count(const MetasdNewcomerList *list, bool relation);

extern MetasdLabel metasd_newcomer_list_label(const MetasdNewcomerList *list, bool relation,
                                              uint32 id);

/* ---- what queries take ---- */

/* Of the image, or of the list; LIST may be NULL where there are no newcomers. */
extern MetasdGiven metasd_newcomer_list_entity(const MetasdNewcomerList *list,
                                               const MetasdImage *image, uint32 id);
extern MetasdGiven metasd_newcomer_list_row(const MetasdNewcomerList *list,
                                            const MetasdImage *image, uint32 row);
extern MetasdSigmoid metasd_newcomer_list_sigmoid(const MetasdImage *image, uint32 row);

/* The row of a relation, of either kind; and that of the other questions of its triples. */
extern uint32 metasd_newcomer_list_row_of(const MetasdImage *image, uint32 relation, bool heads);
extern uint32 metasd_newcomer_list_other_row(const MetasdImage *image, uint32 row);

/* ---- facts ---- */

/*
 * A MetasdRowFunction: keeps a row of the source if it has a newcomer, and no head or relation that
 * is unknown.
 */
extern void metasd_newcomer_list_keep(void *list, const MetasdTripleLabels *row);

/* After the last row. */
extern void metasd_newcomer_list_sort(MetasdNewcomerList *list);

/*
 * A question with a newcomer, and its known answers that are in the image. False if there is no
 * fact of it at all. The answers stay until the next call.
 */
extern bool metasd_newcomer_list_find(MetasdNewcomerList *list, uint32 row, uint32 entity,
                                      MetasdSweepQuestion *question);

/* Is (row, entity, ANSWER), which has a newcomer, a fact? */
extern bool metasd_newcomer_list_has(MetasdNewcomerList *list, uint32 row, uint32 entity,
                                     uint32 answer);

/*
 * What metasd_question_file_degrees does, for entities of the list in any row, and for all in that
 * of a new relation.
 */
extern void metasd_newcomer_list_degrees(MetasdNewcomerList *list, uint32 row, uint32 *degrees);

extern void metasd_newcomer_list_end(MetasdNewcomerList *list);

#endif
