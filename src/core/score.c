#include "score.h"

#include <string.h>

#include "blas.h"

size_t
metasd_scores_rows(const MetasdScores *scores, const MetasdSlices *slices, size_t batch)
{
    size_t rows = scores->floats / (slices->rows ? slices->rows : 1);

    return rows < 1 ? 1 : rows > batch ? batch : rows;
}

void
metasd_scores_take(MetasdScores *scores, MetasdArena *arena, size_t batch, size_t width,
                   size_t floats, const MetasdSlices *entities, const MetasdSlices *relations,
                   bool guided)
{
    const MetasdSlices *tables[2] = {entities, relations};
    size_t most_parts = 0, largest = 0;

    scores->floats = floats;
    scores->most_rows = 0;
    for (int i = 0; i < 2; i++) {
        size_t rows = metasd_scores_rows(scores, tables[i], batch);
        size_t block, parts = (size_t)tables[i]->count * rows;

        if (__builtin_mul_overflow(rows, tables[i]->rows, &block))
            arena->overflowed = true;
        largest = block > largest ? block : largest;
        most_parts = parts > most_parts ? parts : most_parts;
        scores->most_rows = rows > scores->most_rows ? rows : scores->most_rows;
    }
    for (int b = 0; b < 3; b++)
        scores->block[b] = b == 0 || guided ? METASD_TAKE(arena, float, largest) : NULL;
    for (int i = 0; i < 2; i++)
        scores->partials[i] = METASD_TAKE(arena, MetasdPartial, most_parts);
    scores->dots = METASD_TAKE(arena, double, 2 * (most_parts + scores->most_rows));
    if (width > 0 && most_parts > SIZE_MAX / width)
        arena->overflowed = true;
    scores->parts = METASD_TAKE(arena, float, most_parts *width);
    for (int i = 0; i < 2; i++)
        scores->target_scores[i] = METASD_TAKE(arena, float, batch);
}

static size_t
slice_rows(const MetasdSlices *slices, int s)
{
    return slices->start[s + 1] - slices->start[s];
}

/* The panel of slice s: row i starts at panel + i x columns. */
static float *
panel_of(const MetasdPass *pass, int b, int s, size_t *columns)
{
    *columns = slice_rows(pass->slices, s);
    return pass->scores->block[b] + (size_t)pass->slices->start[s] * pass->rows;
}

static MetasdStatus
scores(const MetasdPass *pass, int b, const float *queries, const float *table, bool add)
{
    int first, end;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        size_t columns;
        float *panel = panel_of(pass, b, s, &columns);

        METASD_TRY(metasd_product_abt(pass->team, pass->rows, columns, pass->width, queries,
                                      pass->width,
                                      table + (size_t)pass->slices->start[s] * pass->width,
                                      pass->width, add, panel, columns));
    }
    return METASD_OK;
}

MetasdStatus
metasd_pass_scores(const MetasdPass *pass, int b, const float *queries, const float *table)
{
    return scores(pass, b, queries, table, false);
}

MetasdStatus
metasd_pass_add_scores(const MetasdPass *pass, int b, const float *queries, const float *table)
{
    return scores(pass, b, queries, table, true);
}

/* What a score takes at most: four exponentials and six sums. */
#define SCORE_WORK 6

MetasdPassRow
metasd_pass_rows(const MetasdPass *pass)
{
    MetasdPassRow at = {.pass = pass};

    metasd_team_slices(pass->team, pass->slices, &at.slice, &at.end);
    at.slice--; /* the slice before this member's, done */
    at.row = pass->rows;
    return at;
}

bool
metasd_pass_next(MetasdPassRow *at)
{
    const MetasdPass *pass = at->pass;

    at->status = metasd_team_work(pass->team, SCORE_WORK * at->columns);
    if (at->status != METASD_OK)
        return false;
    if (++at->row >= pass->rows) {
        if (++at->slice >= at->end || pass->rows == 0)
            return false;
        at->row = 0;
        at->low = pass->slices->start[at->slice];
        at->columns = slice_rows(pass->slices, at->slice);
    }
    at->first = at->low * pass->rows + at->row * at->columns;
    at->part = (size_t)at->slice * pass->rows + at->row;
    return true;
}

/* The place of a target's score within a row, or NULL if it is in another slice. */
static float *
find_target(const MetasdPassRow *at, float *block, uint32_t id)
{
    return id >= at->low && id - at->low < at->columns ? block + at->first + (id - at->low) : NULL;
}

MetasdStatus
metasd_pass_keep_targets(const MetasdPass *pass, int b, int t, const MetasdTargets *targets)
{
    MetasdPassRow at;

    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        for (size_t i = targets->start[at.row]; i < targets->start[at.row + 1]; i++) {
            const float *score = find_target(&at, pass->scores->block[b], targets->ids[i]);

            if (score)
                pass->scores->target_scores[t][i] = *score;
            METASD_TRY(metasd_team_work(pass->team, 1));
        }
    return at.status;
}

