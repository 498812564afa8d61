/*
 * calibrate.h - from scores to probabilities that hold.
 *
 * A score says which of two answers to a question is more likely, not how likely it is. Its odds
 * do: those of the softmax over the candidates of the question. Pruned and regularised models are
 * too sure or not sure enough, and questions with several answers share one softmax. So the
 * logarithm of the odds goes through a sigmoid that was fitted (Platt 1999) to facts that were held
 * out:
 *
 *     probability = 1 / (1 + exp(-(slope x log odds + offset)))
 *
 * Slope and offset are of a relation row, that is of a relation and a direction. They are drawn to
 * those of the whole model, as if these had been seen before the examples (a normal prior), and
 * these to 1 and 0, the softmax itself; rows of few questions have those of the whole model.
 */
#ifndef METASD_CALIBRATE_H
#define METASD_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "team.h"

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
typedef struct MetasdField {
    size_t n;
    const float *scores; /* n, the caller's; METASD_LEFT_OUT for what is no candidate */
    size_t seen;         /* candidates shown, */
    size_t above;        /* and those before the first that is not known */
    bool found;          /* that one */
    float first;         /* its score */
    double sum;          /* of exp(score - first) over who competes: at least 1 */
} MetasdField;

extern void metasd_field_start(MetasdField *field, size_t n, const float *scores);

/*
 * Shows the next candidate, best first: the METASD_FIELD_KNOWN best at least, and until one is
 * not known.
 */
extern void metasd_field_show(MetasdField *field, float score, bool known);

/* Log odds, within +-METASD_MOST_ODDS, of a candidate that is not known, once one was shown. */
extern double metasd_field_odds(const MetasdField *field, float score);

#define METASD_MOST_ODDS 20.0

/* ---- from odds to probability ---- */

typedef struct MetasdSigmoid {
    float slope; /* positive, so that a higher score has no lower probability */
    float offset;
} MetasdSigmoid;

/* The softmax itself: what there is without facts held out. */
static const MetasdSigmoid metasd_uncalibrated = {.slope = 1, .offset = 0};

/* Finite, and the slope positive. */
extern bool metasd_sigmoid_ok(MetasdSigmoid sigmoid);

extern double metasd_probability(MetasdSigmoid sigmoid, double odds);

/* ---- fitting ---- */

/* Questions from which on a relation row has a sigmoid of its own. */
#define METASD_OWN_QUESTIONS 10

/* An answer to a question about facts that were held out. */
typedef struct MetasdExample {
    float odds;   /* logarithm */
    uint32_t row; /* of the relation */
    uint32_t next;
    bool holds;
} MetasdExample;

typedef struct MetasdCalibration {
    uint32_t rows; /* of relations: P */
    size_t most, count;
    MetasdExample *examples; /* most; the caller adds them, */
    uint32_t *questions;     /* P; and says how many questions of each row they are of */
    uint32_t *head;          /* P: the first example of each row */
    MetasdSigmoid *each;     /* P */
    MetasdSigmoid whole;
} MetasdCalibration;

/* Takes memory for up to `most` examples, fewer than 2^32 - 1; there are none yet. */
extern void metasd_calibration_take(MetasdCalibration *calibration, MetasdArena *arena,
                                    uint32_t rows, size_t most);

/*
 * Fits `whole` to all examples, and each[row] to those of a relation row with enough questions; the
 * others have the whole. Without examples: metasd_uncalibrated. Polls; works alone.
 */
extern MetasdStatus metasd_calibrate(MetasdCalibration *calibration, MetasdTeam *team);

/* Has that relation row a sigmoid of its own? */
static inline bool
metasd_is_own(const MetasdCalibration *calibration, uint32_t row)
{
    return calibration->questions[row] >= METASD_OWN_QUESTIONS;
}

#endif
