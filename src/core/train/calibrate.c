#include "core/train/calibrate.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- the fit ---- */

#define NONE UINT32_MAX
#define LEAST_SLOPE 0.05
#define MOST_STEPS 100
#define TOLERANCE 1e-7
#define BASE_TOLERANCE 1e-5
#define CHANCE_BEFORE 0.05
#define MOST_LOG_STEEP 1.5
#define STEEP_TOLERANCE 1e-3

/* 1 over the variances of relations' slopes and offsets around those of their model. */
#define ROW_SLOPE_WEIGHT 10.0
#define ROW_OFFSET_WEIGHT 2.0

/* Slope and offset, or derivatives by them. */
typedef struct Pair {
    double slope, offset;
} Pair;

/* The prior: normal around `at`, with these inverse variances. */
typedef struct Prior {
    Pair at, weight;
} Prior;

/* Bins of answers, with the base and the steepness found so far. */
typedef struct Sample {
    const MetasdBin *bins;
    double base, steep;
    Prior prior;
} Sample;

/* Minus the logarithm of the posterior at a place, its gradient and expected curvature. */
typedef struct Loss {
    double value;
    Pair gradient;
    double slope2, cross, offset2;
} Loss;

static double
middle_of(const Sample *sample, size_t bin)
{
    return metasd_bent_odds(metasd_bin_odds(bin), sample->steep);
}

/* Probabilities that are not 0, so that they have logarithms. */
static double
likely(double probability)
{
    return fmax(probability, DBL_MIN);
}

static Loss
loss_at(const Sample *sample, Pair at)
{
    const Prior *prior = &sample->prior;
    Pair off = {at.slope - prior->at.slope, at.offset - prior->at.offset};
    Loss loss = {.value = (prior->weight.slope * off.slope * off.slope +
                           prior->weight.offset * off.offset * off.offset) /
                          2,
                 .gradient = {prior->weight.slope * off.slope, prior->weight.offset * off.offset},
                 .slope2 = prior->weight.slope,
                 .offset2 = prior->weight.offset};

    for (size_t i = 0; i < METASD_BINS; i++) {
        double all = (double)sample->bins[i].all, holding = (double)sample->bins[i].holding;
        double x = middle_of(sample, i), z = at.slope * x + at.offset, rest = 1 - sample->base;
        double sigmoid = 1 / (1 + exp(-z)), other = 1 / (1 + exp(z));
        double p = likely(sample->base + rest * sigmoid), q = likely(rest * other);
        double by_z = rest * sigmoid * other, curve = all * (by_z / p) * (by_z / q);
        double slope = (all - holding) * (by_z / q) - holding * (by_z / p);

        if (all == 0)
            continue;
        loss.value -= holding * log(p) + (all - holding) * log(q);
        loss.gradient.slope += slope * x;
        loss.gradient.offset += slope;
        loss.slope2 += curve * x * x;
        loss.cross += curve * x;
        loss.offset2 += curve;
    }
    return loss;
}

/* Newton's step from a place, but not below the least slope. */
static Pair
newton_step(const Loss *loss, Pair at)
{
    double det = loss->slope2 * loss->offset2 - loss->cross * loss->cross;
    Pair step = {(loss->cross * loss->gradient.offset - loss->offset2 * loss->gradient.slope) / det,
                 0};

    if (!(at.slope + step.slope >= LEAST_SLOPE))
        step.slope = LEAST_SLOPE - at.slope;
    step.offset = -(loss->gradient.offset + loss->cross * step.slope) / loss->offset2;
    return step;
}

/* The most likely slope and offset, from those in *best on: steps that fail are halved. */
static void
fit_sigmoid(const Sample *sample, Pair *best)
{
    Loss loss = loss_at(sample, *best), next;
    Pair step = newton_step(&loss, *best);

    for (int i = 0; i < MOST_STEPS && fabs(step.slope) + fabs(step.offset) > TOLERANCE; i++) {
        Pair at = {best->slope + step.slope, best->offset + step.offset};

        next = loss_at(sample, at);
        if (next.value <= loss.value) {
            *best = at;
            loss = next;
            step = newton_step(&loss, *best);
        } else
            step = (Pair){step.slope / 2, step.offset / 2};
    }
}

