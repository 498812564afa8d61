/*
 * There are three kinds of products: with all weights of a slice's rows, which are gathered first
 * where the table is sampled; with the whole columns of a pattern; with its lists.
 */
#include "core/train/products.h"

#include <string.h>

#include "core/math/blas.h"

/* ---- rows of a slice, which are gathered from a table that is sampled ---- */

static float *
gather_room(const MetasdPass *pass, int which)
{
    return pass->scores->gathers +
           (2 * (size_t)pass->team->rank + (size_t)which) * pass->scores->gathered;
}

/* *rows = the rows of slice s of a table, one after another. */
static MetasdStatus
slice_table(const MetasdPass *pass, int s, const MetasdTable *table, const float **rows)
{
    size_t first = metasd_team_slice_start(pass->slices, s), n = metasd_slice_rows(pass, s);
    size_t width = pass->width;
    float *to = gather_room(pass, 0);

    *rows = to;
    if (table->copy)
        return table->copy(table->source, pass->team, first, n, to);
    if (!pass->ids) {
        *rows = table->rows + first * width;
        return METASD_OK;
    }
    for (size_t e = 0; e < n; e++) {
        memcpy(to + e * width, table->rows + pass->ids[first + e] * width, width * sizeof(*to));
        METASD_TRY(metasd_team_work(pass->team, METASD_FAR_WORK + width));
    }
    return METASD_OK;
}

/* gradient += block^T queries at the slice's rows, whose scores' gradients are `panel`. */
static MetasdStatus
dense_gradient(const MetasdPass *pass, int s, const float *panel, const float *queries,
               float *gradient)
{
    size_t first = metasd_team_slice_start(pass->slices, s), n = metasd_slice_rows(pass, s);
    size_t width = pass->width;
    float *from = gather_room(pass, 1);

    if (!pass->ids)
        return metasd_blas_ab(pass->team, n, width, pass->rows, panel, pass->stride, queries, width,
                              true, gradient + first * width, width);
    METASD_TRY(metasd_blas_ab(pass->team, n, width, pass->rows, panel, pass->stride, queries, width,
                              false, from, width));
    for (size_t e = 0; e < n; e++) {
        float *to = gradient + pass->ids[first + e] * width;

        for (size_t j = 0; j < width; j++)
            to[j] += from[e * width + j];
        METASD_TRY(metasd_team_work(pass->team, METASD_FAR_WORK + width));
    }
    return METASD_OK;
}

/* ---- products with the kept weights of a slice ---- */

/* Lanes beyond the last query are 0. */
static MetasdStatus
clear_lanes(const MetasdPass *pass, int s, int b)
{
    size_t spare = pass->stride - pass->rows, rows = metasd_slice_rows(pass, s);
    float *panel = metasd_slice_block(pass, s, b);

    for (size_t e = 0; spare > 0 && e < rows; e++)
        memset(panel + e * pass->stride + pass->rows, 0, spare * sizeof(*panel));
    return metasd_team_work(pass->team, rows * spare);
}

static MetasdPack
pack_room(const MetasdPass *pass)
{
    size_t most = pass->scores->packed;
    float *room = pass->scores->packs + (size_t)pass->team->rank * 3 * most;

    return (MetasdPack){.values = room, .by_column = room + most, .sum = room + 2 * most};
}

/* The work of a kernel for one kept weight and one tile. */
#define KEPT_WORK 4

static size_t
kept_work(const MetasdKept *kept)
{
    return KEPT_WORK * kept->row_start[kept->rows] + kept->rows * METASD_TILE;
}

static MetasdStatus
sparse_scores(const MetasdPass *pass, int s, int b, const MetasdTable *table,
              const MetasdQueries *queries, bool add)
{
    const MetasdSparseKernels *kernels = metasd_sparse_kernels();
    size_t whole = table->pattern->whole;
    MetasdPack room = pack_room(pass);
    float *panel = metasd_slice_block(pass, s, b);
    MetasdPacked packed;

    METASD_TRY(metasd_pattern_pack(table->pattern, pass->team, s, table->rows, table->packed, false,
                                   &room, &packed));
    if (whole > 0) {
        if (!add)
            METASD_TRY(clear_lanes(pass, s, b));
        METASD_TRY(metasd_blas_abt(pass->team, packed.kept.rows, pass->rows, whole, packed.whole,
                                   whole, queries->whole, whole, add, panel, pass->stride));
        add = true;
    }
    for (size_t i = 0; i < pass->stride; i += METASD_TILE) {
        kernels->scores(&packed.kept, queries->tiles + i * pass->width, add, panel + i,
                        pass->stride);
        METASD_TRY(metasd_team_work(pass->team, kept_work(&packed.kept)));
    }
    return METASD_OK;
}