MetasdStatus
metasd_pass_subtract_targets(const MetasdPass *pass, int b, const MetasdTargets *targets)
{
    const float *weights = targets->class_weights;
    MetasdPassRow at;

    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        for (size_t i = targets->start[at.row]; i < targets->start[at.row + 1]; i++) {
            float *score = find_target(&at, pass->scores->block[b], targets->ids[i]);

            if (score)
                *score -= targets->scale * (weights ? weights[targets->ids[i]] : 1.0f);
            METASD_TRY(metasd_team_work(pass->team, 1));
        }
    return at.status;
}

/* This member's slices of every row's partial sums. */
static MetasdStatus
partial_sums(const MetasdPass *pass, int b, int other, float tau)
{
    MetasdPartial *const *partials = pass->scores->partials;
    const float *z = pass->scores->block[b];
    MetasdPassRow at;

    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        if (other < 0)
            metasd_partial(at.columns, z + at.first, &partials[0][at.part]);
        else
            metasd_partial_pair(at.columns, z + at.first, pass->scores->block[other] + at.first,
                                tau, &partials[0][at.part], &partials[1][at.part]);
    return at.status;
}

/* What joining the parts of a row takes: some exponentials of doubles. */
#define JOIN_WORK 256

MetasdStatus
metasd_pass_sums(const MetasdPass *pass, int b, int other, float tau, MetasdGuide *guides)
{
    MetasdPartial *const *partials = pass->scores->partials;
    int slices = pass->slices->count;
    size_t first, end;

    METASD_TRY(partial_sums(pass, b, other, tau));
    METASD_TRY(pass->team->barrier(pass->team));

    metasd_team_share(pass->team, pass->rows, &first, &end);
    for (size_t i = first; i < end; i++) {
        METASD_TRY(metasd_team_work(pass->team, JOIN_WORK));
        if (other < 0) {
            metasd_row_join(partials[0] + i, pass->rows, slices, &guides[i].source);
            continue;
        }
        metasd_row_join_pair(partials[0] + i, partials[1] + i, pass->rows, slices, tau,
                             &guides[i].source, &guides[i].student);
        guides[i].tau = tau;
    }
    return pass->team->barrier(pass->team);
}

MetasdStatus
metasd_pass_dots(const MetasdPass *pass, const MetasdGuide *guides, const double **dots)
{
    float *const *block = pass->scores->block;
    double *parts = pass->scores->dots;
    double *sums = parts + 2 * (size_t)pass->slices->count * pass->rows;
    MetasdPassRow at;
    size_t from, to;

    for (at = metasd_pass_rows(pass); metasd_pass_next(&at);)
        metasd_meta_dots(at.columns, block[0] + at.first, block[1] + at.first, block[2] + at.first,
                         &guides[at.row], &parts[2 * at.part], &parts[2 * at.part + 1]);
    METASD_TRY(at.status);
    METASD_TRY(pass->team->barrier(pass->team));
    metasd_team_share(pass->team, 2 * pass->rows, &from, &to);
    for (size_t i = from; i < to; i++) {
        sums[i] = 0;
        for (int s = 0; s < pass->slices->count; s++)
            sums[i] += parts[2 * (size_t)s * pass->rows + i];
        METASD_TRY(metasd_team_work(pass->team, METASD_MAX_SLICES));
    }
    *dots = sums;
    return pass->team->barrier(pass->team);
}

/* out = the sum of `count` parts of n floats each, in order, for this member's share of them. */
static MetasdStatus
sum_parts(MetasdTeam *team, size_t n, int count, const float *parts, float *out)
{
    MetasdRun share;
    MetasdWalk walk;

    metasd_team_share(team, n, &share.first, &share.end);
    for (walk = metasd_walk(team, &share, 1, (size_t)count); metasd_walk_next(&walk);) {
        memcpy(out + walk.first, parts + walk.first, (walk.end - walk.first) * sizeof(*out));
        for (int s = 1; s < count; s++)
            for (size_t i = walk.first; i < walk.end; i++)
                out[i] += parts[(size_t)s * n + i];
    }
    return walk.status;
}

MetasdStatus
metasd_pass_back(const MetasdPass *pass, int b, const float *queries, const float *table,
                 float *table_gradient, float *dqueries)
{
    size_t width = pass->width, part = pass->rows * width;
    float *parts = pass->scores->parts;
    int first, end;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        size_t columns, at = (size_t)pass->slices->start[s] * width;
        const float *panel = panel_of(pass, b, s, &columns);

        METASD_TRY(metasd_product_add_atb(pass->team, columns, width, pass->rows, panel, columns,
                                          queries, width, table_gradient + at, width));
        METASD_TRY(metasd_product_ab(pass->team, pass->rows, width, columns, panel, columns,
                                     table + at, width, parts + (size_t)s * part, width));
    }
    METASD_TRY(pass->team->barrier(pass->team));
    METASD_TRY(sum_parts(pass->team, part, pass->slices->count, parts, dqueries));
    return pass->team->barrier(pass->team);
}
