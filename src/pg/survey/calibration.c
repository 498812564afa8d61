#include "pg/survey/calibration.h"

#include <math.h>

#include "pg/survey/calibrate_visitor.h"
#include "pg/survey/unseen.h"

/* The part of all facts that is supposed to be missing. */
#define MISSING 0.1

/* Entities to score in all, and questions at least and at most. */
#define SCORES 6e8
#define LEAST_ASKED 3000.0
#define MOST_ASKED 40000.0

/* Of these, a part goes to candidates' own questions; a fact asks two questions. */
#define PART_OF_CANDIDATES 0.5
#define PART_OF_FACTS 0.2

#define MOST_SAMPLES ((uint64)1 << 16)

/* A relation's keys are shifted by the evidence of so many samples less, and by so much at most. */
#define LEAST_EVIDENCE 2.0
#define MOST_SHIFT 3.0

/* Adds somewhat to the number of candidates, because the sample is random. */
#define MORE 1.5
#define MORE_AT_LEAST 50

/* Chooses the parts to sample. */
static MetasdCalibrateParameters
choose_parts(const MetasdQuestion *question, MetasdSweep *sweep)
{
    double entities = question->image->plan.entities;
    double asked = Min(Max(SCORES / entities, LEAST_ASKED), MOST_ASKED);
    double questions = (double)metasd_sweep_questions(sweep, METASD_SIDE_TAILS);
    double fraction = metasd_unseen_fraction(question->model);
    double facts = fraction * (double)metasd_sweep_facts(sweep) / 2;

    return (MetasdCalibrateParameters){.fraction = fraction,
                                       .facts = Min(PART_OF_FACTS * asked / 2 / Max(facts, 1), 1),
                                       .questions =
                                           Min(PART_OF_CANDIDATES * asked / Max(questions, 1), 1)};
}

/*
 * Finds the shifts of all relations. Missing facts of a relation, which are as many as FIT's ratio
 * says for each that was held out, should be as many as the probabilities of its candidates tell;
 * both are weighed by probability, because the most probable candidates matter.
 */
static void
find_shifts(const MetasdBestTriples *triples, const MetasdUnlabelledFit *fit, double evidence,
            uint32 relations, float *shift)
{
    double *facts =
        palloc_extended((Size)relations * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    double *told =
        palloc_extended((Size)relations * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

    for (uint32 i = 0; i < triples->count; i++) {
        const MetasdScoredTriple *one = &triples->heap[i];
        double p = metasd_unlabelled_probability(fit, (double)one->value[METASD_SAMPLED_KEY]);
        double weight = (double)one->value[METASD_SAMPLED_WEIGHT];

        if (one->value[METASD_SAMPLED_FACT] != 0)
            facts[one->id[1]] += fit->ratio * weight * p;
        else
            told[one->id[1]] += weight * p * p;
    }
    for (uint32 r = 0; r < relations; r++) {
        double odds = log((facts[r] + evidence) / (told[r] + evidence));

        shift[r] = (float)(Min(Max(odds, -MOST_SHIFT), MOST_SHIFT) / fit->slope);
    }
    pfree(facts);
    pfree(told);
}

/* Writes the samples with shifted keys, sorted. */
static void
shift_samples(MetasdCalibration *calibration, const MetasdBestTriples *triples)
{
    for (uint32 i = 0; i < triples->count; i++) {
        const MetasdScoredTriple *one = &triples->heap[i];

        calibration->samples[i] = (MetasdUnlabelledSample){
            .key = one->value[METASD_SAMPLED_KEY] + calibration->shift[one->id[1]],
            .weight = one->value[METASD_SAMPLED_WEIGHT],
            .positive = one->value[METASD_SAMPLED_FACT] != 0};
    }
    metasd_unlabelled_sort(calibration->samples, calibration->count);
}

static uint32
count_positives(const MetasdBestTriples *triples)
{
    uint32 count = 0;

    for (uint32 i = 0; i < triples->count; i++)
        count += triples->heap[i].value[METASD_SAMPLED_FACT] != 0;
    return count;
}

MetasdCalibration
metasd_calibration_fit(const MetasdQuestion *question, MetasdSweep *sweep)
{
    MetasdCalibrateParameters parameters = choose_parts(question, sweep);
    uint32 relations = question->image->plan.relations;
    double ratio = MISSING / (1 - MISSING) / Max(parameters.fraction, 1e-9);
    MetasdCalibration calibration = {.fit = metasd_unlabelled_default};
    MetasdSweepPass pass = {.kind = METASD_VISIT_TO_CALIBRATE,
                            .sides = METASD_SIDE_TAILS,
                            .least = -INFINITY,
                            .parameters = &parameters,
                            .parameter_bytes = sizeof(parameters),
                            .quiet = true};
    MetasdBestTriples triples;

    pass.k = (uint32)Min(MOST_SAMPLES, (uint64)work_mem * 1024 / sizeof(MetasdScoredTriple));
    metasd_sweep_pass(sweep, &pass, &triples);
    calibration.count = triples.count;
    calibration.samples = palloc(Max(triples.count, 1) * sizeof(*calibration.samples));
    calibration.shift =
        palloc_extended((Size)relations * sizeof(float), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    shift_samples(&calibration, &triples);
    ratio = metasd_unlabelled_ratio(calibration.samples, calibration.count, ratio);
    calibration.fit = metasd_unlabelled_fit(calibration.samples, calibration.count, ratio);
    if (count_positives(&triples) >= METASD_LEAST_POSITIVES) {
        double evidence =
            LEAST_EVIDENCE * (calibration.fit.ratio / parameters.facts + 1 / parameters.questions);

        find_shifts(&triples, &calibration.fit, evidence, relations, calibration.shift);
        shift_samples(&calibration, &triples);
        calibration.fit = metasd_unlabelled_fit(calibration.samples, calibration.count, ratio);
    }
    return calibration;
}

float
metasd_calibration_key_of(const MetasdCalibration *calibration, uint32 k)
{
    double wanted = MORE * k + MORE_AT_LEAST, sum = 0;

    for (uint32 i = 0; i < calibration->count; i++) {
        if (!calibration->samples[i].positive)
            sum += calibration->samples[i].weight;
        if (sum >= wanted)
            return calibration->samples[i].key;
    }
    return METASD_LEAST_SAMPLED_KEY;
}
