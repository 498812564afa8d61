/*
 * family.h - bilinear scoring functions, one per family.
 *
 * Every family here scores a triple by a form that is linear in the head, in the
 * relation and in the tail: score(h, r, t) = <compose(h, r), t>. Its three
 * contractions are all that training and serving need. A row has `width` reals,
 * entities' and relations' alike; by rank d they are
 *
 *    complex   2 d: d real parts, then d imaginary parts (Trouillon et al. 2016);
 *              score = Re sum h r conj(t)
 *    distmult  d (Yang et al. 2015); score = sum h r t, which is that of (t, r, h) too: where
 *              an entity is head and tail of one relation, directions are not told apart
 */
#ifndef METASD_CORE_MODEL_FAMILY_H
#define METASD_CORE_MODEL_FAMILY_H

#include <stddef.h>

#define METASD_MOST_REALS 2 /* of a component, in any family */

typedef struct MetasdFamily {
    const char *name;
    size_t
        reals_per_rank; /* of a component: 2 of a complex number, the second d behind the first */

    /* query[width] = the vector whose inner product with a tail is the score */
    void (*compose)(size_t width, const float *head, const float *relation, float *query);

    /* out[width] += d<query, dquery> / d head: the vector-Jacobian product towards the head */
    void (*adjoint_head)(size_t width, const float *relation, const float *dquery, float *out);

    /* out[width] += d<query, dquery> / d relation; with dquery = a tail, the relation's query */
    void (*adjoint_relation)(size_t width, const float *head, const float *dquery, float *out);
} MetasdFamily;

extern const MetasdFamily metasd_family_complex, metasd_family_distmult;

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
