/*
 * Softmax, divergences and their gradients agree with formulas in doubles, for scores of any size.
 *
 * The formulas are those of doc/method.md, "A training step" and "The quiz and its second order",
 * written down again here.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exp.h"
#include "core/math/softmax.h"
#include "core/base/random.h"

#define MOST 2600
#define PARTS 3
#define LANE 37 /* the query of a tile that is looked at; the others are not numbers */

/* Temperatures: two of which one exponential gives both softmaxes, and one of which none does. */
static const float taus[] = {3.0f, 1.0f, 2.5f};
#define TAUS (sizeof(taus) / sizeof(taus[0]))

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
softmax_of(size_t n, const float *z, double tau, Soft *soft)
{
    double max = -INFINITY, sum = 0;

    for (size_t i = 0; i < n; i++)
        max = (double)z[i] > max ? (double)z[i] : max; /* gcc 12 for arm64 breaks down over fmax */
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

/*
 * Everything about one pair of queries: ours, in as many slices as members would have, and theirs.
 */
typedef struct Pair {
    size_t n;
    float tau;
    float t[MOST], s[MOST];
    float tile_t[MOST * METASD_TILE], tile_s[MOST * METASD_TILE];
    MetasdSoftmaxPair joined;
    MetasdSoftmaxTile tile;
    Soft hard_t, hard_s;        /* at temperature 1 */
    Soft soft_t, soft_s;        /* at tau */
    double kl_full, kl_student; /* KL(p || q), KL(q || p) */
} Pair;

/* Where part `part` of n scores begins. */
static size_t
begin(size_t n, size_t part)
{
    return n * part / PARTS;
}

/* Scores as the looked-at lane of a tile. */
static void
spread(size_t n, const float *row, float *tile)
{
    for (size_t i = 0; i < n * METASD_TILE; i++)
        tile[i] = NAN;
    for (size_t i = 0; i < n; i++)
        tile[i * METASD_TILE + LANE] = row[i];
}

static double
lane(const float *tile, size_t i)
{
    return (double)tile[i * METASD_TILE + LANE];
}

static void
join_parts(Pair *pair)
{
    static MetasdSoftmaxPartial parts[2][PARTS];
    MetasdSoftmaxPair pairs[LANE + 1] = {0};
    size_t skip = pair->n < PARTS ? PARTS - 1 : 0; /* a part of no scores joins nothing */

    for (size_t part = 0; part < PARTS; part++) {
        size_t from = begin(pair->n, part), to = begin(pair->n, part + 1);

        metasd_softmax_sums_pair(to - from, METASD_TILE, pair->tile_t + from * METASD_TILE,
                                 pair->tile_s + from * METASD_TILE, NULL,
                                 metasd_softmax_temperature(pair->tau), &parts[0][part],
                                 &parts[1][part]);
    }
    metasd_softmax_join_pair(parts[0] + skip, parts[1] + skip, 1, PARTS - (int)skip, LANE,
                             pair->tau, &pair->joined.full, &pair->joined.student);
    pairs[LANE] = pair->joined;
    metasd_softmax_prepare(pairs, LANE + 1, &pair->tile);
}

static Pair *
make_pair(const Case *of, float tau)
{
    static Pair pair;

    pair = (Pair){.n = of->n, .tau = tau};
    of->fill(of->n, pair.t, pair.s);
    softmax_of(pair.n, pair.t, 1, &pair.hard_t);
    softmax_of(pair.n, pair.s, 1, &pair.hard_s);
    softmax_of(pair.n, pair.t, (double)tau, &pair.soft_t);
    softmax_of(pair.n, pair.s, (double)tau, &pair.soft_s);
    pair.kl_full = divergence_of(pair.n, &pair.soft_t, &pair.soft_s);
    pair.kl_student = divergence_of(pair.n, &pair.soft_s, &pair.soft_t);
    spread(pair.n, pair.t, pair.tile_t);
    spread(pair.n, pair.s, pair.tile_s);
    pair.joined = (MetasdSoftmaxPair){.weight = 0.7f, .forward = 0.3f, .reverse = 0.2f};
    join_parts(&pair);
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

/* ---- sums ---- */

static void
rows_are_softmax(void **state)
{
    static MetasdSoftmaxPartial whole;

    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c], taus[0]);
        float scale[METASD_TILE] = {0};
        MetasdSoftmaxRow row;

        metasd_softmax_sums(pair->n, METASD_TILE, pair->tile_t, NULL, &whole);
        metasd_softmax_join(&whole, 1, 1, LANE, &row);
        for (size_t i = 0; i < pair->n; i++)
            check(cases[c].name, "log softmax", i, (double)pair->t[i] - row.max - log(row.sum),
                  pair->hard_t.log_p[i], 1 + fabs(pair->hard_t.log_p[i]), 1e-6);
        scale[LANE] = (float)(0.7 / row.sum);
        metasd_softmax_scale(pair->n, METASD_TILE, pair->tile_t, scale);
        for (size_t i = 0; i < pair->n; i++)
            check(cases[c].name, "softmax", i, lane(pair->tile_t, i), 0.7 * pair->hard_t.p[i],
                  pair->hard_t.p[i], 1e-5);
    }
}

