/* index_columns.c - the entities' weights by dimensions: which are columns, codes, lists. */
#include <math.h>
#include <string.h>

#include "core/serve/image_internal.h"
#include "core/serve/postings.h"

/* ---- building ---- */

static void
set_code(MetasdImage *index, uint64_t at, float scale, float weight)
{
    double code = rint((double)weight / (double)scale); /* near a whole number */

    if (index->plan.codes == METASD_CODES_INT8)
        ((int8_t *)index->dimension.codes)[at] = (int8_t)code;
    else if (index->plan.codes == METASD_CODES_INT16)
        ((int16_t *)index->dimension.codes)[at] = (int16_t)code;
    else
        ((float *)index->dimension.codes)[at] = weight;
}

/* counts[j] = entities that keep dimension j */
static MetasdStatus
count_dimensions(const MetasdImage *index, uint32_t *counts, MetasdTeam *team)
{
    memset(counts, 0, index->plan.width * sizeof(*counts));
    for (uint64_t i = 0; i < index->plan.entity_kept; i++) {
        counts[index->entity.ids[i]]++;
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
}

static bool
is_column(const MetasdImagePlan *plan, uint32_t count)
{
    return count > 0 && count >= METASD_INDEX_DENSE * plan->entities;
}

MetasdStatus
metasd_transpose_choose_columns(const MetasdImage *index, MetasdImagePlan *plan, uint32_t *counts,
                                MetasdTeam *team)
{
    METASD_TRY(count_dimensions(index, counts, team));
    for (uint32_t j = 0; j < plan->width; j++)
        if (is_column(plan, counts[j])) {
            plan->columns++;
            plan->column_kept += counts[j];
        }
    return METASD_OK;
}

/*
 * Columns and lists get their places; start[l + 1] is then where the next entity of list l goes,
 * and in the end where it ends.
 */
static void
place_dimensions(MetasdImage *index)
{
    MetasdDimensions *dimensions = &index->dimension;
    const MetasdImagePlan *plan = &index->plan;
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
metasd_transpose_fill(MetasdImage *index, MetasdTeam *team)
{
    const MetasdSparse *rows = &index->entity;
    MetasdDimensions *dimensions = &index->dimension;
    uint64_t columns = index->plan.columns, words = dimensions->words;

    METASD_TRY(count_dimensions(index, dimensions->place, team));
    place_dimensions(index);
    for (uint64_t e = 0; e < words * METASD_WORD && index->plan.codes == METASD_CODES_FLOAT; e++)
        index->scales[e] = 1;
    for (uint32_t e = 0; e < index->plan.entities; e++) {
        uint64_t word = e / METASD_WORD, bit = e % METASD_WORD;

        for (uint64_t i = rows->start[e]; i < rows->start[e + 1]; i++) {
            uint64_t place = dimensions->place[rows->ids[i]], list = place - columns;

            if (place < columns) {
                set_code(index, (word * columns + place) * METASD_WORD + bit, index->scales[e],
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
check_places(const MetasdImage *index)
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
check_lists(const MetasdImage *index, MetasdTeam *team)
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

/* Any whole number will do; a float is a weight or 0. */
static MetasdStatus
check_codes(const MetasdImage *index, MetasdTeam *team)
{
    const MetasdDimensions *dimensions = &index->dimension;
    uint64_t entities = dimensions->words * METASD_WORD, codes = entities * index->plan.columns;

    for (uint64_t e = 0; e < entities; e++)
        if (!(index->scales[e] > 0 && index->scales[e] <= METASD_INDEX_MAX_WEIGHT))
            return METASD_CORRUPT;
    for (uint64_t i = 0; i < codes && index->plan.codes == METASD_CODES_FLOAT; i += METASD_WORD) {
        int wrong = 0;

        for (uint64_t k = i; k < i + METASD_WORD; k++)
            wrong |= !(fabsf(((const float *)dimensions->codes)[k]) <= METASD_INDEX_MAX_WEIGHT);
        if (wrong)
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, METASD_WORD));
    }
    return METASD_OK;
}

MetasdStatus
metasd_transpose_check(const MetasdImage *index, MetasdTeam *team)
{
    METASD_TRY(check_places(index));
    METASD_TRY(check_lists(index, team));
    return check_codes(index, team);
}
