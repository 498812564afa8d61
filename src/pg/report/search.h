/*
 * search.h - what kg_discover, kg_suspects and kg_explain say about a model, for a page that is to
 * be there in a few seconds: of large graphs a part is searched.
 *
 * These functions read the source, of which much may be wrong by now. So they run in a
 * subtransaction, and an error becomes a sentence of the page.
 */
#ifndef METASD_PG_REPORT_SEARCH_H
#define METASD_PG_REPORT_SEARCH_H

#include "pg/report/section.h"

#define METASD_MOST_FINDINGS 12
#define METASD_MOST_REASONS 4

/* A fact that speaks for a triple or, with a negative share, against it. */
typedef struct MetasdReason {
    char *label[3];
    double share;
} MetasdReason;

typedef struct MetasdFinding {
    char *label[3];
    double probability; /* of a discovery */
    char *best_tail;    /* of a suspect: the tail that the model would rather have, or NULL, */
    double tail_rank;   /* and where its own tail is */
    int reasons;
    MetasdReason reason[METASD_MOST_REASONS];
} MetasdFinding;

typedef struct MetasdFindings {
    int count;
    MetasdFinding finding[METASD_MOST_FINDINGS];
    int questions;  /* drawn from the facts, if not all were asked; else 0 */
    char *relation; /* the only one that was searched, or NULL */
    bool large;     /* the graph is too large for any search */
    char *error;    /* why nothing was found, or NULL */
} MetasdFindings;

/* The most probable facts that the source does not hold, with what speaks for them. */
extern void metasd_search_discoveries(MetasdReport *report, MetasdFindings *findings);

/* The facts of the source that the others support least, with what speaks for and against them. */
extern void metasd_search_suspects(MetasdReport *report, MetasdFindings *findings);

#endif
