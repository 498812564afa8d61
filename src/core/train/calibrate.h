/*
 * calibrate.h - fits the sigmoids of probability.h to facts that were held out.
 */
#ifndef METASD_CORE_TRAIN_CALIBRATE_H
#define METASD_CORE_TRAIN_CALIBRATE_H

#include "core/base/arena.h"
#include "core/base/team.h"
#include "core/model/probability.h"

/* A relation row with so many validation facts has a sigmoid of its own. */
#define METASD_OWN_FACTS 10

/* Answers of about the same odds, and those of them that hold. */
typedef struct MetasdBin {
    uint64_t all, holding;
} MetasdBin;

typedef struct MetasdCalibration {
    uint32_t rows;          /* of relations: P */
    size_t most, asked;     /* questions at most, and those so far */
    uint32_t own, most_own; /* rows with bins of their own so far, and that there is room for */
    uint32_t *place;        /* P: which of the bins of rows are theirs */
    uint64_t *facts;        /* P: answers that hold */
    MetasdBin *whole_bins;  /* METASD_BINS */
    MetasdBin *own_bins;    /* most_own x METASD_BINS */
    MetasdSigmoid *each;    /* P */
    MetasdSigmoid whole;
} MetasdCalibration;

/*
 * Takes memory for up to `most` questions about `facts` facts, with which rows can have sigmoids of
 * their own; 0: none has. There are no answers yet.
 */
extern void metasd_calibrate_take(MetasdCalibration *calibration, MetasdArena *arena, uint32_t rows,
                                  size_t most, size_t facts);

/* Announces, before any answers, the number of facts about a row. */
extern void metasd_calibrate_expect(MetasdCalibration *calibration, uint32_t row, size_t facts);

/* Adds the answers to a question, counted in bins: all, and those that hold. */
extern void metasd_calibrate_add(MetasdCalibration *calibration, uint32_t row,
                                 const uint32_t all[METASD_BINS],
                                 const uint32_t holding[METASD_BINS]);

/*
 * Fits `whole` to all answers, and each[row] to those of a relation row with enough facts; the
 * others have the whole. Without answers: metasd_uncalibrated. Polls; for one member.
 */
extern MetasdStatus metasd_calibrate(MetasdCalibration *calibration, MetasdTeam *team);

/* Answers whose probability is in a tenth of 0 .. 1: how many, how many hold, and the sum of it. */
typedef struct MetasdTenth {
    uint64_t all, holding;
    double claimed;
} MetasdTenth;

/* The answers that were added, by the probability that they have after the fit. Polls. */
extern MetasdStatus metasd_calibrate_tenths(const MetasdCalibration *calibration, MetasdTeam *team,
                                            MetasdTenth tenths[10]);

/* Has that relation row a sigmoid of its own? */
extern bool metasd_calibrate_is_own(const MetasdCalibration *calibration, uint32_t row);

#endif
