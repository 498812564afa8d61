#include "pg/survey/calibration.h"

#include <math.h>

#include "pg/survey/calibrate_visitor.h"
#include "pg/survey/unseen.h"

/* The part of all facts that is supposed to be missing. */
#define MISSING 0.1

/* Entities to score in all, and questions at least and at most. */
#define SCORES 3e8
#define LEAST_ASKED 3000.0
#define MOST_ASKED 20000.0

/* Of these, a part goes to candidates' own questions; a fact asks two questions. */
#define PART_OF_CANDIDATES 0.5
#define PART_OF_FACTS 0.2

#define MOST_SAMPLES ((uint64)1 << 16)

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

static MetasdUnlabelledSample *
copy_samples(const MetasdBestTriples *triples)
{
    MetasdUnlabelledSample *samples = palloc(Max(triples->count, 1) * sizeof(*samples));

    for (uint32 i = 0; i < triples->count; i++)
        samples[i] =
            (MetasdUnlabelledSample){.key = triples->heap[i].value[METASD_SAMPLED_KEY],
                                     .weight = triples->heap[i].value[METASD_SAMPLED_WEIGHT],
                                     .positive = triples->heap[i].value[METASD_SAMPLED_FACT] != 0};
    return samples;
}

MetasdCalibration
metasd_calibration_fit(const MetasdQuestion *question, MetasdSweep *sweep)
{
    MetasdCalibrateParameters parameters = choose_parts(question, sweep);
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
    calibration.samples = copy_samples(&triples);
    if (parameters.fraction > 0)
        calibration.fit = metasd_unlabelled_fit(calibration.samples, calibration.count,
                                                MISSING / (1 - MISSING) / parameters.fraction);
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
