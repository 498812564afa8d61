/*
 * Softmax, divergences and their gradients agree with formulas in doubles, for scores of any size.
 *
 * The formulas are those of ALGORITHM.md, sections 4 and 5, written down again here.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "random.h"

#define MOST 2600
#define PARTS 3
#define TAU 3.0f

/* ---- exp ---- */

static void
exp_is_precise(void **state)
{
    double worst = 0;

    (void)state;
    for (double x = -87.3; x <= 88; x += 0.0137) {
        float y = (float)x;
        double wanted = exp((double)y);

        metasd_exp(1, &y);
        worst = fmax(worst, fabs((double)y - wanted) / wanted);
    }
    if (!(worst < 2e-7))
        fail_msg("relative error %g", worst);
}

/* Whole vectors and what is left over compute the same. */
static void
exp_does_not_depend_on_its_place(void **state)
{
    float together[101], alone;

    (void)state;
    for (int i = 0; i < 101; i++)
        together[i] = -0.83f * (float)i;
    metasd_exp(101, together);
    for (int i = 0; i < 101; i++) {
        alone = -0.83f * (float)i;
        metasd_exp(1, &alone);
        assert_true(fabsf(together[i] - alone) <= 2e-7f * alone);
    }
}

static void
exp_has_ends(void **state)
{
    float x[] = {-87.4f, -1e30f, -INFINITY, 0, NAN};

    (void)state;
    metasd_exp(5, x);
    assert_true(x[0] == 0 && x[1] == 0 && x[2] == 0);
    assert_true(x[3] == 1);
    assert_true(isnan(x[4]));
}

/* ---- rows of scores ---- */

typedef struct Case {
    const char *name;
    size_t n;
    void (*fill)(size_t n, float *t, float *s);
} Case;

static float
normal(uint64_t stream, size_t i)
{
    return (float)metasd_random_normal(21, stream, i);
}

static void
fill_usual(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = 4 * normal(1, i);
        s[i] = 0.5f * t[i] + normal(2, i);
    }
}

/* Most exponentials are 0. */
static void
fill_wide(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = 300 * normal(1, i);
        s[i] = 200 * normal(2, i);
    }
}

static void
fill_equal(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++)
        t[i] = s[i] = 0;
}

/* The logarithm of the sum is nothing beside such a maximum. */
static void
fill_huge_equal(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = 1e30f;
        s[i] = -1e30f;
    }
}

static void
fill_huge_apart(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = i % 3 == 0 ? 1e30f : -1e30f;
        s[i] = i % 2 == 0 ? 1e30f : -1e30f;
    }
}

static void
fill_far(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = 1048576.0f + 0.125f * (float)(i % 64);
        s[i] = -524288.0f + 0.125f * (float)(i % 56);
    }
}

/* Maxima and everything else come many times, as pruned rows score. */
static void
fill_ties(size_t n, float *t, float *s)
{
    for (size_t i = 0; i < n; i++) {
        t[i] = (float)(i % 4);
        s[i] = (float)(i % 5);
    }
}

static const Case cases[] = {
    {"usual", MOST, fill_usual},
    {"short", 5, fill_usual},
    {"single", 1, fill_usual},
    {"wide", MOST, fill_wide},
    {"equal", 999, fill_equal},
    {"huge and equal", 1500, fill_huge_equal},
    {"huge apart", 1500, fill_huge_apart},
    {"far from 0", MOST, fill_far},
    {"ties", 1030, fill_ties},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* ---- the formulas ---- */

typedef struct Soft {
    double p[MOST];     /* softmax */
    double log_p[MOST]; /* its logarithm */
} Soft;

static void
soften(size_t n, const float *z, double tau, Soft *soft)
{
    double max = -INFINITY, sum = 0;

    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)z[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(((double)z[i] - max) / tau);
    for (size_t i = 0; i < n; i++) {
        soft->log_p[i] = ((double)z[i] - max) / tau - log(sum);
        soft->p[i] = exp(soft->log_p[i]);
    }
}

/* KL(a || b) */
static double
divergence_of(size_t n, const Soft *a, const Soft *b)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        if (a->p[i] > 0)
            sum += a->p[i] * (a->log_p[i] - b->log_p[i]);
    return sum;
}

/* Everything about one pair of rows: ours, in as many parts as members would have, and theirs. */
typedef struct Pair {
    size_t n;
    float t[MOST], s[MOST];
    MetasdGuide guide;
    Soft hard_t, hard_s;          /* at temperature 1 */
    Soft soft_t, soft_s;          /* at TAU */
    double kl_source, kl_student; /* KL(p || q), KL(q || p) */
} Pair;

