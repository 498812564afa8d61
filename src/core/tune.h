/*
 * tune.h - which parameters to try next, and for how long: successive halving within a budget.
 *
 * Candidate 0 is what the model has, the others are drawn around it. Many are tried in short
 * trainings, the best third of them in trainings three times as long, and so on up to whole ones: a
 * rung is what trainings of one length are compared in. The first candidate climbs all rungs, so
 * that whoever wins was compared with it, and it also measures how long an epoch takes: by that the
 * rungs and the number of candidates are chosen to fit the budget.
 *
 * Nothing is trained here and no clock is read: the caller asks what to train next, and says what
 * came of it and how much time is left.
 */
#ifndef METASD_TUNE_H
#define METASD_TUNE_H

#include <stdbool.h>
#include <stdint.h>

/* What is searched. */
typedef enum MetasdAxis {
    METASD_AXIS_LR = 0,
    METASD_AXIS_RANK,
    METASD_AXIS_REG,
    METASD_AXIS_RELATION_WEIGHT
} MetasdAxis;
#define METASD_AXES 4

#define METASD_TUNE_CANDIDATES 244 /* at most, candidate 0 counted */
#define METASD_TUNE_RUNGS 4        /* at most: the shortest trainings have 1/27 of the epochs */
#define METASD_TUNE_PART 3         /* one of so many goes on, for so many times the epochs */
#define METASD_TUNE_LEAST_EPOCHS 3 /* of the shortest trainings, where a whole one has as many */

typedef struct MetasdPoint {
    double x[METASD_AXES];
} MetasdPoint;

typedef struct MetasdTuneOptions {
    uint64_t seed;           /* of the draws */
    int epochs;              /* of a whole training */
    MetasdPoint present;     /* candidate 0 */
    bool fixed[METASD_AXES]; /* not searched: all candidates have it as the present one */
    double most_rank;        /* that memory allows; at least the present one */
} MetasdTuneOptions;

typedef struct MetasdTuneTrial {
    int candidate, rung, epochs;
} MetasdTuneTrial;

/* What is to be made of the trials so far. */
typedef struct MetasdTuneChoice {
    int candidate; /* 0: nothing was better */
    int rung;      /* where it was compared with candidate 0; -1: nowhere, for want of time */
    double mrr, present_mrr; /* of the candidate, and of candidate 0 */
} MetasdTuneChoice;

typedef struct MetasdTune {
    MetasdTuneOptions options;
    MetasdPoint candidate[METASD_TUNE_CANDIDATES];
    int candidates;
    int epochs[METASD_TUNE_RUNGS];
    int rungs;

    int first, last;                   /* rungs there is time for; chosen after the first trial */
    int rung;                          /* under way; -1 before they are chosen */
    int queue[METASD_TUNE_CANDIDATES]; /* candidates of this rung */
    int queued, next;
    int planned; /* trials in all, as far as can be told; 0: not yet */
    int done;
    double seconds,
        work; /* of all trials; work: epochs times what they cost beside candidate 0's */
    double each[METASD_TUNE_CANDIDATES]; /* seconds an epoch in its last trial; 0: had none */
    double mrr[METASD_TUNE_RUNGS][METASD_TUNE_CANDIDATES]; /* NAN: has not come to an end */
} MetasdTune;

/* Begins a search: draws all candidates. */
extern void metasd_tune_start(MetasdTune *tune, const MetasdTuneOptions *options);

/* The trial to be made next, where LEFT seconds are left; false at the end of the search. */
extern bool metasd_tune_next(MetasdTune *tune, double left, MetasdTuneTrial *trial);

/* What came of a trial. MRR is the validation MRR of the pruned model, NAN if training failed. */
extern void metasd_tune_report(MetasdTune *tune, const MetasdTuneTrial *trial, double mrr,
                               double seconds);

/* Was no trial of so many epochs better so far? */
extern bool metasd_tune_is_best(const MetasdTune *tune, const MetasdTuneTrial *trial);

/*
 * The best of the highest rung in which candidate 0 and another have come to an end, of those whose
 * trainings have a third of all epochs or more; candidate 0 unless it is better by MARGIN.
 */
extern MetasdTuneChoice metasd_tune_choice(const MetasdTune *tune, double margin);

/* A difference of two MRRs, both of the same N answers, that chance alone makes seldom. */
extern double metasd_tune_margin(double n);

#endif