/* Back through the whole columns: to `sum`, and to the gradients of the queries of a part. */
static MetasdStatus
whole_back(const MetasdPass *pass, int s, int b, const MetasdPacked *packed, size_t whole,
           const MetasdQueries *queries, int part, bool add, float *sum)
{
    const float *panel = metasd_slice_block(pass, s, b);
    float *dqueries = pass->scores->whole_parts + (size_t)part * pass->stride * whole;

    if (whole == 0)
        return METASD_OK;
    METASD_TRY(metasd_blas_ab(pass->team, packed->kept.rows, whole, pass->rows, panel, pass->stride,
                              queries->whole, whole, true, sum, whole));
    return metasd_blas_atb(pass->team, pass->rows, whole, packed->kept.rows, panel, pass->stride,
                           packed->whole, whole, add, dqueries, whole);
}

static MetasdStatus
sparse_back(const MetasdPass *pass, int s, int b, const MetasdTable *table,
            const MetasdQueries *queries, float *gradient, int part, bool add)
{
    const MetasdSparseKernels *kernels = metasd_sparse_kernels();
    const MetasdPattern *pattern = table->pattern;
    size_t whole = pattern->whole, place = metasd_pattern_place(pattern, s);
    size_t floats = metasd_pattern_place(pattern, s + 1) - place;
    MetasdPack room = pack_room(pass);
    const float *panel = metasd_slice_block(pass, s, b);
    float *dqueries = pass->scores->parts + (size_t)part * pass->stride * pass->width;
    float *sum = table->packed ? gradient + place : room.sum;
    MetasdPacked packed;

    METASD_TRY(metasd_pattern_pack(pattern, pass->team, s, table->rows, table->packed, true, &room,
                                   &packed));
    if (!table->packed)
        memset(sum, 0, floats * sizeof(*sum));
    METASD_TRY(whole_back(pass, s, b, &packed, whole, queries, part, add, sum));
    for (size_t i = 0; i < pass->stride; i += METASD_TILE) {
        size_t left = pass->rows - i;

        kernels->queries(&packed.kept, panel + i, pass->stride, add, dqueries + i * pass->width);
        METASD_TRY(metasd_team_work(pass->team, kept_work(&packed.kept)));
        kernels->weights(&packed.kept, panel + i, pass->stride, queries->tiles + i * pass->width,
                         left < METASD_TILE ? left : METASD_TILE, sum + packed.kept.rows * whole);
        METASD_TRY(metasd_team_work(pass->team, kept_work(&packed.kept)));
    }
    return table->packed ? METASD_OK : metasd_pattern_unpack(pattern, pass->team, s, sum, gradient);
}

/* ---- one slice ---- */

MetasdStatus
metasd_products_scores(const MetasdPass *pass, int s, int b, const MetasdTable *table,
                       const MetasdQueries *queries, bool add)
{
    const float *rows;

    if (table->pattern)
        return sparse_scores(pass, s, b, table, queries, add);
    METASD_TRY(clear_lanes(pass, s, b));
    METASD_TRY(slice_table(pass, s, table, &rows));
    return metasd_blas_abt(pass->team, metasd_slice_rows(pass, s), pass->rows, pass->width, rows,
                           pass->width, queries->rows, pass->width, add,
                           metasd_slice_block(pass, s, b), pass->stride);
}

/* The query gradients of a part are summed over its slices in order. */
MetasdStatus
metasd_products_back(const MetasdPass *pass, int s, int b, const MetasdTable *table,
                     const MetasdQueries *queries, float *gradient)
{
    int each = pass->slices->count / pass->slices->parts;
    int part = s / each;
    float *dqueries = pass->scores->parts + (size_t)part * pass->stride * pass->width;
    const float *panel = metasd_slice_block(pass, s, b), *rows;
    bool add = s % each > 0;

    if (table->pattern)
        return sparse_back(pass, s, b, table, queries, gradient, part, add);
    METASD_TRY(dense_gradient(pass, s, panel, queries->rows, gradient));
    METASD_TRY(slice_table(pass, s, table, &rows));
    return metasd_blas_atb(pass->team, pass->rows, pass->width, metasd_slice_rows(pass, s), panel,
                           pass->stride, rows, pass->width, add, dqueries, pass->width);
}

/* ---- the gradients of queries, and their tiles ---- */

/* out = the sum of `count` parts, `apart` floats from one to the next, for n floats from `at`. */
static void
sum_parts(const float *parts, size_t apart, int count, size_t at, size_t n, float *restrict out)
{
    memcpy(out, parts + at, n * sizeof(*out));
    for (int p = 1; p < count; p++) {
        const float *restrict part = parts + (size_t)p * apart + at;

        for (size_t i = 0; i < n; i++)
            out[i] += part[i];
    }
}