/*
 * The probability that an answer holds by chance: the sum over the facts of the part of chance in
 * their probability, divided by the number of answers. The prior is one fact more, of which chance
 * has a small part.
 */
static double
base_of(const Sample *sample, Pair at)
{
    double all = 0, facts = 0, by_chance = CHANCE_BEFORE;

    for (size_t i = 0; i < METASD_BINS; i++) {
        double z = at.slope * middle_of(sample, i) + at.offset;
        double p = likely(sample->base + (1 - sample->base) / (1 + exp(-z)));

        all += (double)sample->bins[i].all;
        facts += (double)sample->bins[i].holding;
        by_chance += (double)sample->bins[i].holding * sample->base / p;
    }
    return by_chance / (all + all / fmax(facts, 1));
}

/*
 * Slope and offset from the base, and the base from these (expectation maximisation), in turn.
 * Returns minus the logarithm of how likely they are.
 */
static double
fit_with_base(Sample *sample, Pair *best)
{
    double before = 0;

    *best = sample->prior.at;
    sample->base = 0;
    sample->base = base_of(sample, *best);
    for (int i = 0; i < MOST_STEPS && fabs(sample->base - before) > BASE_TOLERANCE * before; i++) {
        fit_sigmoid(sample, best);
        before = sample->base;
        sample->base = base_of(sample, *best);
    }
    fit_sigmoid(sample, best);
    return loss_at(sample, *best).value;
}

/* The same for a logarithm of steepness, whose prior is normal around 0. */
static double
fit_with_steep(Sample *sample, double log_steep, Pair *best)
{
    sample->steep = exp(log_steep);
    return fit_with_base(sample, best) + log_steep * log_steep / 2;
}

/* The most likely sigmoid of all answers, with golden sections of the range of steepness. */
static MetasdStatus
fit_whole(MetasdTeam *team, Sample *sample, Pair *best)
{
    const double part = 0.6180339887;
    double low = -MOST_LOG_STEEP, high = MOST_LOG_STEEP;
    double a = high - part * (high - low), b = low + part * (high - low);
    double at_a = fit_with_steep(sample, a, best), at_b = fit_with_steep(sample, b, best);

    while (high - low > STEEP_TOLERANCE) {
        if (at_a < at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - part * (high - low);
            at_a = fit_with_steep(sample, a, best);
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + part * (high - low);
            at_b = fit_with_steep(sample, b, best);
        }
        METASD_TRY(metasd_team_work(team, MOST_STEPS * METASD_BINS));
    }
    (void)fit_with_steep(sample, (low + high) / 2, best);
    return METASD_OK;
}

static MetasdSigmoid
sigmoid_of(const Sample *sample, Pair pair)
{
    return (MetasdSigmoid){.slope = (float)pair.slope,
                           .offset = (float)pair.offset,
                           .base = (float)sample->base,
                           .steep = (float)sample->steep};
}

/* ---- the answers ---- */

void
metasd_calibrate_take(MetasdCalibration *calibration, MetasdArena *arena, uint32_t rows,
                      size_t most, size_t facts)
{
    size_t own = facts / METASD_OWN_FACTS < rows ? facts / METASD_OWN_FACTS : rows, bins;

    if (__builtin_mul_overflow(own, METASD_BINS, &bins))
        arena->overflowed = true;
    *calibration = (MetasdCalibration){.rows = rows,
                                       .most = most,
                                       .most_own = (uint32_t)own,
                                       .place = METASD_TAKE(arena, uint32_t, rows),
                                       .facts = METASD_TAKE(arena, uint64_t, rows),
                                       .whole_bins = METASD_TAKE(arena, MetasdBin, METASD_BINS),
                                       .own_bins = METASD_TAKE(arena, MetasdBin, bins),
                                       .each = METASD_TAKE(arena, MetasdSigmoid, rows),
                                       .whole = metasd_uncalibrated};
    for (uint32_t row = 0; calibration->facts && row < rows; row++) {
        calibration->place[row] = NONE;
        calibration->facts[row] = 0;
    }
    if (calibration->whole_bins)
        memset(calibration->whole_bins, 0, METASD_BINS * sizeof(MetasdBin));
}

