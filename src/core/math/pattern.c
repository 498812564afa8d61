#include "core/math/pattern.h"

#include <math.h>
#include <string.h>

/* Columns and rows within a slice are 16-bit numbers. */
#define MOST_WIDTH ((size_t)UINT16_MAX)

/* ---- memory ---- */

void
metasd_pattern_take(MetasdPattern *pattern, MetasdArena *arena, const MetasdSlices *slices,
                    size_t width, double density, double whole_from)
{
    size_t rows = slices->rows, count = (size_t)slices->count, weights = 0;

    /* Overflows only where sizes have 32 bits. */
    if (width <= MOST_WIDTH && __builtin_mul_overflow(rows, width, &weights))
        arena->overflowed = true;
    *pattern = (MetasdPattern){.slices = *slices, .width = width, .whole_from = whole_from};
    pattern->room = (size_t)ceil((double)weights * density);
    if (pattern->room == 0)
        return;
    pattern->most_whole = whole_from > 0 ? (width + 1) / 2 : 0;
    pattern->whole_column = METASD_TAKE(arena, uint16_t, pattern->most_whole);
    pattern->whole_kept = METASD_TAKE(arena, uint8_t, rows * pattern->most_whole);
    pattern->listed = METASD_TAKE(arena, uint8_t, width);
    pattern->shared = METASD_TAKE(arena, size_t, 2);
    pattern->kept = METASD_TAKE(arena, size_t, count);
    pattern->first = METASD_TAKE(arena, size_t, count);
    pattern->row_start = METASD_TAKE(arena, uint32_t, rows + count);
    pattern->column_start = METASD_TAKE(arena, uint32_t, count * (width + 1));
    pattern->column = METASD_TAKE(arena, uint16_t, pattern->room);
    pattern->row = METASD_TAKE(arena, uint16_t, pattern->room);
    pattern->from = METASD_TAKE(arena, uint32_t, pattern->room);
}

size_t
metasd_pattern_most(const MetasdPattern *pattern)
{
    size_t rows = pattern->slices.rows / (size_t)pattern->slices.count + 1;
    size_t most = rows * pattern->width < pattern->room ? rows * pattern->width : pattern->room;

    return most + rows * pattern->most_whole;
}

/* Of a whole column, a part of `whole_from` or more is kept. */
size_t
metasd_pattern_most_packed(const MetasdPattern *pattern)
{
    double each = pattern->whole_from > 0 ? fmax(1, 1 / pattern->whole_from) : 1;

    return (size_t)ceil((double)pattern->room * each);
}

/* ---- places ---- */

static uint32_t *
row_starts(const MetasdPattern *pattern, int s)
{
    return pattern->row_start + metasd_team_slice_start(&pattern->slices, s) + s;
}

static uint32_t *
column_starts(const MetasdPattern *pattern, int s)
{
    return pattern->column_start + (size_t)s * (pattern->width + 1);
}

static size_t
rows_of(const MetasdPattern *pattern, int s)
{
    return metasd_team_slice_start(&pattern->slices, s + 1) -
           metasd_team_slice_start(&pattern->slices, s);
}

size_t
metasd_pattern_place(const MetasdPattern *pattern, int s)
{
    size_t lists = s < pattern->slices.count ? pattern->first[s]
                                             : pattern->first[s - 1] + pattern->kept[s - 1];

    return metasd_team_slice_start(&pattern->slices, s) * pattern->whole + lists;
}

/* One row of a slice, and its place in the packed slice. */
typedef struct KeptRow {
    const uint8_t *kept; /* of its whole columns */
    size_t whole;        /* where those begin */
    const uint16_t *column;
    size_t first, n; /* of its lists' weights */
} KeptRow;

static KeptRow
row_of(const MetasdPattern *pattern, int s, size_t e)
{
    const uint32_t *start = row_starts(pattern, s) + e;
    size_t whole = pattern->whole;

    return (KeptRow){.kept = pattern->whole_kept +
                             (metasd_team_slice_start(&pattern->slices, s) + e) * whole,
                     .whole = e * whole,
                     .column = pattern->column + pattern->first[s] + start[0],
                     .first = rows_of(pattern, s) * whole + start[0],
                     .n = start[1] - start[0]};
}

/* The slice of a row: starts of slices are rounded down. */
static int
slice_of(const MetasdPattern *pattern, uint32_t row)
{
    const MetasdSlices *slices = &pattern->slices;
    int s = (int)((uint64_t)row * (uint64_t)slices->count / slices->rows);

    return s + (metasd_team_slice_start(slices, s + 1) <= row);
}

/* ---- building ---- */

/* The weights that each column of a slice keeps, where the starts of its columns will be. */
static MetasdStatus
count_columns(MetasdPattern *pattern, MetasdTeam *team, int s, const uint8_t *mask)
{
    size_t rows = rows_of(pattern, s), width = pattern->width;
    uint32_t *count = column_starts(pattern, s);

    mask += metasd_team_slice_start(&pattern->slices, s) * width;
    memset(count, 0, width * sizeof(*count));
    for (size_t e = 0; e < rows; e++) {
        for (size_t j = 0; j < width; j++)
            count[j] += mask[e * width + j];
        METASD_TRY(metasd_team_work(team, width));
    }
    return METASD_OK;
}

