#include "core/train/phases.h"

#include <math.h>

bool
metasd_phases_has_student(const MetasdTrainOptions *options)
{
    return options->step.quiz || options->step.mutual || options->finetune > 0;
}

bool
metasd_phases_prunes(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->warmup || epoch == options->epochs;
}

double
metasd_phases_sparsity(const MetasdTrainOptions *options, int epoch)
{
    int pruned = epoch - options->warmup;

    if (pruned >= options->ramp || epoch == options->epochs)
        return options->sparsity;
    /* Cubic (Zhu and Gupta 2017): quickly at first, while much can go without loss. */
    return options->sparsity * (1.0 - pow(1.0 - (double)pruned / options->ramp, 3));
}

/* Epochs of fine-tuning: they begin with a mask, so after the warm-up. */
static int
finetune_of(const MetasdTrainOptions *options)
{
    int most = options->epochs - options->warmup;

    return most < 0 ? 0 : options->finetune < most ? options->finetune : most;
}

bool
metasd_phases_finetunes(const MetasdTrainOptions *options, int epoch)
{
    return epoch > options->epochs - finetune_of(options);
}

bool
metasd_phases_has_full(const MetasdTrainOptions *options, int epoch)
{
    if (!metasd_phases_finetunes(options, epoch))
        return true;
    return options->sparsity > 0 && !metasd_phases_finetunes(options, 1);
}

/* The last of so many equal parts of fine-tuning sees rounded weights. */
#define ROUNDING_PART 4

bool
metasd_phases_rounds(const MetasdTrainOptions *options, int epoch)
{
    int last = (finetune_of(options) + ROUNDING_PART - 1) / ROUNDING_PART;

    return options->storage != METASD_FLOAT32 && epoch > options->epochs - last;
}

/* A rate that falls evenly, where `left` of n equal parts are left. */
static float
falling_rate(float from, int left, int n)
{
    return from * (float)left / (float)n;
}

float
metasd_phases_rate(const MetasdTrainOptions *options, int epoch)
{
    float lr = options->step.lr;

    if (metasd_phases_finetunes(options, epoch))
        return falling_rate(options->finetune_lr > 0 ? options->finetune_lr : lr,
                            options->epochs - epoch + 1, finetune_of(options) + 1);
    if (epoch <= options->warmup && options->warmup_lr > 0)
        return falling_rate(options->warmup_lr, options->warmup - epoch + 1, options->warmup);
    return lr;
}

bool
metasd_phases_takes_mask(const MetasdTrainOptions *options, int epoch)
{
    bool finetunes = metasd_phases_finetunes(options, epoch);

    return metasd_phases_has_student(options) && metasd_phases_prunes(options, epoch) &&
           (!finetunes || epoch - options->warmup <= options->ramp || epoch == options->warmup + 1);
}