#define TURN ((size_t)16) /* components turned at once: a cache line of each query */

/* Queries of one tile from its summed parts, which have all queries of one component together. */
static MetasdStatus
reduce_tile(const MetasdPass *pass, size_t tile, float *dqueries)
{
    size_t width = pass->width, at = tile * METASD_TILE, left = pass->rows - at;
    size_t n = left < METASD_TILE ? left : METASD_TILE;

    for (size_t j = 0; j < width; j += TURN) {
        size_t turned = width - j < TURN ? width - j : TURN;
        float sums[TURN * METASD_TILE];

        sum_parts(pass->scores->parts, pass->stride * width, pass->slices->parts,
                  at * width + j * METASD_TILE, turned * METASD_TILE, sums);
        for (size_t b = 0; b < n; b++)
            for (size_t i = 0; i < turned; i++)
                dqueries[(at + b) * width + j + i] = sums[i * METASD_TILE + b];
        METASD_TRY(
            metasd_team_work(pass->team, turned * METASD_TILE * (2 + (size_t)pass->slices->parts)));
    }
    return METASD_OK;
}

/* The whole columns of the same queries: of those, lists say nothing. */
static MetasdStatus
reduce_whole(const MetasdPass *pass, const MetasdPattern *pattern, size_t tile, float *dqueries)
{
    size_t whole = pattern->whole, first = tile * METASD_TILE, parts = (size_t)pass->slices->parts;
    size_t end = first + METASD_TILE < pass->rows ? first + METASD_TILE : pass->rows;

    for (size_t q = first; q < end; q++)
        for (size_t d = 0; d < whole; d++) {
            const float *part = pass->scores->whole_parts + q * whole + d;
            float sum = part[0];

            for (size_t p = 1; p < parts; p++)
                sum += part[p * pass->stride * whole];
            dqueries[q * pass->width + pattern->whole_column[d]] = sum;
        }
    return metasd_team_work(pass->team, METASD_TILE * whole * (2 + parts));
}

MetasdStatus
metasd_products_reduce(const MetasdPass *pass, const MetasdTable *table, float *dqueries)
{
    MetasdTeam *team = pass->team;
    size_t first, end;

    METASD_TRY(team->barrier(team));
    if (table->pattern) {
        metasd_team_share(team, pass->stride / METASD_TILE, &first, &end);
        for (size_t tile = first; tile < end; tile++) {
            METASD_TRY(reduce_tile(pass, tile, dqueries));
            METASD_TRY(reduce_whole(pass, table->pattern, tile, dqueries));
        }
    } else {
        MetasdSpan share;
        MetasdChunks chunk;

        metasd_team_share(team, pass->rows * pass->width, &share.first, &share.end);
        for (chunk = metasd_team_chunks(team, &share, 1, (size_t)pass->slices->parts);
             metasd_team_next_chunk(&chunk);)
            sum_parts(pass->scores->parts, pass->stride * pass->width, pass->slices->parts,
                      chunk.first, chunk.end - chunk.first, dqueries + chunk.first);
        METASD_TRY(chunk.status);
    }
    return team->barrier(team);
}

MetasdSpan
metasd_products_share(const MetasdTeam *team, size_t rows)
{
    MetasdSpan run;

    metasd_team_share(team, metasd_tile_whole(rows) / METASD_TILE, &run.first, &run.end);
    run.first *= METASD_TILE;
    run.end = run.end * METASD_TILE < rows ? run.end * METASD_TILE : rows;
    return run;
}

MetasdStatus
metasd_products_tile(MetasdTeam *team, const MetasdPattern *pattern, size_t rows,
                     const float *queries, float *tiles, float *whole)
{
    MetasdSpan share = metasd_products_share(team, rows);
    size_t width = pattern->width;

    for (size_t at = share.first; at < share.end; at += METASD_TILE) {
        size_t n = share.end - at < METASD_TILE ? share.end - at : METASD_TILE;
        float *to = tiles + at * width;

        if (n < METASD_TILE)
            memset(to, 0, METASD_TILE * width * sizeof(*to));
        for (size_t j = 0; j < width; j += TURN)
            for (size_t b = 0; b < n; b++)
                for (size_t i = j; i < j + TURN && i < width; i++)
                    to[i * METASD_TILE + b] = queries[(at + b) * width + i];
        METASD_TRY(metasd_team_work(team, 4 * n * width));
    }
    for (size_t q = share.first; q < share.end; q++) {
        for (size_t d = 0; d < pattern->whole; d++)
            whole[q * pattern->whole + d] = queries[q * width + pattern->whole_column[d]];
        METASD_TRY(metasd_team_work(team, pattern->whole));
    }
    return METASD_OK;
}
