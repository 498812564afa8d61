/*
 * family.h - bilinear scoring functions, one per family.
 *
 * Every family here scores a triple by a form that is linear in the head, in the
 * relation and in the tail: score(h, r, t) = <compose(h, r), t>. Training and serving need
 * its three contractions only. Rows of entities and relations have `width` reals each; for rank d:
 *
 *    complex   2 d: d real parts, then d imaginary parts (Trouillon et al. 2016);
 *              score = Re sum h r conj(t)
 *    distmult  d (Yang et al. 2015); score = sum h r t, the same for (t, r, h): such a model does
 *              not know the direction of a relation
 */
#ifndef METASD_CORE_MODEL_FAMILY_H
#define METASD_CORE_MODEL_FAMILY_H

#include <stddef.h>

#define METASD_MOST_REALS 2 /* of a component, in any family */

typedef struct MetasdFamily {
    const char *name;
    size_t reals_per_rank; /* 2 for complex numbers: the imaginary parts follow the real ones */

    /* query[width] = the vector whose inner product with a tail is the score */
    void (*compose)(size_t width, const float *head, const float *relation, float *query);

    /* out[width] += d<query, dquery> / d head: the vector-Jacobian product towards the head */
    void (*adjoint_head)(size_t width, const float *relation, const float *dquery, float *out);

    /* out[width] += d<query, dquery> / d relation; with dquery = a tail, the relation's query */
    void (*adjoint_relation)(size_t width, const float *head, const float *dquery, float *out);

    /* out[width] = the relation's reciprocal: (t, out, h) has the score of (h, relation, t) */
    void (*reciprocate)(size_t width, const float *relation, float *out);
} MetasdFamily;

extern const MetasdFamily metasd_family_complex;

/* Found by its name; its own name is for tests. */
extern const MetasdFamily metasd_family_distmult;

/* The family of that name, or NULL. */
extern const MetasdFamily *metasd_family(const char *name);

/*
 * The Jacobian-vector product: query_dot[width] = the derivative of the query
 * when head and relation move along head_dot and relation_dot. `scratch` has
 * width floats.
 */
extern void metasd_family_compose_jvp(const MetasdFamily *family, size_t width, const float *head,
                                      const float *relation, const float *head_dot,
                                      const float *relation_dot, float *query_dot, float *scratch);

#endif
