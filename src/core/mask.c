/*
 * mask.c - which weights the student keeps: the most salient ones of the source.
 *
 * Salience is worked out once, into the table of gradients, which is free between two batches; cuts
 * and masks then read it. As published it is the magnitude of a real number, which needs no table
 * of its own.
 */
#include "step.h"

#include <math.h>
#include <string.h>

/* A weight that no batch has touched has no sum yet: it counts by its magnitude among its like. */
#define LEAST_SUM 1e-20f

/* ---- columns ---- */

/* The sums of squares of one part's columns. */
static MetasdStatus
sum_columns(MetasdStep *step, MetasdTeam *team, int part)
{
    const MetasdSlices *slices = &step->entity_slices;
    int each = slices->count / slices->parts;
    double *sums = step->column_sums + (size_t)part * step->width;

    memset(sums, 0, step->width * sizeof(*sums));
    for (uint32_t e = metasd_slice_start(slices, part * each);
         e < metasd_slice_start(slices, (part + 1) * each); e++) {
        const float *row = step->weights + e * step->width;

        for (size_t j = 0; j < step->width; j++)
            sums[j] += (double)row[j] * (double)row[j];
        METASD_TRY(metasd_team_work(team, 2 * step->width));
    }
    return METASD_OK;
}

/* The sum of squares of column j, in the order of the parts. */
static double
column_sum(const MetasdStep *step, size_t j)
{
    double sum = 0;

    for (int part = 0; part < step->entity_slices.parts; part++)
        sum += step->column_sums[(size_t)part * step->width + j];
    return sum;
}

/* factors = the columns' norms, over the largest, to the power `alignment`. */
static MetasdStatus
weigh_columns(MetasdStep *step, MetasdTeam *team)
{
    size_t first, end;
    double most = 0;

    metasd_team_share(team, (size_t)step->entity_slices.parts, &first, &end);
    for (size_t part = first; part < end; part++)
        METASD_TRY(sum_columns(step, team, (int)part));
    METASD_TRY(team->barrier(team));
    for (size_t j = 0; j < step->width; j++)
        most = fmax(most, column_sum(step, j));
    metasd_team_share(team, step->width, &first, &end);
    for (size_t j = first; j < end; j++) {
        double part = most > 0 ? column_sum(step, j) / most : 1;

        step->factors[j] = (float)pow(part, step->alignment / 2);
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return team->barrier(team);
}

/* ---- salience ---- */

/* s^(power / 2); roots where they do, which are ten times as fast. */
static inline float
sum_factor(float sum, float power)
{
    sum += LEAST_SUM;
    if (power == 0.5f)
        return sqrtf(sqrtf(sum));
    return power == 1.0f ? sqrtf(sum) : powf(sum, 0.5f * power);
}

/* gradient = salience, of this member's rows. */
static MetasdStatus
weigh(MetasdStep *step, MetasdTeam *team, const MetasdRun own[2])
{
    float power = (float)step->salience;
    MetasdWalk walk;

    if (step->alignment > 0)
        METASD_TRY(weigh_columns(step, team));
    for (walk = metasd_walk(team, own, 2, 8); metasd_walk_next(&walk);)
        for (size_t i = walk.first, j = i % step->width; i < walk.end; i++) {
            float salience = fabsf(step->weights[i]);

            if (power > 0)
                salience *= sum_factor(step->sums[i], power);
            if (step->alignment > 0)
                salience *= step->factors[j];
            step->gradient[i] = salience;
            j = j + 1 < step->width ? j + 1 : 0;
        }
    return walk.status;
}

/*
 * The reals of a component share the root of their squares' sum, of this member's rows: their parts
 * in what the loss would lose add up.
 */
static MetasdStatus
join_components(MetasdStep *step, MetasdTeam *team, const MetasdRun own[2])
{
    size_t reals = step->family->reals, d = step->width / reals;

    for (int table = 0; table < 2; table++)
        for (size_t at = own[table].first; at < own[table].end; at += step->width) {
            float *row = step->gradient + at;

            for (size_t j = 0; j < d; j++) {
                float sum = 0;

                for (size_t i = j; i < step->width; i += d)
                    sum += row[i] * row[i];
                for (size_t i = j; i < step->width; i += d)
                    row[i] = sqrtf(sum);
            }
            METASD_TRY(metasd_team_work(team, 2 * step->width));
        }
    return METASD_OK;
}

/*
 * Keeps what counts for at least `cut` in a run of this member's weights; the student follows. What
 * is counted is added to.
 */
static MetasdStatus
mask_run(MetasdStep *step, MetasdTeam *team, const MetasdRun *run, const float *salience, float cut,
         MetasdMasked *masked)
{
    MetasdWalk walk;

    for (walk = metasd_walk(team, run, 1, 3); metasd_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            uint8_t before = step->mask[i], now = fabsf(salience[i]) >= cut;

            step->mask[i] = now;
            step->student[i] = now ? step->weights[i] : 0.0f;
            masked->kept += now;
            masked->came += now > before;
            masked->went += now < before;
        }
    return walk.status;
}

/* What all members have counted. The bins are free: all have found the cuts. With barriers. */
static MetasdStatus
sum_masked(MetasdTeam *team, uint64_t *bins, MetasdMasked *masked)
{
    uint64_t *mine = bins + (size_t)team->rank * METASD_PRUNE_BINS;

    mine[0] = masked->kept;
    mine[1] = masked->came;
    mine[2] = masked->went;
    METASD_TRY(team->barrier(team));
    masked->kept = masked->came = masked->went = 0;
    for (int member = 0; member < team->size; member++) {
        const uint64_t *one = bins + (size_t)member * METASD_PRUNE_BINS;

        masked->kept += one[0];
        masked->came += one[1];
        masked->went += one[2];
    }
    return team->barrier(team);
}

/* ---- the mask ---- */

MetasdStatus
metasd_step_prune(MetasdStep *step, MetasdTeam *team, double sparsity, uint64_t *bins,
                  MetasdMasked *masked)
{
    size_t entities = (size_t)step->entities * step->width;
    size_t relations = (size_t)step->relation_rows * step->width;
    const float *salience = step->weights;
    bool joined = step->by_component && step->family->reals > 1;
    MetasdRun own[2];
    float cuts[2];

    metasd_step_own(step, team, own);
    if (step->salience > 0 || step->alignment > 0 || joined) {
        METASD_TRY(weigh(step, team, own));
        salience = step->gradient;
    }
    if (joined)
        METASD_TRY(join_components(step, team, own));
    if (step->apart) {
        METASD_TRY(
            metasd_prune_cut(team, salience, entities, &own[0], 1, sparsity, bins, &cuts[0]));
        METASD_TRY(
            metasd_prune_cut(team, salience, relations, &own[1], 1, sparsity, bins, &cuts[1]));
    } else {
        METASD_TRY(metasd_prune_cut(team, salience, entities + relations, own, 2, sparsity, bins,
                                    &cuts[0]));
        cuts[1] = cuts[0];
    }
    *masked = (MetasdMasked){.cut = cuts[0]};
    for (int i = 0; i < 2; i++)
        METASD_TRY(mask_run(step, team, &own[i], salience, cuts[i], masked));
    METASD_TRY(sum_masked(team, bins, masked));
    METASD_TRY(metasd_pattern_build(&step->patterns[0], team, step->mask, &step->sparse[0]));
    METASD_TRY(
        metasd_pattern_build(&step->patterns[1], team, step->mask + entities, &step->sparse[1]));
    return team->barrier(team);
}
