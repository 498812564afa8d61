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

void
metasd_regularizer_rows(MetasdRegularizer kind, size_t width, const MetasdBatch *batch,
                        const float *entities, const float *relations, size_t first, size_t end,
                        double *loss)
{
    for (size_t g = first; g < end; g++) {
        loss[g] = 0;
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++)
            loss[g] += triple_loss(kind, width / 2, entities + batch->heads[g] * width,
                                   relations + batch->relations[g] * width,
                                   entities + batch->tails[i] * width);
    }
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

void
metasd_regularizer_gradient(MetasdRegularizer kind, size_t width, const MetasdBatch *batch,
                            const float *entities, const float *relations, float scale,
                            const MetasdRun own[2], size_t n, float *gradient)
{
    size_t d = width / 2;

    for (size_t g = 0; g < batch->groups; g++) {
        size_t h = batch->heads[g] * width, r = batch->relations[g] * width;
        size_t relation = n * width + r, examples = batch->start[g + 1] - batch->start[g];

        if (h >= own[0].first && h < own[0].end)
            add_entity(kind, d, entities + h, relations + r, scale * (float)examples, gradient + h);
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            size_t t = batch->tails[i] * width;

            if (t >= own[0].first && t < own[0].end)
                add_entity(kind, d, entities + t, relations + r, scale, gradient + t);
            if (relation >= own[1].first && relation < own[1].end)
                add_relation(kind, d, relations + r, entities + h, entities + t, scale,
                             gradient + relation);
        }
    }
}
