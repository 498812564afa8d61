/*
 * probability.h - from scores to probabilities that hold.
 *
 * A score says which of two answers to a question is more likely, not how likely it is. Its odds
 * do: those of the softmax over the candidates of the question. Pruned and regularised models are
 * too sure or not sure enough, and questions with several answers share one softmax. So the
 * logarithm of the odds goes through a sigmoid that was fitted (Platt 1999) to facts that were held
 * out; and some facts no model foresees, so that no candidate is less likely than by chance:
 *
 *     probability = base + (1 - base) / (1 + exp(-(slope x + offset))), with
 *     x = log odds, or METASD_KNEE + steep (log odds - METASD_KNEE) where they are below the knee:
 *
 * what holds for the few best candidates, who are the likelier the better they are, need not hold
 * for the many others.
 *
 * All candidates of the questions that the facts answer are fitted to, not the best ones alone:
 * so the probabilities of a question's candidates sum to about the number of its missing answers,
 * and candidates that tie share what they have, whichever of them would be shown first.
 *
 * Slope and offset are of a relation row, that is of a relation and a direction. They are drawn to
 * those of the whole model, as if these had been seen before the answers (a normal prior), and
 * these to 1 and 0, the softmax itself; rows of few facts have those of the whole model. Base and
 * steepness are the model's.
 */
#ifndef METASD_CORE_MODEL_PROBABILITY_H
#define METASD_CORE_MODEL_PROBABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the odds of a question's candidates ---- */

/*
 * Known facts among so many of the best candidates do not compete, nor do those above the answers.
 */
#define METASD_FIELD_KNOWN 32

/*
 * The candidates of one question. Which of them are known facts is found out from the top, and
 * in part only: a question may have thousands. So the odds are against all candidates but
 * known facts among the METASD_FIELD_KNOWN best, and those above the first that is not known.
 */
typedef struct MetasdOdds {
    size_t n;
    const float *scores; /* n, the caller's; METASD_LEFT_OUT for what is no candidate */
    size_t seen;         /* candidates shown, */
    size_t above;        /* and those before the first that is not known */
    bool found;          /* that one */
    float first;         /* its score */
    double sum;          /* of exp(score - first) over who competes: at least 1 */
} MetasdOdds;

extern void metasd_probability_start(MetasdOdds *field, size_t n, const float *scores);

/*
 * Shows the next candidate, best first: the METASD_FIELD_KNOWN best at least, and until one is
 * not known.
 */
extern void metasd_probability_show(MetasdOdds *field, float score, bool known);

/* Log odds, within +-METASD_MOST_ODDS, of a candidate that is not known, once one was shown. */
extern double metasd_probability_odds(const MetasdOdds *field, float score);

#define METASD_MOST_ODDS 20

/* Bins of log odds, so many a unit; those at the ends are half as wide. */
#define METASD_BINS_A_UNIT 8
#define METASD_BINS ((size_t)(2 * METASD_MOST_ODDS * METASD_BINS_A_UNIT + 1))

/* The middle of a bin. */
static inline double
metasd_bin_odds(size_t bin)
{
    return (double)bin / METASD_BINS_A_UNIT - METASD_MOST_ODDS;
}

/* The bin of a candidate's odds, once one that is not known was shown. */
extern size_t metasd_probability_bin(const MetasdOdds *field, float score);

/* Adds the candidates to the bins of their odds, known ones, too. */
extern void metasd_probability_count(const MetasdOdds *field, uint32_t bins[METASD_BINS]);

/* ---- from odds to probability ---- */

typedef struct MetasdSigmoid {
    float slope; /* positive, so that a higher score has no lower probability */
    float offset;
    float base;  /* at least 0, less than 1 */
    float steep; /* positive */
} MetasdSigmoid;

/* Log odds, those of 1 to 20. */
#define METASD_KNEE (-3.0)

/* The softmax itself: what there is without facts held out. */
static const MetasdSigmoid metasd_uncalibrated = {.slope = 1, .offset = 0, .base = 0, .steep = 1};

/* Finite, slope and steepness positive, and the base in its range. */
extern bool metasd_probability_sigmoid_ok(MetasdSigmoid sigmoid);

/* Log odds as the sigmoid takes them: bent at the knee. */
static inline double
metasd_bent_odds(double odds, double steep)
{
    return odds < METASD_KNEE ? METASD_KNEE + steep * (odds - METASD_KNEE) : odds;
}

extern double metasd_probability(MetasdSigmoid sigmoid, double odds);

#endif
