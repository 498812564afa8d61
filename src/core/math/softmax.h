/*
 * softmax.h - softmax, Kullback-Leibler terms and their gradients, one tile at a time.
 *
 * A tile is METASD_TILE queries side by side: scores lie entity by entity, so that each
 * query has a lane of its own and no sum ever crosses lanes. A tile of a slice (`rows`
 * entities, `stride` floats from one to the next) gives partial sums relative to the
 * slice's own maxima; those of all slices are joined in order, and the gradients then
 * need only the joined numbers. Scores of any size are safe: every exponential is of a
 * difference from a maximum. A score that is not a number makes the sums so. Lanes
 * beyond the last query hold anything and spoil nothing. Notation (doc/method.md, "A training
 * step"): t are scores of the full model, s of the student, p = softmax(t / tau), q = softmax(s /
 * tau).
 *
 * `each` (NULL, or one number per entity) multiplies the exponentials of an entity: 1 over
 * the probability that it was sampled, where the softmax is over a sample (negatives.h).
 */
#ifndef METASD_CORE_MATH_SOFTMAX_H
#define METASD_CORE_MATH_SOFTMAX_H

#include <stddef.h>

#include "core/base/simd.h"
#include "core/math/tile.h"

/* Partial sums of a tile's scores z over one slice. */
typedef struct MetasdSoftmaxPartial {
    float max[METASD_TILE];      /* of z */
    double sum[METASD_TILE];     /* of exp(z - max) */
    double sum_tau[METASD_TILE]; /* of exp((z - max) / tau) */
    double cross[METASD_TILE];   /* of exp((z - max) / tau) ((z - max) - (other - max of other)) */
} MetasdSoftmaxPartial;

/* All scores of a query, joined: log sum exp(z) = max + log(sum). */
typedef struct MetasdSoftmaxRow {
    double max;
    double sum;        /* of exp(z - max) */
    double sum_tau;    /* of exp((z - max) / tau); 1 where one model is scored */
    double divergence; /* KL(softmax(z / tau) || softmax(other / tau)), at least 0 */
} MetasdSoftmaxRow;

/* The joined sums of a query's scores, and its weights in the loss. */
typedef struct MetasdSoftmaxPair {
    MetasdSoftmaxRow full, student; /* the student's, where both models are scored */
    float weight;                   /* of the query's tail loss */
    float forward; /* c / (n tau) x the weight of KL(other || learner): d KL / d s = q - p */
    float reverse; /* c / (n tau) x the weight of KL(learner || other) */
} MetasdSoftmaxPair;

/* The temperature in the form that the kernels take. */
typedef struct MetasdTemperature {
    float per_tau; /* 1 / tau */
    int power;     /* tau where it is 1, 2 or 3: exp(z) is then that power of exp(z / tau), with */
                   /* as many times its error; else 0 */
} MetasdTemperature;

/*
 * The pairs of a tile in the form that the kernels take; [0] of the full model, [1] of the student.
 */
typedef struct MetasdSoftmaxTile {
    float max[2][METASD_TILE];         /* softmax(z / tau) = exp((z - max) / tau) per_sum_tau */
    float per_sum_tau[2][METASD_TILE]; /* */
    float weight[2][METASD_TILE];      /* of exp(z - max) in the gradient of the tail loss */
    float shift[2][METASD_TILE];       /* log(p / q) - KL(p || q) = a - b - shift, likewise of q */
    float forward[METASD_TILE], reverse[METASD_TILE];
} MetasdSoftmaxTile;

extern MetasdTemperature metasd_softmax_temperature(float tau);

/* ---- sums ---- */

/* Sums of one model: max and sum are set, and z becomes exp(z - max) x each. */
extern void metasd_softmax_sums(size_t rows, size_t stride, float *z, const float *each,
                                MetasdSoftmaxPartial *out);

/* Sums of both models. */
extern void metasd_softmax_sums_pair(size_t rows, size_t stride, const float *t, const float *s,
                                     const float *each, MetasdTemperature temperature,
                                     MetasdSoftmaxPartial *full, MetasdSoftmaxPartial *student);

/* Joins the sums of one lane over `count` slices, in order; parts of a slice lie `step` apart. */
extern void metasd_softmax_join(const MetasdSoftmaxPartial *parts, size_t step, int count,
                                size_t lane, MetasdSoftmaxRow *row);

/* Joins those of a pair, with their divergences. */
extern void metasd_softmax_join_pair(const MetasdSoftmaxPartial *full_parts,
                                     const MetasdSoftmaxPartial *student_parts, size_t step,
                                     int count, size_t lane, float tau, MetasdSoftmaxRow *full,
                                     MetasdSoftmaxRow *student);

/* The tile of `n` pairs; the lanes beyond get zeros. */
extern void metasd_softmax_prepare(const MetasdSoftmaxPair *pairs, size_t n,
                                   MetasdSoftmaxTile *tile);

/* ---- gradients ---- */

/* After metasd_softmax_sums: z becomes scale x z, with a factor per lane. */
extern void metasd_softmax_scale(size_t rows, size_t stride, float *z, const float *scale);

/* out = the student's gradient: tail, forward x (q - p), reverse x q (log q - log p - KL(q||p)). */
extern void metasd_softmax_gradient_student(size_t rows, size_t stride, const float *t,
                                            const float *s, const float *each,
                                            MetasdTemperature temperature,
                                            const MetasdSoftmaxTile *tile, float *out);

/* t and s become their gradients; in each loss the other one is a constant. */
extern void metasd_softmax_gradient_mutual(size_t rows, size_t stride, float *t, float *s,
                                           const float *each, MetasdTemperature temperature,
                                           const MetasdSoftmaxTile *tile);

/*
 * The first half of the quiz's gradient by the full model's scores: adds <p, zdot> and
 * <q, zdot> to dots[0] and [1] (METASD_TILE each), and t and s become p and q.
 */
extern void metasd_softmax_quiz_dots(size_t rows, size_t stride, float *t, float *s,
                                     const float *zdot, const float *each,
                                     MetasdTemperature temperature, const MetasdSoftmaxTile *tile,
                                     double dots[2][METASD_TILE]);

/* The second: zdot becomes forward x p (zdot - <p, zdot>) + reverse x q (zdot - <q, zdot>). */
extern void metasd_softmax_gradient_quiz(size_t rows, size_t stride, const float *p, const float *q,
                                         const float means[2][METASD_TILE],
                                         const MetasdSoftmaxTile *tile, float *zdot);

#endif
