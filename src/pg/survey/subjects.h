/*
 * subjects.h - the entities that are asked as heads of a relation.
 */
#ifndef METASD_PG_SURVEY_SUBJECTS_H
#define METASD_PG_SURVEY_SUBJECTS_H

#include "pg/base/compat.h"

#include "pg/survey/newcomer_list.h"
#include "pg/survey/sorted_facts.h"
#include "pg/survey/sweep.h"

typedef enum MetasdSubjects {
    METASD_SUBJECTS_KNOWN, /* heads of the relation in the source */
    METASD_SUBJECTS_LIKE,  /* and entities that are similar to one of these */
    METASD_SUBJECTS_ALL
} MetasdSubjects;

/* Which subjects a call names. */
typedef struct MetasdSubjectChoice {
    MetasdSubjects kind;
    uint32 relation, head, tail; /* METASD_ANY: all */
    /* For METASD_SUBJECTS_LIKE, of each newcomer and each relation: is it similar to a subject? */
    bool *like;
} MetasdSubjectChoice;

/* Argument N. */
extern MetasdSubjects metasd_subjects_argument(FunctionCallInfo fcinfo, int n);

/*
 * Adds the questions of these subjects to a sweep that has those of known facts. HEADS has what
 * metasd_sorted_facts_read says, and ends here; it is NULL except for METASD_SUBJECTS_LIKE. For
 * newcomers choice->like is filled in: the sweep has no questions of them. If a name is that of a
 * newcomer, only questions are added that its own triples need.
 */
extern void metasd_subjects_add(const MetasdQuestion *question, MetasdSweep *sweep,
                                MetasdSubjectChoice *choice, MetasdSortedFacts *heads,
                                const MetasdNewcomerList *newcomers);

/*
 * Sets like[id] for entities that are similar to a subject of a relation that is new: those of the
 * image whose degree is not 0. Newcomers come behind the entities of the image.
 */
extern void metasd_subjects_mark_like(const MetasdQuestion *question, const uint32 *degree,
                                      const MetasdNewcomerList *newcomers, bool *like);

#endif
