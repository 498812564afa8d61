/*
 * mask.c - which weights the student keeps: the most salient ones of the source, and of every row
 * some.
 *
 * The keys of saliences (prune.h) are worked out once, into the table of gradients, which is free
 * between two batches; cuts and masks then read them.
 *
 * A row of which nothing is kept has a score of 0 with everything, so that all answers to a
 * question about it tie. Therefore some of a row, its floor, are kept whatever the cut: the most
 * salient ones. They count among the weights that are kept: all together are as many as without
 * them.
 */
#include "core/train/step.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* A weight that no batch has touched has no sum yet: it counts by its magnitude among its like. */
#define LEAST_SUM 1e-20f

/* ---- columns ---- */

/* The sums of squares of one part's columns. */
static MetasdStatus
sum_columns(MetasdState *step, MetasdTeam *team, int part)
{
    const MetasdSlices *slices = &step->entity_slices;
    int each = slices->count / slices->parts;
    double *sums = step->column_sums + (size_t)part * step->width;

    memset(sums, 0, step->width * sizeof(*sums));
    for (uint32_t e = metasd_team_slice_start(slices, part * each);
         e < metasd_team_slice_start(slices, (part + 1) * each); e++) {
        const float *row = step->weights + e * step->width;

        for (size_t j = 0; j < step->width; j++)
            sums[j] += (double)row[j] * (double)row[j];
        METASD_TRY(metasd_team_work(team, 2 * step->width));
    }
    return METASD_OK;
}

/* The sum of squares of column j, in the order of the parts. */
static double
column_sum(const MetasdState *step, size_t j)
{
    double sum = 0;

    for (int part = 0; part < step->entity_slices.parts; part++)
        sum += step->column_sums[(size_t)part * step->width + j];
    return sum;
}

/*
 * x^power for x in 0 .. 1, which may be less than any number there is; rounded as a float is.
 */
static MetasdFactor
power_of(double x, double power)
{
    double result = pow(x, power), exponent;
    MetasdFactor factor = {.exponent = 0};

    if (x > 0 && result < DBL_MIN) {
        exponent = floor(power * log2(x));
        factor.size = (float)exp2(power * log2(x) - exponent);
        factor.exponent = (int)exponent;
    } else
        factor.size = (float)frexp(result, &factor.exponent);
    return factor;
}

/* factors = the columns' norms, over the largest, to the power `alignment`. */
static MetasdStatus
weigh_columns(MetasdState *step, MetasdTeam *team)
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
        step->factors[j] = power_of(most > 0 ? column_sum(step, j) / most : 1, step->alignment / 2);
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

/* A product that is rounded as a float is, unless none can be so small or so large. */
static inline double
times(float a, float b)
{
    float product = a * b;

    return isnormal(product) ? (double)product : (double)a * (double)b;
}

/* The salience of weight i, in column j: what is returned, times 2^*exponent. */
static inline double
salience_of(const MetasdState *step, size_t i, size_t j, int *exponent)
{
    double size = (double)fabsf(step->weights[i]);

    *exponent = 0;
    if (step->salience > 0)
        size = times(fabsf(step->weights[i]), sum_factor(step->sums[i], (float)step->salience));
    if (step->alignment > 0) {
        size *= (double)step->factors[j].size;
        *exponent = step->factors[j].exponent;
    }
    return size;
}

/*
 * The key of a component, whose reals are a stride apart: of the root of their squares' sum, as
 * their parts in what the loss would lose add up. Against the largest of them no square is lost
 * that the sum would show.
 */
static uint32_t
component_key(const MetasdState *step, size_t row, size_t first, size_t stride)
{
    double sizes[METASD_MOST_REALS];
    int exponents[METASD_MOST_REALS], most = INT_MIN;
    size_t n = 0;
    float sum = 0;

    for (size_t j = first; j < step->width; j += stride, n++) {
        int own;

        sizes[n] = salience_of(step, row + j, j, &exponents[n]);
        if (sizes[n] > 0) {
            (void)frexp(sizes[n], &own);
            most = exponents[n] + own > most ? exponents[n] + own : most;
        }
    }
    for (size_t k = 0; k < n && most > INT_MIN; k++) {
        float part = (float)ldexp(sizes[k], exponents[k] - most);

        sum += part * part;
    }
    return sum > 0 ? metasd_prune_key((double)sqrtf(sum), most) : 0;
}

