#include "pattern.h"

#include <math.h>
#include <string.h>

/* Columns and rows within a slice are 16-bit numbers. */
#define MOST_WIDTH ((size_t)UINT16_MAX)

void
metasd_pattern_take(MetasdPattern *pattern, MetasdArena *arena, const MetasdSlices *slices,
                    size_t width, double density)
{
    size_t rows = slices->rows, count = (size_t)slices->count, weights = 0;

    /* Overflows only where sizes have 32 bits. */
    if (width <= MOST_WIDTH && __builtin_mul_overflow(rows, width, &weights))
        arena->overflowed = true;
    *pattern = (MetasdPattern){.slices = *slices, .width = width};
    pattern->room = (size_t)ceil((double)weights * density);
    if (pattern->room == 0)
        return;
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

    return rows * pattern->width < pattern->room ? rows * pattern->width : pattern->room;
}

static uint32_t *
row_starts(const MetasdPattern *pattern, int s)
{
    return pattern->row_start + metasd_slice_start(&pattern->slices, s) + s;
}

static uint32_t *
column_starts(const MetasdPattern *pattern, int s)
{
    return pattern->column_start + (size_t)s * (pattern->width + 1);
}

static size_t
rows_of(const MetasdPattern *pattern, int s)
{
    return metasd_slice_start(&pattern->slices, s + 1) - metasd_slice_start(&pattern->slices, s);
}

size_t
metasd_pattern_kept(const MetasdPattern *pattern)
{
    int last = pattern->slices.count - 1;

    return pattern->first[last] + pattern->kept[last];
}

MetasdKeptRow
metasd_pattern_row(const MetasdPattern *pattern, uint32_t row)
{
    const MetasdSlices *slices = &pattern->slices;
    int s = (int)((uint64_t)row * (uint64_t)slices->count / slices->rows);
    const uint32_t *start;

    s += metasd_slice_start(slices, s + 1) <= row; /* starts are rounded down */
    start = pattern->row_start + row + s;
    return (MetasdKeptRow){.column = pattern->column + pattern->first[s] + start[0],
                           .first = pattern->first[s] + start[0],
                           .n = start[1] - start[0]};
}

/* ---- building ---- */

static MetasdStatus
count_rows(MetasdPattern *pattern, MetasdTeam *team, int s, const uint8_t *mask)
{
    size_t rows = rows_of(pattern, s), width = pattern->width;
    uint32_t *start = row_starts(pattern, s);

    mask += metasd_slice_start(&pattern->slices, s) * width;
    start[0] = 0;
    for (size_t e = 0; e < rows; e++) {
        uint32_t n = 0;

        for (size_t j = 0; j < width; j++)
            n += mask[e * width + j];
        start[e + 1] = start[e] + n;
        METASD_TRY(metasd_team_work(team, width));
    }
    pattern->kept[s] = start[rows];
    return METASD_OK;
}

/* What keeping a weight takes: reading its mask, and a few writes that no cache helps. */
#define KEEP_WORK 4

static MetasdStatus
fill_slice(MetasdPattern *pattern, MetasdTeam *team, int s, const uint8_t *mask)
{
    size_t rows = rows_of(pattern, s), width = pattern->width;
    uint32_t *next = column_starts(pattern, s), k = 0;
    uint16_t *column = pattern->column + pattern->first[s], *row = pattern->row + pattern->first[s];
    uint32_t *from = pattern->from + pattern->first[s];

    mask += metasd_slice_start(&pattern->slices, s) * width;
    memset(next, 0, (width + 1) * sizeof(*next));
    for (size_t e = 0; e < rows; e++) {
        for (size_t j = 0; j < width; j++)
            if (mask[e * width + j]) {
                column[k++] = (uint16_t)j;
                next[j + 1]++;
            }
        METASD_TRY(metasd_team_work(team, width));
    }
    for (size_t j = 0; j < width; j++)
        next[j + 1] += next[j];
    /* next[j] goes through column j, and ends where column j + 1 begins: all move up by one. */
    k = 0;
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
        METASD_TRY(count_rows(pattern, team, s, mask));
    METASD_TRY(team->barrier(team));
    for (int s = 0; s < pattern->slices.count; s++) {
        if (s >= first && s < end)
            pattern->first[s] = before;
        before += pattern->kept[s];
    }
    *sparse = before <= pattern->room;
    METASD_TRY(team->barrier(team)); /* all have read the counts */
    for (int s = first; *sparse && s < end; s++)
        METASD_TRY(fill_slice(pattern, team, s, mask));
    return METASD_OK;
}

/* ---- values ---- */

MetasdStatus
metasd_pattern_pack(const MetasdPattern *pattern, MetasdTeam *team, int s, const float *table,
                    const float *held, bool by_column, const MetasdPack *pack, MetasdKept *kept)
{
    const uint16_t *column = pattern->column + pattern->first[s];
    const uint32_t *from = pattern->from + pattern->first[s], *start = row_starts(pattern, s);
    size_t rows = rows_of(pattern, s);

    *kept = (MetasdKept){.rows = rows,
                         .width = pattern->width,
                         .row_start = start,
                         .column = column,
                         .column_start = column_starts(pattern, s),
                         .row = pattern->row + pattern->first[s],
                         .by_row = held ? held + pattern->first[s] : pack->by_row,
                         .by_column = pack->by_column};
    table += metasd_slice_start(&pattern->slices, s) * pattern->width;
    for (size_t e = 0; !held && e < rows; e++) {
        for (uint32_t k = start[e]; k < start[e + 1]; k++)
            pack->by_row[k] = table[e * pattern->width + column[k]];
        METASD_TRY(metasd_team_work(team, pattern->width));
    }
    for (uint32_t k = 0; by_column && k < start[rows]; k++)
        pack->by_column[k] = kept->by_row[from[k]];
    return metasd_team_work(team, by_column ? start[rows] : 0);
}

MetasdStatus
metasd_pattern_unpack(const MetasdPattern *pattern, MetasdTeam *team, int s, const MetasdPack *pack,
                      float *table)
{
    const uint16_t *column = pattern->column + pattern->first[s];
    const uint32_t *start = row_starts(pattern, s);
    size_t rows = rows_of(pattern, s);

    table += metasd_slice_start(&pattern->slices, s) * pattern->width;
    for (size_t e = 0; e < rows; e++) {
        for (uint32_t k = start[e]; k < start[e + 1]; k++)
            table[e * pattern->width + column[k]] += pack->sum[k];
        METASD_TRY(metasd_team_work(team, pattern->width));
    }
    return METASD_OK;
}
