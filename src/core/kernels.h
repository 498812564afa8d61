/*
 * kernels.h - softmax, Kullback-Leibler terms and their gradients, a row at a time.
 *
 * A row of scores lies in slices, each with its own member of the team: a slice
 * gives partial sums relative to its own maximum, the slices of a row are joined
 * in order, and the gradient kernels then need only the joined numbers. Scores of
 * any size are safe and lose no precision: every exponential is of a difference
 * from the row's maximum. A score that is not a number makes the sums so. Notation
 * as in ALGORITHM.md, sections 4 and 5: t is the source, s the student, p =
 * softmax(t / tau), q = softmax(s / tau).
 */
#ifndef METASD_KERNELS_H
#define METASD_KERNELS_H

#include <stddef.h>

/*
 * Compiled once for each instruction set worth having and chosen when the library
 * is loaded, by what the processor can do (the name of a processor would only
 * choose for that one); plain C elsewhere. Sanitizers do not know such dispatch.
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && __GNUC__ >= 12 &&        \
    !defined(__clang__) && !defined(METASD_PLAIN)
#define METASD_VECTORISE                                                                           \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define METASD_VECTORISE
#endif

/* Partial sums of one row of scores z over one slice. */
typedef struct MetasdPartial {
    double max;     /* of z */
    double sum;     /* of exp(z - max) */
    double sum_tau; /* of exp((z - max) / tau) */
    double cross;   /* of exp((z - max) / tau) ((z - max) - (other - max of other)) */
} MetasdPartial;

/* A whole row, joined: log sum exp(z) = max + log(sum). */
typedef struct MetasdRow {
    double max;
    double sum;        /* of exp(z - max) */
    double sum_tau;    /* of exp((z - max) / tau); 1 where there is no guide */
    double divergence; /* KL(softmax(z / tau) || softmax(other / tau)), at least 0 */
} MetasdRow;

/* Sums over n scores without a guide: only max and sum are set. */
extern void metasd_partial(size_t n, const float *z, MetasdPartial *out);

/* Sums over n scores of two rows that guide each other. */
extern void metasd_partial_pair(size_t n, const float *t, const float *s, float tau,
                                MetasdPartial *source, MetasdPartial *student);

/* Joins `count` partial sums of a row, in order. */
extern void metasd_row_join(const MetasdPartial *parts, size_t stride, int count, MetasdRow *row);

/* Joins those of a pair, with their divergences. */
extern void metasd_row_join_pair(const MetasdPartial *source_parts,
                                 const MetasdPartial *student_parts, size_t stride, int count,
                                 float tau, MetasdRow *source, MetasdRow *student);

/* z becomes weight softmax(z), the cross-entropy's gradient before its targets are taken off. */
extern void metasd_gradient_tail(size_t n, float *z, const MetasdRow *row, float weight);

/* What the gradients of one row have in common. */
typedef struct MetasdGuide {
    MetasdRow source, student;
    float weight;  /* of the row's tail loss */
    float forward; /* c / (n tau) x the weight of KL(other || mine), for d KL / d mine = q - p */
    float reverse; /* c / (n tau) x the weight of KL(mine || other) */
    float tau;
} MetasdGuide;

/* out = the student's gradient: tail, forward x (q - p), reverse x q (log q - log p - KL(q||p)). */
extern void metasd_gradient_student(size_t n, const float *t, const float *s,
                                    const MetasdGuide *guide, float *out);

/* t and s become their gradients, each with the other as its guide. */
extern void metasd_gradient_mutual(size_t n, float *t, float *s, const MetasdGuide *guide);

/* *source_dot = <p, zdot>, *student_dot = <q, zdot> over a slice. */
extern void metasd_meta_dots(size_t n, const float *t, const float *s, const float *zdot,
                             const MetasdGuide *guide, double *source_dot, double *student_dot);

/*
 * zdot becomes the quiz loss's gradient by the source's scores (section 5):
 * forward x p (zdot - <p, zdot>) + reverse x q (zdot - <q, zdot>).
 */
extern void metasd_gradient_meta(size_t n, const float *t, const float *s, float *zdot,
                                 const MetasdGuide *guide, double source_dot, double student_dot);

/* x[i] = exp(x[i]) for x <= 88, relative error below 2e-7; 0 below -87.3. For tests. */
extern void metasd_exp(size_t n, float *x);

#endif