/* Are the reals of a component kept or pruned together? */
static bool
is_joined(const MetasdState *step)
{
    return step->by_component && step->family->reals_per_rank > 1;
}

/* The best of n keys, so many, are to be kept, but for those that are 0. */
static void
raise_best(uint32_t *row, size_t n, int floor)
{
    for (int k = 0; k < floor; k++) {
        size_t best = 0;
        uint32_t most = 0;

        for (size_t j = 0; j < n; j++)
            if (row[j] > most && row[j] < METASD_PRUNE_MUST) {
                best = j;
                most = row[j];
            }
        if (most > 0)
            row[best] |= METASD_PRUNE_MUST;
    }
}

/* The keys of a row of weights, which begins there in the tables. */
static void
weigh_row(const MetasdState *step, size_t at, uint32_t *row)
{
    size_t n = is_joined(step) ? step->width / step->family->reals_per_rank : step->width;

    for (size_t j = 0; j < n; j++) {
        int exponent;
        double size;

        if (n < step->width) {
            row[j] = component_key(step, at, j, n);
            continue;
        }
        size = salience_of(step, at + j, j, &exponent);
        row[j] = metasd_prune_key(size, exponent);
    }
    raise_best(row, n, step->floor);
    for (size_t j = n; j < step->width; j++)
        row[j] = row[j - n];
}

/* keys = the saliences of this member's rows. */
static MetasdStatus
weigh(MetasdState *step, MetasdTeam *team, const MetasdSpan own[2], uint32_t *keys)
{
    if (step->alignment > 0)
        METASD_TRY(weigh_columns(step, team));
    for (int table = 0; table < 2; table++)
        for (size_t at = own[table].first; at < own[table].end; at += step->width) {
            weigh_row(step, at, keys + at);
            METASD_TRY(metasd_team_work(team, 8 * step->width));
        }
    return METASD_OK;
}

/* ---- the mask ---- */

/*
 * Keeps what counts for at least `cut`, and for something, in a run of this member's weights, and
 * what must be kept; the student follows. What is counted is added to.
 */
static MetasdStatus
mask_run(MetasdState *step, MetasdTeam *team, const MetasdSpan *run, const uint32_t *keys,
         uint32_t cut, MetasdMasked *masked)
{
    uint32_t least = cut < 1 ? 1 : cut < METASD_PRUNE_MUST ? cut : METASD_PRUNE_MUST;
    MetasdWalk walk;

    for (walk = metasd_team_walk(team, run, 1, 3); metasd_team_walk_next(&walk);)
        for (size_t i = walk.first; i < walk.end; i++) {
            uint8_t before = step->mask[i], now = keys[i] >= least;

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

MetasdStatus
metasd_mask_take(MetasdState *step, MetasdTeam *team, double sparsity, uint64_t *bins,
                 MetasdMasked *masked)
{
    size_t entities = (size_t)step->entities * step->width;
    size_t all = entities + (size_t)step->relation_rows * step->width;
    uint32_t *keys = (void *)step->gradient, cut;
    MetasdSpan own[2];

    metasd_state_own(step, team, own);
    METASD_TRY(weigh(step, team, own, keys));
    METASD_TRY(metasd_prune_cut(team, keys, all, own, 2, sparsity, bins, &cut));
    *masked = (MetasdMasked){.cut = metasd_prune_size(cut)};
    for (int i = 0; i < 2; i++)
        METASD_TRY(mask_run(step, team, &own[i], keys, cut, masked));
    METASD_TRY(sum_masked(team, bins, masked));
    METASD_TRY(metasd_pattern_build(&step->patterns[0], team, step->mask, &step->sparse[0]));
    METASD_TRY(
        metasd_pattern_build(&step->patterns[1], team, step->mask + entities, &step->sparse[1]));
    return team->barrier(team);
}
