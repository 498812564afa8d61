/*
 * calibration.h - turns keys of triples (both_sides.h) into probabilities that they are facts.
 *
 * How many facts a source lacks, no data tell. So a probability supposes that it lacks one in ten,
 * as if a tenth of all facts had been taken out at random; fewer if its candidates show that
 * (core/model/unlabelled.h). Facts that the training held out show how the keys of missing facts
 * are distributed. They are compared with a sample of all candidates: all of a small graph. Of some
 * relations fewer candidates are facts than their keys tell, of some more. So first the keys of
 * each relation are shifted by what held-out facts show there, as far as there are enough.
 */
#ifndef METASD_PG_SURVEY_CALIBRATION_H
#define METASD_PG_SURVEY_CALIBRATION_H

#include "pg/base/compat.h"

#include "core/model/unlabelled.h"
#include "pg/survey/sweep.h"

typedef struct MetasdCalibration {
    MetasdUnlabelledFit fit;
    float *shift; /* of each relation: added to the keys of its triples */
    /* Samples of candidates, by falling key, for metasd_calibration_key_of; none if not fitted. */
    uint32 count;
    MetasdUnlabelledSample *samples;
} MetasdCalibration;

/* SWEEP has the questions of both sides of all relations. */
extern MetasdCalibration metasd_calibration_fit(const MetasdQuestion *question, MetasdSweep *sweep);

/*
 * A key that somewhat more than K candidates of the whole graph reach, by the sample; not lower
 * than the lowest key of the sample.
 */
extern float metasd_calibration_key_of(const MetasdCalibration *calibration, uint32 k);

#endif
