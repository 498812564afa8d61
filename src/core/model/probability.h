/*
 * probability.h - from scores to probabilities that hold.
 *
 * A score tells which of two answers is more likely, not how likely it is. The odds of the softmax
 * over the candidates of the question do. But pruned and regularised models are too sure or not
 * sure enough, and the answers to one question share a softmax. So the logarithm of the odds goes
 * through a sigmoid that was fitted to held-out facts (Platt 1999). Some facts cannot be foreseen,
 * so no candidate is less likely than by chance:
 *
 *     probability = base + (1 - base) / (1 + exp(-(slope x + offset))), with
 *     x = log odds, or METASD_KNEE + steep (log odds - METASD_KNEE) below the knee,
 *
 * because the few best candidates and the many others need not follow one line.
 *
 * The fit uses all candidates of the questions that held-out facts answer, not the best ones alone.
 * So the probabilities of a question's candidates sum to about the number of its missing answers,
 * and candidates of the same score have the same probability, in whatever order they are shown.
 *
 * Slope and offset belong to a relation row, that is a relation and a direction. Their prior is
 * normal around those of the whole model, whose own prior is around 1 and 0, the softmax itself.
 * Rows of few facts have those of the whole model. Base and steepness belong to the model.
 */
#ifndef METASD_CORE_MODEL_PROBABILITY_H
#define METASD_CORE_MODEL_PROBABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the odds of a question's candidates ---- */

/* Known facts among so many of the best candidates do not compete, nor those above the answers. */
#define METASD_ODDS_KNOWN 32

/*
 * The odds of the candidates of one question. Known facts are looked up from the top, and only some
 * of them: a question may have thousands. So the odds are against all candidates except known facts
 * among the METASD_ODDS_KNOWN best, and those above the first candidate that is not known.
 */
typedef struct MetasdOdds {
    size_t n;
    const float *scores; /* n; METASD_LEFT_OUT for what is no candidate */
    size_t seen;         /* candidates shown so far */
    size_t above;        /* candidates before the first that is not known */
    bool found;          /* there was such a candidate */
    float first;         /* its score */
    double sum;          /* of exp(score - first) over the candidates that compete: at least 1 */
} MetasdOdds;

extern void metasd_probability_start(MetasdOdds *odds, size_t n, const float *scores);

/*
 * Shows the next candidate, best first: at least the METASD_ODDS_KNOWN best, and until one is not
 * known.
 */
extern void metasd_probability_show(MetasdOdds *odds, float score, bool known);

/* The log odds, within +-METASD_MOST_ODDS, of a candidate that is not known. One was shown. */
extern double metasd_probability_odds(const MetasdOdds *odds, float score);

#define METASD_MOST_ODDS 20

/* Bins of log odds, so many per unit; the bins at the ends are half as wide. */
#define METASD_BINS_A_UNIT 8
#define METASD_BINS ((size_t)(2 * METASD_MOST_ODDS * METASD_BINS_A_UNIT + 1))

/* The middle of a bin. */
static inline double
metasd_bin_odds(size_t bin)
{
    return (double)bin / METASD_BINS_A_UNIT - METASD_MOST_ODDS;
}

/* The bin of a candidate's odds, after one that is not known was shown. */
extern size_t metasd_probability_bin(const MetasdOdds *odds, float score);

/* Adds all candidates to the bins of their odds, also known ones. */
extern void metasd_probability_count(const MetasdOdds *odds, uint32_t bins[METASD_BINS]);

/* ---- from odds to probability ---- */

typedef struct MetasdSigmoid {
    float slope; /* positive: a higher score has no lower probability */
    float offset;
    float base;  /* at least 0, less than 1 */
    float steep; /* positive */
} MetasdSigmoid;

/* Log odds, those of 1 to 20. */
#define METASD_KNEE (-3.0)

/* The softmax itself, without held-out facts. */
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
