#include "calibrate.h"

#include <float.h>
#include <math.h>

#include "kernels.h"

/* ---- the odds of a question's candidates ---- */

void
metasd_field_start(MetasdField *field, size_t n, const float *scores)
{
    *field = (MetasdField){.n = n, .scores = scores};
}

void
metasd_field_show(MetasdField *field, float score, bool known)
{
    size_t place = field->seen++;

    if (!field->found) {
        field->above = place;
        if (known)
            return;
        field->found = true;
        field->first = score;
        /* Each of those above, all known, is exactly 1 in the sum: nothing cancels. */
        field->sum = metasd_exp_sum(field->n, field->scores, score) - (double)field->above;
    } else if (known && place < METASD_FIELD_KNOWN)
        field->sum -= exp((double)score - (double)field->first);
}

double
metasd_field_odds(const MetasdField *field, float score)
{
    double mine = exp((double)score - (double)field->first), others = field->sum - mine;
    double odds = (double)score - (double)field->first - log(others > DBL_MIN ? others : DBL_MIN);

    return fmin(fmax(odds, -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

/* ---- from odds to probability ---- */

bool
metasd_sigmoid_ok(MetasdSigmoid sigmoid)
{
    return sigmoid.slope > 0 && sigmoid.slope <= FLT_MAX && fabsf(sigmoid.offset) <= FLT_MAX;
}

double
metasd_probability(MetasdSigmoid sigmoid, double odds)
{
    return 1 / (1 + exp(-((double)sigmoid.slope * odds + (double)sigmoid.offset)));
}

/* ---- fitting ---- */

#define NONE UINT32_MAX
#define LEAST_SLOPE 0.05
#define MOST_STEPS 100
#define TOLERANCE 1e-7

/* 1 over the variances of relations' slopes and offsets around those of their model. */
#define ROW_SLOPE_WEIGHT 10.0
#define ROW_OFFSET_WEIGHT 2.0

/* Slope and offset; and by them. */
typedef struct Pair {
    double slope, offset;
} Pair;

/* What is believed before the examples: normal around `at`, with these inverse variances. */
typedef struct Prior {
    Pair at, weight;
} Prior;

/* Minus the logarithm of the posterior at a place, and its derivatives. */
typedef struct Loss {
    double value;
    Pair gradient;
    double slope2, cross, offset2;
} Loss;

static MetasdStatus
loss_at(MetasdTeam *team, const MetasdExample *examples, uint32_t head, const Prior *prior, Pair at,
        Loss *loss)
{
    Pair off = {at.slope - prior->at.slope, at.offset - prior->at.offset};

    *loss = (Loss){.value = (prior->weight.slope * off.slope * off.slope +
                             prior->weight.offset * off.offset * off.offset) /
                            2,
                   .gradient = {prior->weight.slope * off.slope, prior->weight.offset * off.offset},
                   .slope2 = prior->weight.slope,
                   .offset2 = prior->weight.offset};
    for (uint32_t i = head; i != NONE; i = examples[i].next) {
        double x = (double)examples[i].odds, z = at.slope * x + at.offset;
        double p = 1 / (1 + exp(-z)), miss = p - examples[i].holds, curve = p * (1 - p);

        loss->value += fmax(z, 0) - examples[i].holds * z + log1p(exp(-fabs(z)));
        loss->gradient.slope += miss * x;
        loss->gradient.offset += miss;
        loss->slope2 += curve * x * x;
        loss->cross += curve * x;
        loss->offset2 += curve;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
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

/*
 * The most likely sigmoid by the examples of a chain. The loss is convex: steps that fail are
 * halved.
 */
static MetasdStatus
fit(MetasdTeam *team, const MetasdExample *examples, uint32_t head, const Prior *prior, Pair *best)
{
    Loss loss, next;
    Pair step;

    *best = prior->at;
    METASD_TRY(loss_at(team, examples, head, prior, *best, &loss));
    step = newton_step(&loss, *best);
    for (int i = 0; i < MOST_STEPS && fabs(step.slope) + fabs(step.offset) > TOLERANCE; i++) {
        Pair at = {best->slope + step.slope, best->offset + step.offset};

        METASD_TRY(loss_at(team, examples, head, prior, at, &next));
        if (next.value <= loss.value) {
            *best = at;
            loss = next;
            step = newton_step(&loss, *best);
        } else
            step = (Pair){step.slope / 2, step.offset / 2};
    }
    return METASD_OK;
}

static MetasdSigmoid
sigmoid_of(Pair pair)
{
    return (MetasdSigmoid){.slope = (float)pair.slope, .offset = (float)pair.offset};
}

void
metasd_calibration_take(MetasdCalibration *calibration, MetasdArena *arena, uint32_t rows,
                        size_t most)
{
    if (most >= NONE)
        arena->overflowed = true;
    *calibration = (MetasdCalibration){.rows = rows,
                                       .most = most,
                                       .examples = METASD_TAKE(arena, MetasdExample, most),
                                       .questions = METASD_TAKE(arena, uint32_t, rows),
                                       .head = METASD_TAKE(arena, uint32_t, rows),
                                       .each = METASD_TAKE(arena, MetasdSigmoid, rows),
                                       .whole = metasd_uncalibrated};
    for (uint32_t row = 0; calibration->questions && row < rows; row++)
        calibration->questions[row] = 0;
}

/* Chains the examples of each row, in their order. */
static MetasdStatus
chain_rows(MetasdCalibration *calibration, MetasdTeam *team)
{
    MetasdExample *examples = calibration->examples;

    for (uint32_t row = 0; row < calibration->rows; row++)
        calibration->head[row] = NONE;
    for (size_t i = calibration->count; i-- > 0;) {
        uint32_t *head = &calibration->head[examples[i].row];

        examples[i].next = *head;
        *head = (uint32_t)i;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

MetasdStatus
metasd_calibrate(MetasdCalibration *calibration, MetasdTeam *team)
{
    Prior prior = {.at = {1, 0}, .weight = {1, 1}};
    MetasdExample *examples = calibration->examples;
    size_t n = calibration->count;
    Pair pair;

    for (size_t i = 0; i < n; i++)
        examples[i].next = i + 1 < n ? (uint32_t)(i + 1) : NONE;
    METASD_TRY(fit(team, examples, n > 0 ? 0 : NONE, &prior, &pair));
    calibration->whole = sigmoid_of(pair);
    METASD_TRY(chain_rows(calibration, team));
    prior = (Prior){.at = pair, .weight = {ROW_SLOPE_WEIGHT, ROW_OFFSET_WEIGHT}};
    for (uint32_t row = 0; row < calibration->rows; row++) {
        calibration->each[row] = calibration->whole;
        if (metasd_is_own(calibration, row)) {
            METASD_TRY(fit(team, examples, calibration->head[row], &prior, &pair));
            calibration->each[row] = sigmoid_of(pair);
        }
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}