void
metasd_calibrate_expect(MetasdCalibration *calibration, uint32_t row, size_t facts)
{
    uint32_t place = calibration->own;

    if (facts < METASD_OWN_FACTS || place == calibration->most_own)
        return;
    calibration->place[row] = calibration->own++;
    memset(calibration->own_bins + place * METASD_BINS, 0, METASD_BINS * sizeof(MetasdBin));
}

void
metasd_calibrate_add(MetasdCalibration *calibration, uint32_t row, const uint32_t all[METASD_BINS],
                     const uint32_t holding[METASD_BINS])
{
    MetasdBin *own = calibration->place[row] == NONE
                         ? NULL
                         : calibration->own_bins + calibration->place[row] * METASD_BINS;

    for (size_t i = 0; i < METASD_BINS; i++) {
        calibration->whole_bins[i].all += all[i];
        calibration->whole_bins[i].holding += holding[i];
        calibration->facts[row] += holding[i];
        if (own) {
            own[i].all += all[i];
            own[i].holding += holding[i];
        }
    }
    calibration->asked++;
}

bool
metasd_calibrate_is_own(const MetasdCalibration *calibration, uint32_t row)
{
    return calibration->place[row] != NONE && calibration->facts[row] >= METASD_OWN_FACTS;
}

MetasdStatus
metasd_calibrate(MetasdCalibration *calibration, MetasdTeam *team)
{
    Sample sample = {.bins = calibration->whole_bins, .prior = {.at = {1, 0}, .weight = {1, 1}}};
    Pair whole, pair;

    if (calibration->asked > 0) {
        METASD_TRY(fit_whole(team, &sample, &whole));
        calibration->whole = sigmoid_of(&sample, whole);
    }
    for (uint32_t row = 0; row < calibration->rows; row++) {
        calibration->each[row] = calibration->whole;
        if (metasd_calibrate_is_own(calibration, row)) {
            sample.bins = calibration->own_bins + calibration->place[row] * METASD_BINS;
            sample.prior = (Prior){.at = whole, .weight = {ROW_SLOPE_WEIGHT, ROW_OFFSET_WEIGHT}};
            pair = whole;
            fit_sigmoid(&sample, &pair);
            calibration->each[row] = sigmoid_of(&sample, pair);
            METASD_TRY(metasd_team_work(team, MOST_STEPS * METASD_BINS));
        }
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* ---- how far the probabilities hold ---- */

/* Adds the answers of a bin to the tenth of their probability, or takes them off. */
static void
count_bin(MetasdTenth tenths[10], MetasdSigmoid sigmoid, size_t bin, MetasdBin answers, int by)
{
    double probability = metasd_probability(sigmoid, metasd_bin_odds(bin));
    int tenth = (int)(10 * probability);
    MetasdTenth *of = &tenths[tenth < 10 ? tenth : 9];

    if (by < 0) {
        of->all -= answers.all;
        of->holding -= answers.holding;
    } else {
        of->all += answers.all;
        of->holding += answers.holding;
    }
    of->claimed += by * (double)answers.all * probability;
}

/* Rows with a sigmoid of their own are counted as the whole first, and then moved. */
MetasdStatus
metasd_calibrate_tenths(const MetasdCalibration *calibration, MetasdTeam *team,
                        MetasdTenth tenths[10])
{
    memset(tenths, 0, 10 * sizeof(*tenths));
    for (size_t i = 0; i < METASD_BINS; i++)
        count_bin(tenths, calibration->whole, i, calibration->whole_bins[i], 1);
    for (uint32_t row = 0; row < calibration->rows; row++) {
        const MetasdBin *own;

        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
        if (!metasd_calibrate_is_own(calibration, row))
            continue;
        own = calibration->own_bins + calibration->place[row] * METASD_BINS;
        for (size_t i = 0; i < METASD_BINS; i++)
            if (own[i].all > 0) {
                count_bin(tenths, calibration->whole, i, own[i], -1);
                count_bin(tenths, calibration->each[row], i, own[i], 1);
            }
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK * METASD_BINS));
    }
    for (int t = 0; t < 10; t++) /* what rounding leaves of sums that cancel */
        if (!(tenths[t].claimed >= 0) || tenths[t].all == 0)
            tenths[t].claimed = 0;
    return METASD_OK;
}