/* Parts are joined as one row would be summed; of one model the rest is the same. */
static void
parts_join(void **state)
{
    static MetasdSoftmaxPartial parts[PARTS];

    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        Pair *pair = make_pair(&cases[c], taus[0]);
        MetasdSoftmaxRow joined;
        double sum;

        if (pair->n < PARTS)
            continue;
        for (size_t part = 0; part < PARTS; part++) {
            size_t from = begin(pair->n, part);

            metasd_softmax_sums(begin(pair->n, part + 1) - from, METASD_TILE,
                                pair->tile_t + from * METASD_TILE, NULL, &parts[part]);
        }
        metasd_softmax_join(parts, 1, PARTS, LANE, &joined);
        assert_true(joined.max == pair->joined.full.max);
        sum = metasd_exp_sum(pair->n, pair->t, (float)joined.max);
        check(cases[c].name, "sum", 0, joined.sum, sum, sum, 1e-6);
        check(cases[c].name, "sum of a pair", 0, pair->joined.full.sum, sum, sum, 2e-6);
    }
}

/* A factor of an entity is as good as that many entities with its score. */
static void
factors_count_entities(void **state)
{
    static MetasdSoftmaxPartial one, many;
    static float tile[4 * METASD_TILE];
    const float once[] = {1, -2, 0.5f}, often[] = {1, -2, -2, 0.5f}, each[] = {1, 2, 1};
    MetasdSoftmaxRow a, b;

    (void)state;
    spread(3, once, tile);
    metasd_softmax_sums(3, METASD_TILE, tile, each, &one);
    spread(4, often, tile);
    metasd_softmax_sums(4, METASD_TILE, tile, NULL, &many);
    metasd_softmax_join(&one, 1, 1, LANE, &a);
    metasd_softmax_join(&many, 1, 1, LANE, &b);
    check("factors", "sum", 0, a.sum, b.sum, b.sum, 1e-6);
}

static void
divergences_are_right(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES * TAUS; c++) {
        const char *name = cases[c / TAUS].name;
        Pair *pair = make_pair(&cases[c / TAUS], taus[c % TAUS]);

        /* A mean of differences: it can be as precise as the largest of them. */
        check(name, "KL(full || student)", 0, pair->joined.full.divergence, pair->kl_full,
              1 + pair->kl_full, 1e-5);
        check(name, "KL(student || full)", 0, pair->joined.student.divergence, pair->kl_student,
              1 + pair->kl_student, 1e-5);
        assert_true(pair->joined.full.divergence >= 0 && pair->joined.student.divergence >= 0);
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
    double kl = student ? pair->kl_student : pair->kl_full;
    double weight = (double)pair->joined.weight, forward = (double)pair->joined.forward;
    double reverse = (double)pair->joined.reverse, p = mine->p[i], q = other->p[i];
    double ratio = p > 0 ? mine->log_p[i] - other->log_p[i] : 0;

    *terms = weight * hard->p[i] + forward * (p + q) + reverse * p * (1 + fabs(ratio) + kl);
    return weight * hard->p[i] + forward * (p - q) + (p > 0 ? reverse * p * (ratio - kl) : 0);
}

static void
students_gradient_is_right(void **state)
{
    static float out[MOST * METASD_TILE];

    (void)state;
    for (size_t c = 0; c < CASES * TAUS; c++) {
        Pair *pair = make_pair(&cases[c / TAUS], taus[c % TAUS]);

        metasd_softmax_gradient_student(pair->n, METASD_TILE, pair->tile_t, pair->tile_s, NULL,
                                        metasd_softmax_temperature(pair->tau), &pair->tile, out);
        for (size_t i = 0; i < pair->n; i++) {
            double terms, wanted = learner(pair, true, i, &terms);

            check(cases[c / TAUS].name, "student", i, lane(out, i), wanted, terms, 2e-5);
        }
    }
}

