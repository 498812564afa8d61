/*
 * asking.h - asks one question of a sweep: the scores of its candidates, without the known answers,
 * and their probabilities.
 *
 * Probabilities are those of kg_predict, except that it leaves known facts only out of the best
 * candidates, because it need not know the others.
 */
#ifndef METASD_PG_SURVEY_ASKING_H
#define METASD_PG_SURVEY_ASKING_H

#include "pg/base/compat.h"

#include "core/model/probability.h"
#include "core/serve/image.h"
#include "pg/survey/newcomer_list.h"
#include "pg/survey/question_file.h"

/* The memory for questions, one after the other. */
typedef struct MetasdAsking {
    const MetasdImage *image;
    const MetasdNewcomerList *newcomers; /* that may be given; or NULL */
    uint32 n;                            /* entities of the image */
    float *scores;                       /* METASD_LEFT_OUT of known answers */
    uint32 *ids;                         /* of metasd_asking_select */
    void *scratch;                       /* of queries */
    float *known;                        /* scores of the known answers, in their order */
    uint32 capacity;
    MemoryContext context;
    /* Of the question: */
    const MetasdSweepQuestion *question;
    MetasdOdds odds; /* against all candidates that are not known */
    MetasdSigmoid sigmoid;
} MetasdAsking;

extern MetasdAsking *metasd_asking_create(const MetasdImage *image,
                                          const MetasdNewcomerList *newcomers);

/*
 * Scores a question, whose answers are in the image. False if no candidate is possible and not
 * known.
 */
extern bool metasd_asking_begin(MetasdAsking *asking, const MetasdSweepQuestion *question);

/*
 * Writes the candidates that are possible, not known and of at least that probability, and perhaps
 * a few others that are possible and not known, to asking->ids; returns their number.
 */
extern uint32 metasd_asking_select(MetasdAsking *asking, double probability);

/* The probability of candidate ID. */
extern double metasd_asking_probability(const MetasdAsking *asking, uint32 id);

/* The probability that known answer number I would have if it was not known. */
extern double metasd_asking_probability_of_known(const MetasdAsking *asking, uint32 i);

/* The same for any question: sum and first score as in MetasdOdds, without the answer itself. */
extern double metasd_asking_probability_beside(MetasdSigmoid sigmoid, const MetasdOdds *odds,
                                               float score);

#endif
