#include "score.h"

#include <math.h>
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

float *
metasd_pass_panel(const MetasdPass *pass, int b, int s, size_t *columns)
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
        float *panel = metasd_pass_panel(pass, b, s, &columns);

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

/* Calls for each target of the block that lies in a slice of this member. */
#define FOR_EACH_TARGET(pass, b, targets, score, index, body)                                      \
    do {                                                                                           \
        int first_, end_;                                                                          \
        metasd_team_slices((pass)->team, (pass)->slices, &first_, &end_);                          \
        for (int s_ = first_; s_ < end_; s_++) {                                                   \
            size_t columns_;                                                                       \
            float *panel_ = metasd_pass_panel(pass, b, s_, &columns_);                             \
            uint32_t low_ = (pass)->slices->start[s_];                                             \
            for (size_t i_ = 0; i_ < (pass)->rows; i_++)                                           \
                for (size_t index = (targets)->start[i_]; index < (targets)->start[i_ + 1];        \
                     index++) {                                                                    \
                    uint32_t id_ = (targets)->ids[index];                                          \
                    if (id_ >= low_ && id_ - low_ < columns_) {                                    \
                        float *score = panel_ + i_ * columns_ + (id_ - low_);                      \
                        body;                                                                      \
                    }                                                                              \
                }                                                                                  \
        }                                                                                          \
    } while (0)

void
metasd_pass_keep_targets(const MetasdPass *pass, int b, int t, const MetasdTargets *targets)
{
    float *kept = pass->scores->target_scores[t];

    FOR_EACH_TARGET(pass, b, targets, score, index, kept[index] = *score);
}

void
metasd_pass_subtract_targets(const MetasdPass *pass, int b, const MetasdTargets *targets)
{
    const float *weights = targets->class_weights;

    FOR_EACH_TARGET(pass, b, targets, score, index,
                    *score -= targets->scale * (weights ? weights[targets->ids[index]] : 1.0f));
}

/* This member's slices of every row's partial sums. */
static MetasdStatus
partial_sums(const MetasdPass *pass, int b, int other, float tau, MetasdPartial *partials)
{
    int first, end;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        size_t columns;
        const float *panel = metasd_pass_panel(pass, b, s, &columns);
        const float *guide = other < 0 ? NULL : metasd_pass_panel(pass, other, s, &columns);

        for (size_t i = 0; i < pass->rows; i++)
            metasd_partial(columns, panel + i * columns, guide ? guide + i * columns : NULL, tau,
                           &partials[(size_t)s * pass->rows + i]);
        METASD_TRY(pass->team->poll(pass->team));
    }
    return METASD_OK;
}

MetasdStatus
metasd_pass_sums(const MetasdPass *pass, int b, int other, float tau, MetasdGuide *guides)
{
    MetasdPartial *const *partials = pass->scores->partials;
    int slices = pass->slices->count;
    size_t first, end;

    METASD_TRY(partial_sums(pass, b, other, tau, partials[0]));
    if (other >= 0)
        METASD_TRY(partial_sums(pass, other, b, tau, partials[1]));
    METASD_TRY(pass->team->barrier(pass->team));

    metasd_team_share(pass->team, pass->rows, &first, &end);
    for (size_t i = first; i < end; i++) {
        MetasdRow *source = &guides[i].source, *student = &guides[i].student;
        double cross, other_cross;

        metasd_row_join(partials[0] + i, pass->rows, slices, tau, source, &cross);
        if (other < 0)
            continue;
        metasd_row_join(partials[1] + i, pass->rows, slices, tau, student, &other_cross);
        source->divergence = fmax(0, cross - source->lse_tau + student->lse_tau);
        student->divergence = fmax(0, other_cross - student->lse_tau + source->lse_tau);
        guides[i].tau = tau;
    }
    return pass->team->barrier(pass->team);
}

MetasdStatus
metasd_pass_dots(const MetasdPass *pass, const MetasdGuide *guides, const double **dots)
{
    double *parts = pass->scores->dots;
    double *sums = parts + 2 * (size_t)pass->slices->count * pass->rows;
    int first, end;
    size_t from, to;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        size_t columns;
        const float *t = metasd_pass_panel(pass, 0, s, &columns);
        const float *q = metasd_pass_panel(pass, 1, s, &columns);
        const float *dot = metasd_pass_panel(pass, 2, s, &columns);

        for (size_t i = 0; i < pass->rows; i++) {
            double *out = parts + 2 * ((size_t)s * pass->rows + i);

            metasd_meta_dots(columns, t + i * columns, q + i * columns, dot + i * columns,
                             &guides[i], &out[0], &out[1]);
        }
        METASD_TRY(pass->team->poll(pass->team));
    }
    METASD_TRY(pass->team->barrier(pass->team));
    metasd_team_share(pass->team, 2 * pass->rows, &from, &to);
    for (size_t i = from; i < to; i++) {
        sums[i] = 0;
        for (int s = 0; s < pass->slices->count; s++)
            sums[i] += parts[2 * (size_t)s * pass->rows + i];
    }
    *dots = sums;
    return pass->team->barrier(pass->team);
}

MetasdStatus
metasd_pass_back(const MetasdPass *pass, int b, const float *queries, const float *table,
                 float *table_gradient, float *dqueries)
{
    size_t width = pass->width, part = pass->rows * width, from, to;
    float *parts = pass->scores->parts;
    int first, end;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        size_t columns, at = (size_t)pass->slices->start[s] * width;
        const float *panel = metasd_pass_panel(pass, b, s, &columns);

        METASD_TRY(metasd_product_add_atb(pass->team, columns, width, pass->rows, panel, columns,
                                          queries, width, table_gradient + at, width));
        METASD_TRY(metasd_product_ab(pass->team, pass->rows, width, columns, panel, columns,
                                     table + at, width, parts + (size_t)s * part, width));
    }
    METASD_TRY(pass->team->barrier(pass->team));
    metasd_team_share(pass->team, part, &from, &to);
    memcpy(dqueries + from, parts + from, (to - from) * sizeof(*dqueries));
    for (int s = 1; s < pass->slices->count; s++)
        for (size_t i = from; i < to; i++)
            dqueries[i] += parts[(size_t)s * part + i];
    return pass->team->barrier(pass->team);
}
