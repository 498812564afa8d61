#include "core/serve/transpose.h"

#include <math.h>
#include <string.h>

#include "core/serve/image_internal.h"
#include "core/serve/postings.h"

/* ---- building ---- */

static void
set_code(MetasdImage *image, uint64_t at, float scale, float weight)
{
    double code = rint((double)weight / (double)scale); /* it is near a whole number */

    if (image->plan.codes == METASD_CODES_INT8)
        ((uint8_t *)image->dimension.codes)[at] = (uint8_t)(METASD_CODE_ZERO + (int)code);
    else
        ((float *)image->dimension.codes)[at] = weight;
}

/* counts[j] = entities that keep dimension j */
static MetasdStatus
count_dimensions(const MetasdImage *image, uint32_t *counts, MetasdTeam *team)
{
    memset(counts, 0, image->plan.width * sizeof(*counts));
    for (uint64_t i = 0; i < image->plan.entity_kept; i++) {
        counts[image->entity.ids[i]]++;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

static bool
is_column(const MetasdImagePlan *plan, uint32_t count)
{
    return count > 0 && count >= METASD_IMAGE_DENSE * plan->entities;
}

MetasdStatus
metasd_transpose_choose_columns(const MetasdImage *image, MetasdImagePlan *plan, uint32_t *counts,
                                MetasdTeam *team)
{
    METASD_TRY(count_dimensions(image, counts, team));
    for (uint32_t j = 0; j < plan->width; j++)
        if (is_column(plan, counts[j])) {
            plan->columns++;
            plan->column_kept += counts[j];
        }
    return METASD_OK;
}

/*
 * Gives columns and lists their places. start[l + 1] then is the place of the next entity of list
 * l, and when all have been added the end of the list.
 */
static void
place_dimensions(MetasdImage *image)
{
    MetasdDimensions *dimensions = &image->dimension;
    const MetasdImagePlan *plan = &image->plan;
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
metasd_transpose_fill(MetasdImage *image, MetasdTeam *team)
{
    const MetasdSparse *rows = &image->entity;
    MetasdDimensions *dimensions = &image->dimension;
    uint64_t columns = image->plan.columns, words = dimensions->words;

    METASD_TRY(count_dimensions(image, dimensions->place, team));
    place_dimensions(image);
    if (image->plan.codes == METASD_CODES_INT8)
        memset(dimensions->codes, METASD_CODE_ZERO, words * columns * METASD_WORD);
    for (uint64_t e = 0; e < words * METASD_WORD && image->plan.codes == METASD_CODES_FLOAT; e++)
        image->scales[e] = 1;
    for (uint32_t e = 0; e < image->plan.entities; e++) {
        uint64_t word = e / METASD_WORD, bit = e % METASD_WORD;

        for (uint64_t i = rows->start[e]; i < rows->start[e + 1]; i++) {
            uint64_t place = dimensions->place[rows->ids[i]], list = place - columns;

            if (place < columns) {
                set_code(image, (word * columns + place) * METASD_WORD + bit, image->scales[e],
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
check_places(const MetasdImage *image)
{
    uint32_t columns = 0, lists = 0;

    for (uint32_t j = 0; j < image->plan.width; j++) {
        uint32_t place = image->dimension.place[j];

        if (place < image->plan.columns ? place != columns++
                                        : place != image->plan.columns + lists++)
            return METASD_CORRUPT;
    }
    return columns == image->plan.columns ? METASD_OK : METASD_CORRUPT;
}

static MetasdStatus
check_lists(const MetasdImage *image, MetasdTeam *team)
{
    const MetasdDimensions *lists = &image->dimension;
    uint64_t words = lists->words, last = image->plan.entities % METASD_WORD;
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

/* The rounding of a weight to float, beyond which scale x code must not exceed the bound. */
#define ROUNDING 1.000001

static MetasdStatus
check_scales(const MetasdImage *image, MetasdTeam *team)
{
    uint64_t entities = image->dimension.words * METASD_WORD;

    for (uint64_t e = 0; e < entities; e++) {
        float scale = image->scales[e];

        if (!(scale > 0 && scale <= METASD_IMAGE_MAX_WEIGHT) ||
            (image->plan.codes == METASD_CODES_FLOAT && scale != 1))
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

/* The magnitude of a code, of whichever type they are. */
static inline float
code_magnitude(const MetasdImage *image, uint64_t at)
{
    const void *codes = image->dimension.codes;

    return fabsf(image->plan.codes == METASD_CODES_INT8
                     ? (float)(((const uint8_t *)codes)[at] - METASD_CODE_ZERO)
                     : ((const float *)codes)[at]);
}

/* Each scale x code is a weight or 0: no score of it is infinite. */
static MetasdStatus
check_codes(const MetasdImage *image, MetasdTeam *team)
{
    uint64_t columns = image->plan.columns;

    for (uint64_t tile = 0; tile < image->dimension.words; tile++)
        for (uint64_t column = 0; column < columns; column++) {
            const float *scales = image->scales + tile * METASD_WORD;
            uint64_t first = (tile * columns + column) * METASD_WORD;
            int wrong = 0;

            for (uint64_t k = 0; k < METASD_WORD; k++)
                wrong |= !((double)code_magnitude(image, first + k) * (double)scales[k] <=
                           (double)METASD_IMAGE_MAX_WEIGHT * ROUNDING);
            if (wrong)
                return METASD_CORRUPT;
            METASD_TRY(metasd_team_work(team, METASD_WORD));
        }
    return METASD_OK;
}

MetasdStatus
metasd_transpose_check(const MetasdImage *image, MetasdTeam *team)
{
    METASD_TRY(check_places(image));
    METASD_TRY(check_lists(image, team));
    METASD_TRY(check_scales(image, team));
    return check_codes(image, team);
}
