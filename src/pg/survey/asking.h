/*
 * asking.h - asks one question of a sweep: its candidates, best first, with odds and probabilities
 * as those of kg_predict, without the known answers.
 */
#ifndef METASD_PG_SURVEY_ASKING_H
#define METASD_PG_SURVEY_ASKING_H

#include "pg/base/compat.h"

#include "core/model/probability.h"
#include "core/ranking/topk.h"
#include "core/serve/image.h"
#include "pg/survey/question_file.h"

/* The memory for questions, one after the other. */
typedef struct MetasdAsking {
    const MetasdImage *image;
    uint32 n; /* entities */
    float *scores;
    bool *known;    /* n: the answers of the question, false between two questions */
    uint32 *sorted; /* scratch of topk */
    void *scratch;  /* of queries */
    /* Of the question: */
    const MetasdSweepQuestion *question;
    MetasdTopk topk;
    MetasdOdds odds;
    MetasdSigmoid sigmoid;
    uint32 first[METASD_ODDS_KNOWN]; /* the best candidates, taken to find the odds */
    uint32 first_count, at;
} MetasdAsking;

extern MetasdAsking *metasd_asking_create(const MetasdImage *image);

/*
 * Scores a question. False if all candidates are known: then nothing else may be called, except
 * metasd_asking_finish, which must be called before the next question.
 */
extern bool metasd_asking_begin(MetasdAsking *asking, const MetasdSweepQuestion *question);
extern void metasd_asking_finish(MetasdAsking *asking);

/* The next candidate that is possible and not known, best first; false after the last. */
extern bool metasd_asking_next(MetasdAsking *asking, uint32 *id);

/* The probability of a candidate that is not known, of that score. */
extern float metasd_asking_probability(const MetasdAsking *asking, float score);

#endif
