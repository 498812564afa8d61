#include "core/model/family.h"

#include <string.h>

static void
complex_compose(size_t width, const float *restrict head, const float *restrict relation,
                float *restrict query)
{
    size_t d = width / 2;

    for (size_t j = 0; j < d; j++) {
        query[j] = head[j] * relation[j] - head[d + j] * relation[d + j];
        query[d + j] = head[j] * relation[d + j] + head[d + j] * relation[j];
    }
}

/*
 * q = h r, so the adjoint towards either factor multiplies by the conjugate of
 * the other: the two adjoints are the same function.
 */
static void
complex_adjoint(size_t width, const float *restrict factor, const float *restrict dquery,
                float *restrict out)
{
    size_t d = width / 2;

    for (size_t j = 0; j < d; j++) {
        out[j] += factor[j] * dquery[j] + factor[d + j] * dquery[d + j];
        out[d + j] += factor[j] * dquery[d + j] - factor[d + j] * dquery[j];
    }
}

/* Re(t r' conj(h)) = Re(h r conj(t)) where r' is the conjugate of r. */
static void
complex_reciprocate(size_t width, const float *restrict relation, float *restrict out)
{
    size_t d = width / 2;

    for (size_t j = 0; j < d; j++) {
        out[j] = relation[j];
        out[d + j] = -relation[d + j];
    }
}

const MetasdFamily metasd_family_complex = {
    .name = "complex",
    .reals_per_rank = 2,
    .compose = complex_compose,
    .adjoint_head = complex_adjoint,
    .adjoint_relation = complex_adjoint,
    .reciprocate = complex_reciprocate,
};

static void
distmult_compose(size_t width, const float *restrict head, const float *restrict relation,
                 float *restrict query)
{
    for (size_t j = 0; j < width; j++)
        query[j] = head[j] * relation[j];
}

static void
distmult_adjoint(size_t width, const float *restrict factor, const float *restrict dquery,
                 float *restrict out)
{
    for (size_t j = 0; j < width; j++)
        out[j] += factor[j] * dquery[j];
}

/* The score is the same in both directions. */
static void
distmult_reciprocate(size_t width, const float *restrict relation, float *restrict out)
{
    memcpy(out, relation, width * sizeof(*out));
}

const MetasdFamily metasd_family_distmult = {
    .name = "distmult",
    .reals_per_rank = 1,
    .compose = distmult_compose,
    .adjoint_head = distmult_adjoint,
    .adjoint_relation = distmult_adjoint,
    .reciprocate = distmult_reciprocate,
};

const MetasdFamily *
metasd_family(const char *name)
{
    static const MetasdFamily *const families[] = {&metasd_family_complex, &metasd_family_distmult};

    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
        if (strcmp(name, families[f]->name) == 0)
            return families[f];
    return NULL;
}

void
metasd_family_compose_jvp(const MetasdFamily *family, size_t width, const float *head,
                          const float *relation, const float *head_dot, const float *relation_dot,
                          float *query_dot, float *scratch)
{
    family->compose(width, head_dot, relation, query_dot);
    family->compose(width, head, relation_dot, scratch);
    for (size_t j = 0; j < width; j++)
        query_dot[j] += scratch[j];
}
