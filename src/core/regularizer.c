#include "regularizer.h"

#include <math.h>

static float
modulus2(const float *row, size_t d, size_t j)
{
    return row[j] * row[j] + row[d + j] * row[d + j];
}

static double
cubed(double m2)
{
    return m2 * sqrt(m2);
}

static double
triple_loss(MetasdRegularizer kind, size_t d, const float *h, const float *r, const float *t)
{
    double loss = 0;

    for (size_t j = 0; j < d; j++) {
        double h2 = modulus2(h, d, j), r2 = modulus2(r, d, j), t2 = modulus2(t, d, j);

        loss +=
            kind == METASD_N3 ? cubed(h2) + cubed(r2) + cubed(t2) : (h2 + t2) * (0.5 + 1.5 * r2);
    }
    return loss;
}

MetasdStatus
metasd_regularizer_rows(MetasdTeam *team, MetasdRegularizer kind, const MetasdStep *step,
                        const MetasdBatch *batch, const float *table, size_t first, size_t end,
                        double *loss)
{
    size_t width = step->width;
    const float *relations = table + (size_t)step->entities * width;

    for (size_t g = first; g < end; g++) {
        loss[g] = 0;
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            loss[g] += triple_loss(kind, width / 2, table + batch->heads[g] * width,
                                   relations + batch->relations[g] * width,
                                   table + batch->tails[i] * width);
            METASD_TRY(metasd_team_work(team, 4 * width));
        }
    }
    return METASD_OK;
}

/* gradient += factor x row x (1 + 3 |other|^2) for DURA, x 3 |row| for N3. */
static void
add_entity(MetasdRegularizer kind, size_t d, const float *restrict row, const float *restrict other,
           float factor, float *restrict gradient)
{
    for (size_t j = 0; j < d; j++) {
        float by = kind == METASD_N3 ? 3.0f * sqrtf(modulus2(row, d, j))
                                     : 1.0f + 3.0f * modulus2(other, d, j);

        gradient[j] += factor * by * row[j];
        gradient[d + j] += factor * by * row[d + j];
    }
}

/* gradient += factor x relation x 3 (|h|^2 + |t|^2) for DURA, x 3 |relation| for N3. */
static void
add_relation(MetasdRegularizer kind, size_t d, const float *restrict relation,
             const float *restrict head, const float *restrict tail, float factor,
             float *restrict gradient)
{
    for (size_t j = 0; j < d; j++) {
        float by = kind == METASD_N3 ? 3.0f * sqrtf(modulus2(relation, d, j))
                                     : 3.0f * (modulus2(head, d, j) + modulus2(tail, d, j));

        gradient[j] += factor * by * relation[j];
        gradient[d + j] += factor * by * relation[d + j];
    }
}

static bool
in(const MetasdRun *run, size_t at)
{
    return at >= run->first && at < run->end;
}

MetasdStatus
metasd_regularizer_gradient(MetasdTeam *team, MetasdRegularizer kind, const MetasdStep *step,
                            const MetasdBatch *batch, const float *table, float scale,
                            const MetasdRun own[2], float *gradient)
{
    size_t width = step->width, d = width / 2;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width;
        size_t r = ((size_t)step->entities + batch->relations[g]) * width;
        size_t examples = batch->start[g + 1] - batch->start[g];

        if (in(&own[0], h))
            add_entity(kind, d, table + h, table + r, scale * (float)examples, gradient + h);
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            size_t t = batch->tails[i] * width;

            if (in(&own[0], t))
                add_entity(kind, d, table + t, table + r, scale, gradient + t);
            if (in(&own[1], r))
                add_relation(kind, d, table + r, table + h, table + t, scale, gradient + r);
            METASD_TRY(metasd_team_work(team, 8 * width));
        }
    }
    return METASD_OK;
}
