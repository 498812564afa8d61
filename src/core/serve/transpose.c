#include "core/serve/transpose.h"

#include <math.h>
#include <string.h>

#include "core/serve/image_internal.h"
#include "core/serve/postings.h"

/* ---- building ---- */

static bool
is_column(const MetasdImagePlan *plan, uint32_t count)
{
    return count > 0 && count >= metasd_image_dense(plan->codes) * plan->entities;
}

void
metasd_transpose_choose_columns(MetasdImagePlan *plan, const uint32_t *counts)
{
    plan->columns = 0;
    plan->column_kept = 0;
    for (uint32_t j = 0; j < plan->width; j++)
        if (is_column(plan, counts[j])) {
            plan->columns++;
            plan->column_kept += counts[j];
        }
}

/*
 * While entities are added, start[l + 1] is the place of the next weight of list l. When all have
 * been added it is the end of the list.
 */
MetasdStatus
metasd_transpose_begin(MetasdImage *image, const uint32_t *counts)
{
    MetasdDimensions *dimensions = &image->dimension;
    const MetasdImagePlan *plan = &image->plan;
    uint32_t columns = 0, lists = 0;
    uint64_t sum = 0;

    for (uint32_t j = 0; j < plan->width; j++)
        if (plan->columns > 0 && is_column(plan, counts[j])) {
            if (columns == plan->columns)
                return METASD_INVALID;
            dimensions->place[j] = columns++;
        } else {
            if (lists == dimensions->lists || counts[j] > dimensions->kept - sum)
                return METASD_INVALID;
            dimensions->place[j] = plan->columns + lists++;
            dimensions->start[lists] = sum;
            sum += counts[j];
        }
    return sum == dimensions->kept ? METASD_OK : METASD_INVALID;
}

/* A tile without weights. */
static void
clear_tile(MetasdImage *image, size_t tile)
{
    size_t bytes = image->plan.columns * METASD_WORD * metasd_dense_code_bytes[image->plan.codes];

    memset((char *)image->dimension.codes + tile * bytes,
           image->plan.codes == METASD_CODES_INT8 ? METASD_CODE_ZERO : 0, bytes);
}

/* Weight I of a row becomes one of a list, and of the entity's row. */
static void
put_in_list(MetasdImage *image, uint32_t id, uint64_t list, const MetasdSparseRow *row, size_t i)
{
    MetasdDimensions *dimensions = &image->dimension;
    float weight = metasd_row_weight(row, i);
    uint64_t at = image->entity.start[id + 1]++;

    dimensions->bits[list * dimensions->words + id / METASD_WORD] |= UINT64_C(1)
                                                                     << id % METASD_WORD;
    dimensions->values[dimensions->start[list + 1]++] = weight;
    image->entity.ids[at] = row->positions[i];
    image->entity.values[at] = weight;
}

/* The place of an entity's code in the first column. */
static size_t
first_code(const MetasdImage *image, uint32_t id)
{
    return id / METASD_WORD * image->plan.columns * METASD_WORD + id % METASD_WORD;
}

/* No pointer here is one to another's memory. To know that makes the loop twice as fast. */
static MetasdStatus
add_codes(MetasdImage *image, uint32_t *restrict counts, uint32_t id, const MetasdSparseRow *row)
{
    const uint32_t *restrict positions = row->positions, *restrict places = image->dimension.place;
    const int8_t *restrict from = row->codes;
    uint8_t *restrict codes = (uint8_t *)image->dimension.codes + first_code(image, id);
    size_t columns = image->plan.columns, kept = row->kept;

    for (size_t i = 0; i < kept; i++) {
        uint32_t j = positions[i], place = places[j];

        if (counts[j] == 0)
            return METASD_INVALID;
        counts[j]--;
        if (place < columns)
            codes[place * METASD_WORD] = (uint8_t)(METASD_CODE_ZERO + from[i]);
        else
            put_in_list(image, id, place - columns, row, i);
    }
    return METASD_OK;
}

static MetasdStatus
add_floats(MetasdImage *image, uint32_t *counts, uint32_t id, const MetasdSparseRow *row)
{
    float *codes = (float *)image->dimension.codes + first_code(image, id);
    size_t columns = image->plan.columns;

    for (size_t i = 0; i < row->kept; i++) {
        uint32_t j = row->positions[i], place = image->dimension.place[j];

        if (counts[j] == 0)
            return METASD_INVALID;
        counts[j]--;
        if (place < columns)
            codes[place * METASD_WORD] = metasd_row_weight(row, i);
        else
            put_in_list(image, id, place - columns, row, i);
    }
    return METASD_OK;
}

MetasdStatus
metasd_transpose_add(MetasdImage *image, uint32_t *counts, uint32_t id, const MetasdSparseRow *row)
{
    if (id % METASD_WORD == 0)
        clear_tile(image, id / METASD_WORD);
    image->entity.start[id + 1] = image->entity.start[id];
    if (image->plan.columns == 0 || image->plan.codes == METASD_CODES_FLOAT)
        return add_floats(image, counts, id, row);
    if (row->kept == 0)
        return METASD_OK;
    if (row->most_code == 0)
        return METASD_INVALID;
    image->scales[id] = row->step;
    return add_codes(image, counts, id, row);
}

bool
metasd_transpose_is_complete(const MetasdImage *image, const uint32_t *counts)
{
    for (uint32_t j = 0; j < image->plan.width; j++)
        if (counts[j] != 0)
            return false;
    return true;
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
        double scale = image->scales[e];

        if (!(scale > 0 && scale <= (double)METASD_IMAGE_MAX_WEIGHT))
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

/* Each scale x code, or float, is a weight or 0: no score of it is infinite. */
static MetasdStatus
check_codes(const MetasdImage *image, MetasdTeam *team)
{
    uint64_t columns = image->plan.columns;
    bool floats = image->plan.codes == METASD_CODES_FLOAT;

    for (uint64_t tile = 0; tile < image->dimension.words; tile++)
        for (uint64_t column = 0; column < columns; column++) {
            const double *scales = image->scales + tile * METASD_WORD;
            uint64_t first = (tile * columns + column) * METASD_WORD;
            int wrong = 0;

            for (uint64_t k = 0; k < METASD_WORD; k++)
                wrong |= !((double)code_magnitude(image, first + k) * (floats ? 1 : scales[k]) <=
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
