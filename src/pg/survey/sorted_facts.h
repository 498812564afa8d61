/*
 * sorted_facts.h - the facts of a model's source as numbers, sorted by the questions they answer.
 *
 * A fact answers two questions: (head, relation, ?) and (?, relation, tail). The source is read
 * once, and the pairs of a question and an answer are sorted: by relation row, then by the given
 * entity, then by answer; on disk beyond work_mem. So all answers to a question come one after the
 * other, and all questions of a relation.
 */
#ifndef METASD_PG_SURVEY_SORTED_FACTS_H
#define METASD_PG_SURVEY_SORTED_FACTS_H

#include "pg/base/compat.h"

#include "pg/serve/question.h"
#include "pg/source/source.h"

/* No entity or relation in particular. */
#define METASD_ANY PG_UINT32_MAX

/* A question without an answer, so that it is asked although nothing answers it yet. */
#define METASD_NO_ANSWER PG_UINT32_MAX

/* A question, and one of its answers. */
typedef struct MetasdAnsweredQuestion {
    uint32 row;    /* relation; + the number of relations if heads are asked for */
    uint32 entity; /* the given one: the head, or the tail if heads are asked for */
    uint32 answer; /* or METASD_NO_ANSWER */
} MetasdAnsweredQuestion;

/* Which questions of a fact count. */
typedef struct MetasdFactChoice {
    bool tails, heads;         /* (head, relation, ?), (?, relation, tail) */
    uint32 relation;           /* METASD_ANY: all */
    MetasdRowFunction unknown; /* gets the rows with what the model does not know; or NULL */
    void *context;             /* of that function */
} MetasdFactChoice;

typedef struct MetasdSortedFacts MetasdSortedFacts;

/* Starts without pairs. */
extern MetasdSortedFacts *metasd_sorted_facts_create(void);

extern void metasd_sorted_facts_add(MetasdSortedFacts *facts, const MetasdAnsweredQuestion *one);

/*
 * Adds the pairs of all facts of the source, which is read with the rights of the model's owner.
 * The model has a source (question.h). SUBJECTS, unless it is NULL, gets (head, relation, 0) of
 * each fact in the places of row, entity and answer: so these come by head.
 */
extern void metasd_sorted_facts_read(MetasdSortedFacts *facts, const MetasdQuestion *question,
                                     const MetasdFactChoice *choice, MetasdSortedFacts *subjects);

/* The number of pairs, before those that repeat are dropped. */
extern uint64 metasd_sorted_facts_count(const MetasdSortedFacts *facts);

/* After the last pair. */
extern void metasd_sorted_facts_sort(MetasdSortedFacts *facts);

/* The next pair, each once; false after the last. Serves interrupts. */
extern bool metasd_sorted_facts_next(MetasdSortedFacts *facts, MetasdAnsweredQuestion *one);

extern void metasd_sorted_facts_end(MetasdSortedFacts *facts);

#endif
