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
    bool tails, heads; /* (head, relation, ?), (?, relation, tail) */
    uint32 relation;   /* METASD_ANY: all */
    uint32 entity;     /* the given one; METASD_ANY: all */
} MetasdFactChoice;

typedef struct MetasdSortedFacts MetasdSortedFacts;

/* Reads the source with the rights of the model's owner. The model has one: question.h. */
extern MetasdSortedFacts *metasd_sorted_facts_read(const MetasdQuestion *question,
                                                   const MetasdFactChoice *choice);

/* The number of pairs, before those that repeat are dropped. */
extern uint64 metasd_sorted_facts_count(const MetasdSortedFacts *facts);

/* Adds a pair before metasd_sorted_facts_sort. */
extern void metasd_sorted_facts_add(MetasdSortedFacts *facts, const MetasdAnsweredQuestion *one);

extern void metasd_sorted_facts_sort(MetasdSortedFacts *facts);

/* The next pair, each once; false after the last. Serves interrupts. */
extern bool metasd_sorted_facts_next(MetasdSortedFacts *facts, MetasdAnsweredQuestion *one);

extern void metasd_sorted_facts_end(MetasdSortedFacts *facts);

#endif
