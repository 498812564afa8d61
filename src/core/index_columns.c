/* index_columns.c - the entities' weights by dimensions: which are columns, codes, lists. */
#include <math.h>
#include <string.h>

#include "codec.h"
#include "index_parts.h"
#include "postings.h"

/* ---- codes ---- */

/* What the codes of a row count: a weight is `step` x its code, which is a whole number or not. */
typedef struct Step {
    double step;
    bool whole;
} Step;

/* Rows of B bits are odd multiples, up to this, of a fraction of their largest weight (codec.h). */
#define INT6_MOST 63
#define INT8_MOST 255

/* Halves of a row are a power of two x what a half has, its largest from 2^15 on. */
#define HALF_POWER 15

static bool
are_whole(const float *values, uint64_t n, double step, int most)
{
    double per_step = 1 / step;

    for (uint64_t i = 0; i < n; i++) {
        double magnitude = fabs((double)values[i]);
        double steps = magnitude * per_step;
        int code = (int)(steps < most ? steps + 0.5 : most);

        if ((float)(code * step) != (float)magnitude)
            return false;
    }
    return true;
}

/* The step of a row of integers up to MOST, the largest of which is `high`. */
static bool
find_whole(const float *values, uint64_t n, float high, int most, Step *step)
{
    *step = (Step){.step = (double)high / most, .whole = true};
    if (are_whole(values, n, step->step, most))
        return true;
    step->step = (double)METASD_LEAST_SCALE / most;
    return high < METASD_LEAST_SCALE && are_whole(values, n, step->step, most);
}

static bool
find_power(const float *values, uint64_t n, float high, Step *step)
{
    *step = (Step){.step = ldexp(1, ilogb((double)high) - HALF_POWER)};
    for (uint64_t i = 0; i < n; i++)
        if (metasd_half_of((float)((double)values[i] / step->step)) == UINT16_MAX)
            return false;
    return step->step >= 0x1p-126;
}

/* How the codes of that kind hold a row exactly; false if they do not. */
static bool
find_step(const float *values, uint64_t n, MetasdCodes codes, Step *step)
{
    float high = 0;

    for (uint64_t i = 0; i < n; i++)
        high = fmaxf(high, fabsf(values[i]));
    *step = (Step){.step = 1};
    if (high == 0 || codes == METASD_CODES_FLOAT)
        return true;
    if (find_whole(values, n, high, INT6_MOST, step))
        return true;
    return codes == METASD_CODES_HALF &&
           (find_whole(values, n, high, INT8_MOST, step) || find_power(values, n, high, step));
}

static Step
step_of_row(const MetasdIndex *index, uint32_t entity)
{
    const MetasdSparse *rows = &index->entity;
    uint64_t start = rows->start[entity];
    Step step;

    (void)find_step(rows->values + start, rows->start[entity + 1] - start, index->plan.codes,
                    &step);
    return step;
}

static void
set_code(MetasdIndex *index, uint64_t at, Step step, float weight)
{
    double code = (double)weight / step.step;

    if (step.whole)
        code = rint(code);
    if (index->plan.codes == METASD_CODES_INT8)
        ((int8_t *)index->dimension.codes)[at] = (int8_t)code;
    else if (index->plan.codes == METASD_CODES_HALF)
        ((uint16_t *)index->dimension.codes)[at] = metasd_half_of((float)code);
    else
        ((float *)index->dimension.codes)[at] = (float)code;
}

/* ---- building ---- */