static void
mutual_gradients_are_right(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES * TAUS; c++) {
        Pair *pair = make_pair(&cases[c / TAUS], taus[c % TAUS]);

        metasd_softmax_gradient_mutual(pair->n, METASD_TILE, pair->tile_t, pair->tile_s, NULL,
                                       metasd_softmax_temperature(pair->tau), &pair->tile);
        for (size_t i = 0; i < pair->n; i++) {
            double terms, wanted = learner(pair, false, i, &terms);

            check(cases[c / TAUS].name, "full model", i, lane(pair->tile_t, i), wanted, terms,
                  2e-5);
            wanted = learner(pair, true, i, &terms);
            check(cases[c / TAUS].name, "student", i, lane(pair->tile_s, i), wanted, terms, 2e-5);
        }
    }
}

static void
quiz_gradient_is_right(void **state)
{
    static float zdot[MOST], out[MOST * METASD_TILE];

    (void)state;
    for (size_t i = 0; i < MOST; i++)
        zdot[i] = normal(3, i);
    for (size_t c = 0; c < CASES * TAUS; c++) {
        const char *name = cases[c / TAUS].name;
        Pair *pair = make_pair(&cases[c / TAUS], taus[c % TAUS]);
        double full = 0, student = 0, dots[2][METASD_TILE] = {{0}};
        float means[2][METASD_TILE] = {{0}};

        for (size_t i = 0; i < pair->n; i++) {
            full += pair->soft_t.p[i] * (double)zdot[i];
            student += pair->soft_s.p[i] * (double)zdot[i];
        }
        spread(pair->n, zdot, out);
        metasd_softmax_quiz_dots(pair->n, METASD_TILE, pair->tile_t, pair->tile_s, out, NULL,
                                 metasd_softmax_temperature(pair->tau), &pair->tile, dots);
        check(name, "full model's mean", 0, dots[0][LANE], full, 1, 1e-5);
        check(name, "student's mean", 0, dots[1][LANE], student, 1, 1e-5);
        for (size_t i = 0; i < 2; i++)
            means[i][LANE] = (float)dots[i][LANE];
        metasd_softmax_gradient_quiz(pair->n, METASD_TILE, pair->tile_t, pair->tile_s, means,
                                     &pair->tile, out);
        for (size_t i = 0; i < pair->n; i++) {
            double by_full = (double)pair->joined.forward * pair->soft_t.p[i];
            double by_student = (double)pair->joined.reverse * pair->soft_s.p[i];

            check(name, "quiz", i, lane(out, i),
                  by_full * ((double)zdot[i] - full) + by_student * ((double)zdot[i] - student),
                  (by_full + by_student) * (1 + fabs((double)zdot[i])), 2e-5);
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
            static float z[100 * METASD_TILE], other[100 * METASD_TILE];
            float row_z[100], row_other[100];
            static MetasdSoftmaxPartial part, back;
            MetasdSoftmaxRow row, other_row;

            for (size_t i = 0; i < 100; i++)
                row_z[i] = row_other[i] = normal(4, i);
            row_z[at] = bad[b];
            spread(100, row_z, z);
            spread(100, row_other, other);
            metasd_softmax_sums_pair(100, METASD_TILE, z, other, NULL,
                                     metasd_softmax_temperature(3), &part, &back);
            metasd_softmax_join_pair(&part, &back, 1, 1, LANE, 3, &row, &other_row);
            assert_false(isfinite(row.divergence));
            assert_false(isfinite(other_row.divergence));
            metasd_softmax_sums(100, METASD_TILE, z, NULL, &part);
            metasd_softmax_join(&part, 1, 1, LANE, &row);
            assert_false(isfinite(row.max + log(row.sum)));
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
        cmocka_unit_test(factors_count_entities),
        cmocka_unit_test(divergences_are_right),
        cmocka_unit_test(students_gradient_is_right),
        cmocka_unit_test(mutual_gradients_are_right),
        cmocka_unit_test(quiz_gradient_is_right),
        cmocka_unit_test(what_is_no_number_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