/* Chooses the whole columns; member 0 does it for all. */
static MetasdStatus
choose_columns(MetasdPattern *pattern, MetasdTeam *team)
{
    double least = pattern->whole_from * (double)pattern->slices.rows;
    size_t whole = 0, all = 0;

    for (size_t j = 0; j < pattern->width; j++) {
        size_t n = 0;

        for (int s = 0; s < pattern->slices.count; s++)
            n += column_starts(pattern, s)[j];
        pattern->listed[j] = whole == pattern->most_whole || n == 0 || (double)n < least;
        if (!pattern->listed[j])
            pattern->whole_column[whole++] = (uint16_t)j;
        all += n;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK * (size_t)pattern->slices.count));
    }
    pattern->shared[0] = whole;
    pattern->shared[1] = all;
    return METASD_OK;
}

static MetasdStatus
count_rows(MetasdPattern *pattern, MetasdTeam *team, int s, const uint8_t *mask)
{
    size_t rows = rows_of(pattern, s), width = pattern->width;
    uint32_t *start = row_starts(pattern, s);

    mask += metasd_team_slice_start(&pattern->slices, s) * width;
    start[0] = 0;
    for (size_t e = 0; e < rows; e++) {
        uint32_t n = 0;

        for (size_t j = 0; j < width; j++)
            n += mask[e * width + j] & pattern->listed[j];
        start[e + 1] = start[e] + n;
        METASD_TRY(metasd_team_work(team, width));
    }
    pattern->kept[s] = start[rows];
    return METASD_OK;
}

/* The work of keeping a weight: reading its mask, and a few writes that no cache helps. */
#define KEEP_WORK 4

/*
 * The weights of a slice in its lists by row, its columns' lengths, and its part of whole columns.
 */
static MetasdStatus
fill_rows(MetasdPattern *pattern, MetasdTeam *team, int s, const uint8_t *mask)
{
    size_t rows = rows_of(pattern, s), width = pattern->width, whole = pattern->whole, k = 0;
    size_t begin = metasd_team_slice_start(&pattern->slices, s);
    uint32_t *length = column_starts(pattern, s) + 1;
    uint16_t *column = pattern->column + pattern->first[s];

    memset(length - 1, 0, (width + 1) * sizeof(*length));
    for (size_t e = 0; e < rows; e++) {
        const uint8_t *kept = mask + (begin + e) * width;

        for (size_t j = 0; j < width; j++)
            if (kept[j] & pattern->listed[j]) {
                column[k++] = (uint16_t)j;
                length[j]++;
            }
        for (size_t d = 0; d < whole; d++)
            pattern->whole_kept[(begin + e) * whole + d] = kept[pattern->whole_column[d]];
        METASD_TRY(metasd_team_work(team, width + whole));
    }
    return METASD_OK;
}

/* The same weights in lists by column. */
static MetasdStatus
fill_columns(MetasdPattern *pattern, MetasdTeam *team, int s)
{
    size_t rows = rows_of(pattern, s), width = pattern->width;
    uint32_t *next = column_starts(pattern, s), k = 0;
    const uint16_t *column = pattern->column + pattern->first[s];
    uint16_t *row = pattern->row + pattern->first[s];
    uint32_t *from = pattern->from + pattern->first[s];

    for (size_t j = 0; j < width; j++)
        next[j + 1] += next[j];
    /* next[j] goes through column j, and ends where column j + 1 begins: all move up by one. */
    for (size_t e = 0; e < rows; e++) {
        for (; k < row_starts(pattern, s)[e + 1]; k++) {
            row[next[column[k]]] = (uint16_t)e;
            from[next[column[k]]++] = k;
        }
        METASD_TRY(metasd_team_work(team, KEEP_WORK * width));
    }
    memmove(next + 1, next, width * sizeof(*next));
    next[0] = 0;
    return METASD_OK;
}

MetasdStatus
metasd_pattern_build(MetasdPattern *pattern, MetasdTeam *team, const uint8_t *mask, bool *sparse)
{
    size_t before = 0;
    int first, end;

    *sparse = false;
    if (pattern->room == 0)
        return METASD_OK;
    metasd_team_slices(team, &pattern->slices, &first, &end);
    for (int s = first; s < end; s++)
        METASD_TRY(count_columns(pattern, team, s, mask));
    METASD_TRY(team->barrier(team));
    if (team->rank == 0)
        METASD_TRY(choose_columns(pattern, team));
    METASD_TRY(team->barrier(team));
    pattern->whole = pattern->shared[0];
    *sparse = pattern->shared[1] <= pattern->room;
    for (int s = first; s < end; s++)
        METASD_TRY(count_rows(pattern, team, s, mask));
    METASD_TRY(team->barrier(team));
    for (int s = 0; s < pattern->slices.count; s++) {
        if (s >= first && s < end)
            pattern->first[s] = before;
        before += pattern->kept[s];
    }
    METASD_TRY(team->barrier(team)); /* all have read the counts */
    for (int s = first; *sparse && s < end; s++) {
        METASD_TRY(fill_rows(pattern, team, s, mask));
        METASD_TRY(fill_columns(pattern, team, s));
    }
    return METASD_OK;
}

