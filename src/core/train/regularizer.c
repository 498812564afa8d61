#include "core/train/regularizer.h"

#include <math.h>

#include "core/base/simd.h"

/* How a family lays out the vectors of a triple. */
typedef struct Layout {
    size_t rank; /* components of a vector */
    bool pairs;  /* a component is complex: two reals, `rank` apart */
} Layout;

static Layout
layout_of(const MetasdWeightRows *rows)
{
    size_t reals = rows->family->reals_per_rank;

    return (Layout){.rank = rows->width / reals, .pairs = reals == 2};
}

/*
 * The loops below are written once for `pairs` and for real components, and compiled for each: a
 * test of it in every component would cost as much as the arithmetic.
 */
#define FOR_EACH_KIND static inline __attribute__((always_inline))

FOR_EACH_KIND float
modulus2(const float *x, size_t d, bool pairs, size_t j)
{
    return pairs ? x[j] * x[j] + x[d + j] * x[d + j] : x[j] * x[j];
}

static double
cubed(double m2)
{
    return m2 * sqrt(m2);
}

FOR_EACH_KIND double
loss_of(MetasdRegularizer kind, size_t d, bool pairs, const float *h, const float *r,
        const float *t)
{
    double loss = 0;

#pragma omp simd reduction(+ : loss)
    for (size_t j = 0; j < d; j++) {
        double h2 = modulus2(h, d, pairs, j), r2 = modulus2(r, d, pairs, j),
               t2 = modulus2(t, d, pairs, j);

        loss +=
            kind == METASD_N3 ? cubed(h2) + cubed(r2) + cubed(t2) : (h2 + t2) * (0.5 + 1.5 * r2);
    }
    return loss;
}

METASD_VECTORISE static double
triple_loss(MetasdRegularizer kind, Layout layout, const float *h, const float *r, const float *t)
{
    return layout.pairs ? loss_of(kind, layout.rank, true, h, r, t)
                        : loss_of(kind, layout.rank, false, h, r, t);
}

MetasdStatus
metasd_regularizer_rows(MetasdTeam *team, MetasdRegularizer kind, const MetasdWeightRows *rows,
                        const MetasdBatch *batch, size_t first, size_t end, double *loss)
{
    Layout layout = layout_of(rows);
    size_t width = rows->width;
    const float *table = rows->weights, *relations = table + (size_t)rows->entities * width;

    for (size_t g = first; g < end; g++) {
        loss[g] = 0;
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            loss[g] += triple_loss(kind, layout, table + batch->heads[g] * width,
                                   relations + batch->relations[g] * width,
                                   table + batch->tails[i] * width);
            METASD_TRY(metasd_team_work(team, 4 * width));
        }
    }
    return METASD_OK;
}

/* gradient += by x component j of x. */
FOR_EACH_KIND void
add_component(const float *restrict x, size_t d, bool pairs, size_t j, float by,
              float *restrict gradient)
{
    gradient[j] += by * x[j];
    if (pairs)
        gradient[d + j] += by * x[d + j];
}

FOR_EACH_KIND void
add_to_entity(MetasdRegularizer kind, size_t d, bool pairs, const float *restrict vector,
              const float *restrict relation, float factor, float *restrict gradient)
{
#pragma omp simd
    for (size_t j = 0; j < d; j++) {
        float by = kind == METASD_N3 ? 3.0f * sqrtf(modulus2(vector, d, pairs, j))
                                     : 1.0f + 3.0f * modulus2(relation, d, pairs, j);

        add_component(vector, d, pairs, j, factor * by, gradient);
    }
}

/* gradient += factor x vector x (1 + 3 |relation|^2) for DURA, x 3 |vector| for N3. */
static void
add_entity(MetasdRegularizer kind, Layout layout, const float *restrict vector,
           const float *restrict relation, float factor, float *restrict gradient)
{
    if (layout.pairs)
        add_to_entity(kind, layout.rank, true, vector, relation, factor, gradient);
    else
        add_to_entity(kind, layout.rank, false, vector, relation, factor, gradient);
}

FOR_EACH_KIND void
add_to_relation(MetasdRegularizer kind, size_t d, bool pairs, const float *restrict relation,
                const float *restrict head, const float *restrict tail, float factor,
                float *restrict gradient)
{
#pragma omp simd
    for (size_t j = 0; j < d; j++) {
        float by = kind == METASD_N3
                       ? 3.0f * sqrtf(modulus2(relation, d, pairs, j))
                       : 3.0f * (modulus2(head, d, pairs, j) + modulus2(tail, d, pairs, j));

        add_component(relation, d, pairs, j, factor * by, gradient);
    }
}

/* gradient += factor x relation x 3 (|h|^2 + |t|^2) for DURA, x 3 |relation| for N3. */
static void
add_relation(MetasdRegularizer kind, Layout layout, const float *restrict relation,
             const float *restrict head, const float *restrict tail, float factor,
             float *restrict gradient)
{
    if (layout.pairs)
        add_to_relation(kind, layout.rank, true, relation, head, tail, factor, gradient);
    else
        add_to_relation(kind, layout.rank, false, relation, head, tail, factor, gradient);
}

static bool
contains(const MetasdSpan *span, size_t at)
{
    return at >= span->first && at < span->end;
}

MetasdStatus
metasd_regularizer_gradient(MetasdTeam *team, MetasdRegularizer kind, const MetasdWeightRows *rows,
                            const MetasdBatch *batch, float scale, const MetasdSpan own[2],
                            float *gradient)
{
    Layout layout = layout_of(rows);
    const float *table = rows->weights;
    size_t width = rows->width;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width;
        size_t r = ((size_t)rows->entities + batch->relations[g]) * width;
        size_t examples = batch->start[g + 1] - batch->start[g];

        if (contains(&own[0], h))
            add_entity(kind, layout, table + h, table + r, scale * (float)examples, gradient + h);
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            size_t t = batch->tails[i] * width;

            if (contains(&own[0], t))
                add_entity(kind, layout, table + t, table + r, scale, gradient + t);
            if (contains(&own[1], r))
                add_relation(kind, layout, table + r, table + h, table + t, scale, gradient + r);
            METASD_TRY(metasd_team_work(team, 8 * width));
        }
    }
    return METASD_OK;
}