/* counts[j] = entities that keep dimension j */
static MetasdStatus
count_dimensions(const MetasdIndex *index, uint32_t *counts, MetasdTeam *team)
{
    memset(counts, 0, index->plan.width * sizeof(*counts));
    for (uint64_t i = 0; i < index->plan.entity_kept; i++) {
        counts[index->entity.ids[i]]++;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

static bool
is_column(const MetasdIndexPlan *plan, uint32_t count)
{
    return count > 0 && count >= METASD_INDEX_DENSE * plan->entities;
}

/* The narrowest codes for all rows: what holds those of one kind holds narrower ones as well. */
static MetasdStatus
choose_codes(const MetasdIndex *index, MetasdCodes *codes, MetasdTeam *team)
{
    const MetasdSparse *rows = &index->entity;

    *codes = METASD_CODES_INT8;
    for (uint32_t e = 0; e < index->plan.entities; e++) {
        uint64_t start = rows->start[e], n = rows->start[e + 1] - start;
        Step step;

        while (!find_step(rows->values + start, n, *codes, &step))
            ++*codes;
        METASD_TRY(metasd_team_work(team, 1 + n));
    }
    return METASD_OK;
}

MetasdStatus
metasd_choose_columns(const MetasdIndex *index, MetasdIndexPlan *plan, uint32_t *counts,
                      MetasdTeam *team)
{
    METASD_TRY(count_dimensions(index, counts, team));
    for (uint32_t j = 0; j < plan->width; j++)
        if (is_column(plan, counts[j])) {
            plan->columns++;
            plan->column_kept += counts[j];
        }
    return plan->columns > 0 ? choose_codes(index, &plan->codes, team) : METASD_OK;
}

/*
 * Columns and lists get their places; start[l + 1] is then where the next entity of list l goes,
 * and in the end where it ends.
 */
static void
place_dimensions(MetasdIndex *index)
{
    MetasdDimensions *dimensions = &index->dimension;
    const MetasdIndexPlan *plan = &index->plan;
    uint32_t columns = 0, lists = 0;
    uint64_t sum = 0;

    for (uint32_t j = 0; j < plan->width; j++) {
        uint32_t count = dimensions->place[j];

        if (plan->columns > 0 && is_column(plan, count))
            dimensions->place[j] = columns++;
        else {
            dimensions->place[j] = plan->columns + lists++;
            dimensions->start[lists] = sum;
            sum += count;
        }
    }
}

MetasdStatus
metasd_fill_dimensions(MetasdIndex *index, MetasdTeam *team)
{
    const MetasdSparse *rows = &index->entity;
    MetasdDimensions *dimensions = &index->dimension;
    uint64_t columns = index->plan.columns, words = dimensions->words;

    METASD_TRY(count_dimensions(index, dimensions->place, team));
    place_dimensions(index);
    for (uint64_t e = 0; e < words * METASD_WORD; e++)
        dimensions->scales[e] = 1;
    for (uint32_t e = 0; e < index->plan.entities; e++) {
        uint64_t word = e / METASD_WORD, bit = e % METASD_WORD;
        Step step = {.step = 1};

        if (columns > 0)
            step = step_of_row(index, e);
        dimensions->scales[e] = (float)step.step;
        for (uint64_t i = rows->start[e]; i < rows->start[e + 1]; i++) {
            uint64_t place = dimensions->place[rows->ids[i]], list = place - columns;

            if (place < columns) {
                set_code(index, (word * columns + place) * METASD_WORD + bit, step,
                         rows->values[i]);
                continue;
            }
            dimensions->bits[list * words + word] |= UINT64_C(1) << bit;
            dimensions->values[dimensions->start[list + 1]++] = rows->values[i];
        }
        METASD_TRY(metasd_team_work(team, 1 + rows->start[e + 1] - rows->start[e]));
    }
    return METASD_OK;
}

/* ---- checking ---- */

static MetasdStatus
check_places(const MetasdIndex *index)
{
    uint32_t columns = 0, lists = 0;

    for (uint32_t j = 0; j < index->plan.width; j++) {
        uint32_t place = index->dimension.place[j];

        if (place < index->plan.columns ? place != columns++
                                        : place != index->plan.columns + lists++)
            return METASD_CORRUPT;
    }
    return columns == index->plan.columns ? METASD_OK : METASD_CORRUPT;
}

static MetasdStatus
check_lists(const MetasdIndex *index, MetasdTeam *team)
{
    const MetasdDimensions *lists = &index->dimension;
    uint64_t words = lists->words, last = index->plan.entities % METASD_WORD;
    uint64_t beyond = last > 0 ? ~UINT64_C(0) << last : 0;

    if (lists->start[0] != 0 || lists->start[lists->lists] != lists->kept)
        return METASD_CORRUPT;
    for (uint64_t l = 0; l < lists->lists; l++) {
        uint64_t set = 0;

        for (uint64_t w = 0; w < words; w++)
            set += (uint64_t)__builtin_popcountll(lists->bits[l * words + w]);
        if (lists->start[l] > lists->start[l + 1] || set != lists->start[l + 1] - lists->start[l] ||
            (words > 0 && (lists->bits[l * words + words - 1] & beyond) != 0))
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1 + words));
    }
    for (uint64_t i = 0; i < lists->kept; i++) {
        if (!metasd_weight_ok(lists->values[i]))
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

/* Any int8 will do; a half must be finite, and a float is a weight or 0. */
static MetasdStatus
check_codes(const MetasdIndex *index, MetasdTeam *team)
{
    const MetasdDimensions *dimensions = &index->dimension;
    uint64_t entities = dimensions->words * METASD_WORD, codes = entities * index->plan.columns;

    for (uint64_t e = 0; e < entities; e++)
        if (!(dimensions->scales[e] > 0 && dimensions->scales[e] <= METASD_INDEX_MAX_WEIGHT))
            return METASD_CORRUPT;
    for (uint64_t i = 0; i < codes && index->plan.codes != METASD_CODES_INT8; i += METASD_WORD) {
        int wrong = 0;

        for (uint64_t k = i; k < i + METASD_WORD; k++)
            wrong |=
                index->plan.codes == METASD_CODES_HALF
                    ? (((const uint16_t *)dimensions->codes)[k] & 0x7c00) == 0x7c00
                    : !(fabsf(((const float *)dimensions->codes)[k]) <= METASD_INDEX_MAX_WEIGHT);
        if (wrong)
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, METASD_WORD));
    }
    return METASD_OK;
}

MetasdStatus
metasd_check_dimensions(const MetasdIndex *index, MetasdTeam *team)
{
    METASD_TRY(check_places(index));
    METASD_TRY(check_lists(index, team));
    return check_codes(index, team);
}
