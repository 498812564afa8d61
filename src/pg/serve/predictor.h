/*
 * predictor.h - the answers to one question after the other, into the result of a function.
 */
#ifndef METASD_PG_SERVE_PREDICTOR_H
#define METASD_PG_SERVE_PREDICTOR_H

#include "pg/base/compat.h"

#include "core/model/probability.h"
#include "pg/serve/candidates.h"
#include "pg/serve/known.h"
#include "pg/serve/known_batch.h"
#include "pg/serve/call_site.h"

/* What becomes of answers that are facts of the source. */
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
    uint32 id;
    uint32 rank; /* 1 + the answers before it that score higher */
    float score, probability;
    bool known;
} MetasdAnswer;

/* The answers to one question, kept for another that is the same. */
typedef struct MetasdAnswers {
    MetasdAnswer *list; /* room */
    uint32 count, room;
    bool whole; /* there was room for all */
} MetasdAnswers;

/* Ranks as answers come, best first: those that tie have the same, as by SQL's rank(). */
typedef struct MetasdTies {
    uint32 count; /* of answers so far */
    uint32 rank;  /* and of the last one, */
    float score;  /* which has this score */
} MetasdTies;

static inline uint32
metasd_ties_rank(MetasdTies *ties, float score)
{
    if (ties->count++ == 0 || score != ties->score)
        ties->rank = ties->count;
    ties->score = score;
    return ties->rank;
}

/* What a prediction is made of. */
typedef struct MetasdPredictor {
    const MetasdQuestion *question;
    MetasdAsked asked;
    MetasdKnownMode mode;
    MetasdCandidates candidates; /* of entities: not for relations that are asked for */
    uint32 k;
    float least;          /* probability of an answer */
    MetasdLabel given[2]; /* the other two places, in order */
    int given_columns;    /* of the result before the rank, */
    const Datum *given_values;
    int answer_column;       /* where the answer goes, be it one of these or not */
    MetasdKnownBatch *facts; /* where known facts have been read already, or NULL */
    MetasdAnswers *kept;     /* where answers are kept as they are written, or NULL */
    uint32 n;                /* entities, or relations, that there are */
    float *scores;           /* n */
    float *scratch;
    MetasdSigmoid sigmoid; /* makes probabilities of the scores, */
    MetasdOdds field;      /* with the odds against all n */
} MetasdPredictor;

/* Arguments: what known says; a probability, 0 for NULL; whether side says head. */
extern MetasdKnownMode metasd_predictor_known_argument(FunctionCallInfo fcinfo, int n);
extern float metasd_predictor_least_argument(FunctionCallInfo fcinfo, int n);
extern bool metasd_predict_heads_asked(FunctionCallInfo fcinfo, int n);

/* Takes memory once all is set but what is given. */
extern void metasd_predictor_start(MetasdPredictor *prediction);

/* Writes the answers to a question: the numbers of what is given, whose labels are in it. */
extern void metasd_predictor_answer(MetasdPredictor *prediction, const uint32 id[2]);

/* Writes the answers to the same question again, now given with other values. */
extern void metasd_predictor_repeat(const MetasdPredictor *prediction, const MetasdAnswer *answers,
                                    uint32 n);

extern void metasd_predictor_end(MetasdPredictor *prediction);

#endif
