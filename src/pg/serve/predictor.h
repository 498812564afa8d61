/*
 * predictor.h - answers questions one after the other, into the result of a function.
 */
#ifndef METASD_PG_SERVE_PREDICTOR_H
#define METASD_PG_SERVE_PREDICTOR_H

#include "pg/base/compat.h"

#include "core/model/probability.h"
#include "core/serve/search.h"
#include "pg/serve/candidates.h"
#include "pg/serve/known.h"
#include "pg/serve/known_batch.h"
#include "pg/serve/question.h"

/* The treatment of answers that are facts of the source. */
typedef enum MetasdKnownMode {
    METASD_KNOWN_EXCLUDE,
    METASD_KNOWN_MARK,
    METASD_KNOWN_INCLUDE
} MetasdKnownMode;

/*
 * Columns of the result, at most: query, head, relation, tail, rank, score, probability and known.
 */
#define METASD_MOST_COLUMNS 8

typedef struct MetasdAnswer {
    uint32 id;   /* the i-th newcomer among the candidates has n + i */
    uint32 rank; /* 1 + the number of answers with a higher score */
    float score, probability;
    bool known;
} MetasdAnswer;

/* The answers to one question, for another question that is the same. */
typedef struct MetasdAnswers {
    MetasdAnswer *list; /* of `capacity` */
    uint32 count, capacity;
    bool complete; /* all answers did fit */
} MetasdAnswers;

typedef struct MetasdPredictor {
    /* Set by the caller: */
    const MetasdQuestion *question;
    MetasdAsked asked;
    MetasdKnownMode mode;
    MetasdCandidates candidates; /* of entities; none if relations are asked for */
    uint32 k;
    float least_probability;   /* of an answer */
    int answer_column;         /* of the result; it may be one of the given columns */
    int given_columns;         /* columns of the result before the rank */
    const Datum *given_values; /* of these columns */
    MetasdLabel given[2];      /* the labels of the other two places, in order */
    MetasdKnownBatch *facts;   /* the known facts, if they have been read already; or NULL */
    MetasdAnswers *copy;       /* gets a copy of the answers, or is NULL */
    bool many;                 /* questions come many at a time */
    /* Set by metasd_predictor_start: */
    uint32 n;               /* entities, or relations if these are asked for */
    uint32 most;            /* questions that are scored at once */
    uint32 search_entities; /* that many are scored, at least; 0: all, answers are exact */
    float *room;            /* n scores of each of `most` questions, if all are scored */
    void *scratch;
    uint32 *places;        /* of candidates with newcomers: each one's place by labels, and */
    uint32 *placed;        /* who is at each place */
    MemoryContext context; /* of the arrays below */
    MetasdSearch search;   /* if not all are scored */
    size_t found_room;     /* for these: */
    float *found_scores;
    uint32 *found; /* ids of those that were found; NULL: all, in order */
    /* Of the last question: */
    uint32 scored;       /* of all n, or of those that were found */
    const float *scores; /* of them */
    MetasdSigmoid sigmoid;
    MetasdOdds odds; /* against all n */
} MetasdPredictor;

/* Argument N as a mode, and as the least probability; 0 for NULL. */
extern MetasdKnownMode metasd_predictor_known_argument(FunctionCallInfo fcinfo, int n);
extern float metasd_predictor_least_argument(FunctionCallInfo fcinfo, int n);

/* Allocates memory; all fields but those of a question are set. */
extern void metasd_predictor_start(MetasdPredictor *predictor);

/* Writes the answers to a question: ID has the numbers of the given places. */
extern void metasd_predictor_answer(MetasdPredictor *predictor, const uint32 id[2]);

/*
 * The same in two steps, which take less time for many questions: scores COUNT of them, `most` at
 * most, then writes the answers to number I of these. Not if relations are asked for.
 */
extern void metasd_predictor_score(const MetasdPredictor *predictor, uint32 (*ids)[2],
                                   uint32 count);
extern void metasd_predictor_answer_scored(MetasdPredictor *predictor, const uint32 id[2],
                                           uint32 i);

/* Writes the answers to the same question again, with other given values. */
extern void metasd_predictor_repeat(const MetasdPredictor *predictor, const MetasdAnswer *answers,
                                    uint32 n);

extern void metasd_predictor_end(MetasdPredictor *predictor);

#endif
