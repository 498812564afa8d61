#include "course.h"

#include <math.h>

bool
metasd_course_guided(const MetasdTrainOptions *options)
{
    return options->step.quiz || options->step.mutual || options->finish > 0;
}

bool
metasd_course_prunes(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->warmup || epoch == options->epochs;
}

double
metasd_course_sparsity(const MetasdTrainOptions *options, int epoch)
{
    int pruned = epoch - options->warmup;

    if (pruned >= options->ramp || epoch == options->epochs)
        return options->sparsity;
    /* Cubic (Zhu and Gupta 2017): quickly at first, while much can go without loss. */
    return options->sparsity * (1.0 - pow(1.0 - (double)pruned / options->ramp, 3));
}

/* Epochs in which the student learns alone: they begin with a mask, so after the warm-up. */
static int
finish_of(const MetasdTrainOptions *options)
{
    int most = options->epochs - options->warmup;

    return most < 0 ? 0 : options->finish < most ? options->finish : most;
}

bool
metasd_course_finishes(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->epochs - finish_of(options);
}

float
metasd_course_rate(const MetasdTrainOptions *options, int epoch)
{
    float from = options->finish_lr > 0 ? options->finish_lr : options->step.lr;

    return metasd_course_finishes(options, epoch)
               ? from * (float)(options->epochs - epoch + 1) / (float)(finish_of(options) + 1)
               : options->step.lr;
}

bool
metasd_course_takes_mask(const MetasdTrainOptions *options, int epoch)
{
    bool stays = options->fixed_mask || metasd_course_finishes(options, epoch);

    return metasd_course_guided(options) && metasd_course_prunes(options, epoch) &&
           (!stays || epoch - options->warmup <= options->ramp || epoch == options->warmup + 1);
}

bool
metasd_course_over(const MetasdTrainOptions *options, const MetasdProgress *progress)
{
    const MetasdEpoch *best = &progress->best;

    return progress->epoch >= options->epochs ||
           (options->patience > 0 && best->epoch > 0 && best->student.n > 0 &&
            progress->epoch - best->epoch >= options->patience);
}
