#include "regularizer.h"

#include <math.h>

/* How a family lays out the vectors of a triple. */
typedef struct Layout {
    size_t rank; /* components of a vector */
    bool pairs;  /* a component is complex: two reals, `rank` apart */
    size_t tail; /* where the tail's vector starts in its row */
} Layout;

static Layout
layout_of(const MetasdStep *step)
{
    size_t rank = step->width / step->family->reals_per_rank;

    return (Layout){
        .rank = rank, .pairs = step->family->reals == 2, .tail = step->family->tail_at * rank};
}

static inline float
modulus2(const float *x, Layout layout, size_t j)
{
    return x[j] * x[j] + (layout.pairs ? x[layout.rank + j] * x[layout.rank + j] : 0);
}

static double
cubed(double m2)
{
    return m2 * sqrt(m2);
}

static double
triple_loss(MetasdRegularizer kind, Layout layout, const float *h, const float *r, const float *t)
{
    double loss = 0;

    for (size_t j = 0; j < layout.rank; j++) {
        double h2 = modulus2(h, layout, j), r2 = modulus2(r, layout, j),
               t2 = modulus2(t, layout, j);

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
    Layout layout = layout_of(step);
    size_t width = step->width;
    const float *relations = table + (size_t)step->entities * width;

    for (size_t g = first; g < end; g++) {
        loss[g] = 0;
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            loss[g] += triple_loss(kind, layout, table + batch->heads[g] * width,
                                   relations + batch->relations[g] * width,
                                   table + batch->tails[i] * width + layout.tail);
            METASD_TRY(metasd_team_work(team, 4 * width));
        }
    }
    return METASD_OK;
}

/* gradient += by x component j. */
static inline void
add_component(const float *restrict x, Layout layout, size_t j, float by, float *restrict gradient)
{
    gradient[j] += by * x[j];
    if (layout.pairs)
        gradient[layout.rank + j] += by * x[layout.rank + j];
}

/* gradient += factor x vector x (1 + 3 |relation|^2) for DURA, x 3 |vector| for N3. */
static void
add_entity(MetasdRegularizer kind, Layout layout, const float *restrict vector,
           const float *restrict relation, float factor, float *restrict gradient)
{
    for (size_t j = 0; j < layout.rank; j++) {
        float by = kind == METASD_N3 ? 3.0f * sqrtf(modulus2(vector, layout, j))
                                     : 1.0f + 3.0f * modulus2(relation, layout, j);

        add_component(vector, layout, j, factor * by, gradient);
    }
}

/* gradient += factor x relation x 3 (|h|^2 + |t|^2) for DURA, x 3 |relation| for N3. */
static void
add_relation(MetasdRegularizer kind, Layout layout, const float *restrict relation,
             const float *restrict head, const float *restrict tail, float factor,
             float *restrict gradient)
{
    for (size_t j = 0; j < layout.rank; j++) {
        float by = kind == METASD_N3
                       ? 3.0f * sqrtf(modulus2(relation, layout, j))
                       : 3.0f * (modulus2(head, layout, j) + modulus2(tail, layout, j));

        add_component(relation, layout, j, factor * by, gradient);
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
    Layout layout = layout_of(step);
    size_t width = step->width;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width;
        size_t r = ((size_t)step->entities + batch->relations[g]) * width;
        size_t examples = batch->start[g + 1] - batch->start[g];

        if (in(&own[0], h))
            add_entity(kind, layout, table + h, table + r, scale * (float)examples, gradient + h);
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            size_t t = batch->tails[i] * width + layout.tail;

            if (in(&own[0], t))
                add_entity(kind, layout, table + t, table + r, scale, gradient + t);
            if (in(&own[1], r))
                add_relation(kind, layout, table + r, table + h, table + t, scale, gradient + r);
            METASD_TRY(metasd_team_work(team, 8 * width));
        }
    }
    return METASD_OK;
}