/* Where part `part` of n scores begins. */
static size_t
begin(size_t n, size_t part)
{
    return n * part / PARTS;
}

static Pair *
make_pair(const Case *of)
{
    static Pair pair;
    MetasdPartial parts[2][PARTS];
    int skip = of->n < PARTS ? PARTS - 1 : 0; /* a part of no scores joins nothing */

    pair = (Pair){.n = of->n};
    of->fill(of->n, pair.t, pair.s);
    soften(pair.n, pair.t, 1, &pair.hard_t);
    soften(pair.n, pair.s, 1, &pair.hard_s);
    soften(pair.n, pair.t, (double)TAU, &pair.soft_t);
    soften(pair.n, pair.s, (double)TAU, &pair.soft_s);
    pair.kl_source = divergence_of(pair.n, &pair.soft_t, &pair.soft_s);
    pair.kl_student = divergence_of(pair.n, &pair.soft_s, &pair.soft_t);
    for (size_t part = 0; part < PARTS; part++) {
        size_t from = begin(pair.n, part), to = begin(pair.n, part + 1);

        metasd_partial_pair(to - from, pair.t + from, pair.s + from, TAU, &parts[0][part],
                            &parts[1][part]);
    }
    pair.guide = (MetasdGuide){.weight = 0.7f, .forward = 0.3f, .reverse = 0.2f, .tau = TAU};
    metasd_row_join_pair(parts[0] + skip, parts[1] + skip, 1, PARTS - skip, TAU, &pair.guide.source,
                         &pair.guide.student);
    return &pair;
}

/* |ours - wanted| within `relative` of what the sum is made of; exponentials end at e^-87. */
static void
check(const char *name, const char *what, size_t i, double ours, double wanted, double terms,
      double relative)
{
    if (!(fabs(ours - wanted) <= relative * terms + 1e-30))
        fail_msg("%s, %s, score %zu: %.9g is not %.9g", name, what, i, ours, wanted);
}

/* ---- rows ---- */

static void
rows_are_softmax(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);
        const MetasdRow *row = &pair->guide.source;

        for (size_t i = 0; i < pair->n; i++)
            check(cases[c].name, "log softmax", i, (double)pair->t[i] - row->max - log(row->sum),
                  pair->hard_t.log_p[i], 1 + fabs(pair->hard_t.log_p[i]), 1e-6);
        metasd_gradient_tail(pair->n, pair->t, row, 0.7f);
        for (size_t i = 0; i < pair->n; i++)
            check(cases[c].name, "softmax", i, (double)pair->t[i], 0.7 * pair->hard_t.p[i],
                  pair->hard_t.p[i], 1e-5);
    }
}

/* Parts are joined as one row would be summed; without a guide the rest is the same. */
static void
parts_join(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);
        MetasdPartial whole, parts[PARTS];
        MetasdRow one, joined;

        if (pair->n < PARTS)
            continue;
        metasd_partial(pair->n, pair->t, &whole);
        metasd_row_join(&whole, 1, 1, &one);
        for (size_t part = 0; part < PARTS; part++) {
            size_t from = begin(pair->n, part);

            metasd_partial(begin(pair->n, part + 1) - from, pair->t + from, &parts[part]);
        }
        metasd_row_join(parts, 1, PARTS, &joined);
        assert_true(one.max == joined.max && one.max == pair->guide.source.max);
        check(cases[c].name, "sum", 0, joined.sum, one.sum, one.sum, 1e-6);
        check(cases[c].name, "guided sum", 0, pair->guide.source.sum, one.sum, one.sum, 1e-6);
    }
}

static void
divergences_are_right(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);

        /* A mean of differences: it can be as precise as the largest of them. */
        check(cases[c].name, "KL(source || student)", 0, pair->guide.source.divergence,
              pair->kl_source, 1 + pair->kl_source, 1e-5);
        check(cases[c].name, "KL(student || source)", 0, pair->guide.student.divergence,
              pair->kl_student, 1 + pair->kl_student, 1e-5);
        assert_true(pair->guide.source.divergence >= 0 && pair->guide.student.divergence >= 0);
    }
}

/* ---- gradients ---- */