/* ---- values ---- */

static inline void
gather_row(const MetasdPattern *pattern, const KeptRow *row, const float *weights, bool add,
           float *packed)
{
    float *whole = packed + row->whole, *lists = packed + row->first;

    for (size_t d = 0; d < pattern->whole; d++)
        whole[d] =
            (add ? whole[d] : 0.0f) + (row->kept[d] ? weights[pattern->whole_column[d]] : 0.0f);
    for (size_t k = 0; k < row->n; k++)
        lists[k] = (add ? lists[k] : 0.0f) + weights[row->column[k]];
}

static inline void
scatter_row(const MetasdPattern *pattern, const KeptRow *row, const float *packed, bool add,
            float *weights)
{
    const float *whole = packed + row->whole, *lists = packed + row->first;

    for (size_t d = 0; d < pattern->whole; d++)
        if (row->kept[d]) {
            float *weight = &weights[pattern->whole_column[d]];

            *weight = (add ? *weight : 0.0f) + whole[d];
        }
    for (size_t k = 0; k < row->n; k++)
        weights[row->column[k]] = (add ? weights[row->column[k]] : 0.0f) + lists[k];
}

MetasdStatus
metasd_pattern_pack(const MetasdPattern *pattern, MetasdTeam *team, int s, const float *table,
                    const float *packed_table, bool by_column, const MetasdPack *room,
                    MetasdPacked *packed)
{
    const uint32_t *from = pattern->from + pattern->first[s], *start = row_starts(pattern, s);
    size_t rows = rows_of(pattern, s), begin = metasd_team_slice_start(&pattern->slices, s);
    const float *values =
        packed_table ? packed_table + metasd_pattern_place(pattern, s) : room->values;
    const float *by_row = values + rows * pattern->whole;

    *packed = (MetasdPacked){.whole = values,
                             .kept = {.rows = rows,
                                      .width = pattern->width,
                                      .row_start = start,
                                      .column = pattern->column + pattern->first[s],
                                      .column_start = column_starts(pattern, s),
                                      .row = pattern->row + pattern->first[s],
                                      .by_row = by_row,
                                      .by_column = room->by_column}};
    for (size_t e = 0; !packed_table && e < rows; e++) {
        KeptRow row = row_of(pattern, s, e);

        gather_row(pattern, &row, table + (begin + e) * pattern->width, false, room->values);
        METASD_TRY(metasd_team_work(team, pattern->width));
    }
    for (uint32_t k = 0; by_column && k < start[rows]; k++)
        room->by_column[k] = by_row[from[k]];
    return metasd_team_work(team, by_column ? start[rows] : 0);
}

MetasdStatus
metasd_pattern_unpack(const MetasdPattern *pattern, MetasdTeam *team, int s, const float *sum,
                      float *table)
{
    size_t rows = rows_of(pattern, s), begin = metasd_team_slice_start(&pattern->slices, s);

    for (size_t e = 0; e < rows; e++) {
        KeptRow row = row_of(pattern, s, e);

        scatter_row(pattern, &row, sum, true, table + (begin + e) * pattern->width);
        METASD_TRY(metasd_team_work(team, pattern->width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_pattern_mask(const MetasdPattern *pattern, MetasdTeam *team, int s, float *sum)
{
    size_t n = rows_of(pattern, s) * pattern->whole;
    const uint8_t *kept =
        pattern->whole_kept + metasd_team_slice_start(&pattern->slices, s) * pattern->whole;

    for (size_t i = 0; i < n; i++)
        sum[i] = kept[i] ? sum[i] : 0.0f;
    return metasd_team_work(team, n);
}

void
metasd_pattern_gather(const MetasdPattern *pattern, uint32_t row, const float *weights, bool add,
                      float *packed)
{
    int s = slice_of(pattern, row);
    KeptRow kept = row_of(pattern, s, row - metasd_team_slice_start(&pattern->slices, s));

    gather_row(pattern, &kept, weights, add, packed + metasd_pattern_place(pattern, s));
}

void
metasd_pattern_row(const MetasdPattern *pattern, uint32_t row, MetasdSpan spans[2])
{
    int s = slice_of(pattern, row);
    KeptRow kept = row_of(pattern, s, row - metasd_team_slice_start(&pattern->slices, s));
    size_t place = metasd_pattern_place(pattern, s);

    spans[0] = (MetasdSpan){place + kept.whole, place + kept.whole + pattern->whole};
    spans[1] = (MetasdSpan){place + kept.first, place + kept.first + kept.n};
}

void
metasd_pattern_scatter(const MetasdPattern *pattern, uint32_t row, const float *packed,
                       float *weights)
{
    int s = slice_of(pattern, row);
    KeptRow kept = row_of(pattern, s, row - metasd_team_slice_start(&pattern->slices, s));

    scatter_row(pattern, &kept, packed + metasd_pattern_place(pattern, s), false, weights);
}
