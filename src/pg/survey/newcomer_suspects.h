/*
 * newcomer_suspects.h - judges facts of newcomers (newcomer.h), for kg_suspects.
 *
 * The row of a newcomer is made of the fact itself, among others. So for each fact the row is made
 * again without it: that is what the newcomer's other facts say. What else the fact reads was
 * trained without it, and has nothing to be taken out. Then it competes as other facts do
 * (suspect_visitor.h); a newcomer competes beside the entities of the image. A fact is left out,
 * and counted, if nothing else tells of the newcomer, or if two of its places are new.
 *
 * Newcomers are found while the source is read for the sweep. Memory is bounded by work_mem: more
 * newcomers than their labels have room there are left out. A row takes some milliseconds.
 */
#ifndef METASD_PG_SURVEY_NEWCOMER_SUSPECTS_H
#define METASD_PG_SURVEY_NEWCOMER_SUSPECTS_H

#include "pg/base/compat.h"

#include "pg/serve/question.h"
#include "pg/survey/suspect_visitor.h"

typedef struct MetasdNewcomerSuspects MetasdNewcomerSuspects;

/* Starts without facts. RELATION: only its facts count, unless its data are NULL. */
extern MetasdNewcomerSuspects *metasd_newcomer_suspects_create(const MetasdQuestion *question,
                                                               MetasdLabel relation);

/* A MetasdRowFunction: keeps a row of the source, something in which the model does not know. */
extern void metasd_newcomer_suspects_keep(void *suspects, const MetasdTripleLabels *row);

/* After the last row. */
extern void metasd_newcomer_suspects_sort(MetasdNewcomerSuspects *suspects);

/* What is usual: for the relations of the image, and for a new one. */
typedef struct MetasdUsualForAll {
    const MetasdUsual *of;
    MetasdUsual others;
} MetasdUsualForAll;

/*
 * Offers the facts, as metasd_suspect_visitor_visit does; newcomers have numbers behind those of
 * the image. FILE has the questions of the sweep. Serves interrupts. A NOTICE tells of how many
 * facts, at the end.
 */
extern void metasd_newcomer_suspects_judge(MetasdNewcomerSuspects *suspects,
                                           MetasdQuestionFile *file, const MetasdUsualForAll *usual,
                                           MetasdBestTriples *best);

/* The label of a number, of either kind. */
extern MetasdLabel metasd_newcomer_suspects_label(const MetasdNewcomerSuspects *suspects,
                                                  bool relation, uint32 id);

extern void metasd_newcomer_suspects_end(MetasdNewcomerSuspects *suspects);

#endif
