/*
 * known_answers.h - which answers to one question are known, from wherever that takes least.
 *
 * At first facts are looked up for a few candidates: a group may have thousands of facts, and a few
 * candidates suffice for most questions. If they do not suffice, most of them are known, and the
 * whole group is read, once. All are known at once if they have been read for a batch or for the
 * statement, or if a newcomer's row is made of them.
 */
#ifndef METASD_PG_SERVE_KNOWN_ANSWERS_H
#define METASD_PG_SERVE_KNOWN_ANSWERS_H

#include "pg/base/compat.h"

#include "pg/serve/candidates.h"
#include "pg/serve/known.h"
#include "pg/serve/known_batch.h"
#include "pg/serve/question.h"

/* What is asked. */
typedef struct MetasdKnownAsk {
    const MetasdQuestion *question;
    MetasdAsked asked;
    const MetasdLabel *given; /* the labels of the other two places, in order */
    const MetasdCandidates *candidates;
    MetasdKnownBatch *batch; /* the known facts, if they have been read already; or NULL */
    uint32 n;                /* entities of the image, or relations if these are asked for */
    bool matters;            /* else no fact is looked up */
} MetasdKnownAsk;

typedef struct MetasdKnownAnswers {
    bool missing; /* not all have been looked up */
    MetasdKnown known;
    const MetasdLabelTable *labels;
    MemoryContext context; /* of the ids */
    bool *ids;             /* n: the id completes a fact, as far as facts were looked up */
    bool *newcomers;       /* the same of the newcomers among the candidates, behind them */
    uint32 n;
} MetasdKnownAnswers;

/* ID has the numbers of the given places. Delete the context in the end. */
extern MetasdKnownAnswers metasd_known_answers_start(const MetasdKnownAsk *ask, const uint32 id[2]);

/* Looks up the facts of N ids, or all facts if ids is NULL. */
extern void metasd_known_answers_look_up(MetasdKnownAnswers *facts, const uint32 *ids, uint32 n);

#endif