/* A learner's gradient by its own scores, and the size of its terms. */
static double
learner(const Pair *pair, bool student, size_t i, double *terms)
{
    const Soft *hard = student ? &pair->hard_s : &pair->hard_t;
    const Soft *mine = student ? &pair->soft_s : &pair->soft_t;
    const Soft *other = student ? &pair->soft_t : &pair->soft_s;
    double kl = student ? pair->kl_student : pair->kl_source;
    double weight = (double)pair->guide.weight, forward = (double)pair->guide.forward;
    double reverse = (double)pair->guide.reverse, p = mine->p[i], q = other->p[i];
    double ratio = p > 0 ? mine->log_p[i] - other->log_p[i] : 0;

    *terms = weight * hard->p[i] + forward * (p + q) + reverse * p * (1 + fabs(ratio) + kl);
    return weight * hard->p[i] + forward * (p - q) + (p > 0 ? reverse * p * (ratio - kl) : 0);
}

static void
students_gradient_is_right(void **state)
{
    static float out[MOST];

    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);

        metasd_gradient_student(pair->n, pair->t, pair->s, &pair->guide, out);
        for (size_t i = 0; i < pair->n; i++) {
            double terms, wanted = learner(pair, true, i, &terms);

            check(cases[c].name, "student", i, (double)out[i], wanted, terms, 2e-5);
        }
    }
}

static void
mutual_gradients_are_right(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);

        metasd_gradient_mutual(pair->n, pair->t, pair->s, &pair->guide);
        for (size_t i = 0; i < pair->n; i++) {
            double terms, wanted = learner(pair, false, i, &terms);

            check(cases[c].name, "source", i, (double)pair->t[i], wanted, terms, 2e-5);
            wanted = learner(pair, true, i, &terms);
            check(cases[c].name, "student", i, (double)pair->s[i], wanted, terms, 2e-5);
        }
    }
}

static void
meta_gradient_is_right(void **state)
{
    static float zdot[MOST], out[MOST];

    (void)state;
    for (size_t i = 0; i < MOST; i++)
        zdot[i] = normal(3, i);
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c]);
        double source = 0, student = 0, source_dot, student_dot;

        for (size_t i = 0; i < pair->n; i++) {
            source += pair->soft_t.p[i] * (double)zdot[i];
            student += pair->soft_s.p[i] * (double)zdot[i];
        }
        metasd_meta_dots(pair->n, pair->t, pair->s, zdot, &pair->guide, &source_dot, &student_dot);
        check(cases[c].name, "source's mean", 0, source_dot, source, 1, 1e-5);
        check(cases[c].name, "student's mean", 0, student_dot, student, 1, 1e-5);
        memcpy(out, zdot, sizeof(out));
        metasd_gradient_meta(pair->n, pair->t, pair->s, out, &pair->guide, source_dot, student_dot);
        for (size_t i = 0; i < pair->n; i++) {
            double by_source = (double)pair->guide.forward * pair->soft_t.p[i];
            double by_student = (double)pair->guide.reverse * pair->soft_s.p[i];

            check(cases[c].name, "meta", i, (double)out[i],
                  by_source * ((double)zdot[i] - source) + by_student * ((double)zdot[i] - student),
                  (by_source + by_student) * (1 + fabs((double)zdot[i])), 2e-5);
        }
    }
}

/* ---- what is not finite must reach the loss ---- */

static void
what_is_no_number_shows(void **state)
{
    const float bad[] = {NAN, INFINITY};

    (void)state;
    for (size_t b = 0; b < 2; b++)
        for (size_t at = 0; at < 100; at += 33) {
            float z[100], other[100];
            MetasdPartial part, back;
            MetasdRow row, other_row;

            for (size_t i = 0; i < 100; i++)
                z[i] = other[i] = normal(4, i);
            z[at] = bad[b];
            metasd_partial(100, z, &part);
            metasd_row_join(&part, 1, 1, &row);
            assert_false(isfinite(row.max + log(row.sum)));
            metasd_partial_pair(100, z, other, TAU, &part, &back);
            metasd_row_join_pair(&part, &back, 1, 1, TAU, &row, &other_row);
            assert_false(isfinite(row.divergence));
            assert_false(isfinite(other_row.divergence));
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_precise),
        cmocka_unit_test(exp_does_not_depend_on_its_place),
        cmocka_unit_test(exp_has_ends),
        cmocka_unit_test(rows_are_softmax),
        cmocka_unit_test(parts_join),
        cmocka_unit_test(divergences_are_right),
        cmocka_unit_test(students_gradient_is_right),
        cmocka_unit_test(mutual_gradients_are_right),
        cmocka_unit_test(meta_gradient_is_right),
        cmocka_unit_test(what_is_no_number_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
