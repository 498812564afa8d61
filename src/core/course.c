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

bool
metasd_course_begins_finish(const MetasdTrainOptions *options, int epoch)
{
    return finish_of(options) > 0 && epoch == options->epochs - finish_of(options) + 1;
}

/* A rate that falls evenly, where `left` of n equal parts are left. */
static float
falling(float from, int left, int n)
{
    return from * (float)left / (float)n;
}

float
metasd_course_rate(const MetasdTrainOptions *options, int epoch)
{
    float lr = options->step.lr;

    if (metasd_course_finishes(options, epoch))
        return falling(options->finish_lr > 0 ? options->finish_lr : lr,
                       options->epochs - epoch + 1, finish_of(options) + 1);
    if (epoch <= options->warmup && options->warmup_lr > 0)
        return falling(options->warmup_lr, options->warmup - epoch + 1, options->warmup);
    return lr;
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
