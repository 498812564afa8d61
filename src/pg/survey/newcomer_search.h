/*
 * newcomer_search.h - triples with newcomers among discoveries.
 *
 * A sweep looks at what the image has. What is named may be new, as head, relation, tail or among
 * the candidates; triples with that are found here, by this process alone. A newcomer asks the
 * questions that it would be asked if it was in the image, and is a candidate beside all of these.
 * Nothing else of the work is different: what cannot be among the k best is not looked at.
 */
#ifndef METASD_PG_SURVEY_NEWCOMER_SEARCH_H
#define METASD_PG_SURVEY_NEWCOMER_SEARCH_H

#include "pg/base/compat.h"

#include "pg/serve/candidates.h"
#include "pg/survey/best_triples.h"
#include "pg/survey/newcomer_list.h"
#include "pg/survey/subjects.h"

typedef struct MetasdNewcomerSearch {
    const MetasdQuestion *question;
    MetasdNewcomerList *newcomers;
    MetasdQuestionFile *file; /* of the sweep */
    MetasdSubjectChoice choice;
    MetasdCandidates candidates; /* of the image; given unless all entities count */
    uint32 count;                /* of the candidates, those that are newcomers: */
    const uint32 *ids;
    const float *shift; /* of the relations of the image: added to keys */
} MetasdNewcomerSearch;

/* Is something that is named a newcomer? Then no triple of the image alone counts. */
extern bool metasd_newcomer_search_names_one(const MetasdNewcomerSearch *search);

/*
 * Offers all triples with newcomers. The values are those of discover_visitor.h, ids those of
 * newcomer_list.h. Serves interrupts.
 */
extern void metasd_newcomer_search_run(const MetasdNewcomerSearch *search, MetasdBestTriples *best);

#endif
