/* Every family's contractions are the derivatives of its composition, by central differences. */
#include "unit.h"

#include <math.h>

#include "core/model/family.h"
#include "core/base/random.h"
#include "tools.h"

#define RANK 5
#define MOST_WIDTH 32
#define STEP 0.25 /* any: a form linear in each argument has no error but rounding */

static void
fill(float row[MOST_WIDTH], uint64_t stream)
{
    for (size_t i = 0; i < MOST_WIDTH; i++)
        row[i] = (float)metasd_random_normal(7, stream, i);
}

static double
score(const MetasdFamily *family, size_t width, const float *head, const float *relation,
      const float *tail)
{
    float query[MOST_WIDTH];
    double sum = 0;

    family->compose(width, head, relation, query);
    for (size_t i = 0; i < width; i++)
        sum += (double)query[i] * (double)tail[i];
    return sum;
}

/* The derivative of the score by moved[i], where `moved` is the head or the relation. */
static double
by_difference(const MetasdFamily *family, size_t width, const float *head, const float *relation,
              const float *tail, float *moved, size_t i)
{
    float kept = moved[i];
    double above, below, apart;

    moved[i] = kept + (float)STEP;
    apart = moved[i];
    above = score(family, width, head, relation, tail);
    moved[i] = kept - (float)STEP;
    apart -= moved[i];
    below = score(family, width, head, relation, tail);
    moved[i] = kept;
    return (above - below) / apart;
}

static void
assert_close(double ours, double wanted)
{
    if (!(fabs(ours - wanted) <= 2e-5 * (1 + fabs(wanted))))
        fail_msg("%.9g is not %.9g", ours, wanted);
}

static void
scores_are_the_formulas(void **state)
{
    float head[MOST_WIDTH], relation[MOST_WIDTH], tail[MOST_WIDTH];
    double h[MOST_WIDTH], r[MOST_WIDTH], t[MOST_WIDTH];

    (void)state;
    fill(head, 1);
    fill(relation, 2);
    fill(tail, 3);
    for (size_t i = 0; i < MOST_WIDTH; i++) {
        h[i] = head[i];
        r[i] = relation[i];
        t[i] = tail[i];
    }
    for (size_t f = 0; f < TOOLS_FAMILIES; f++) {
        const MetasdFamily *family = tools_families[f];
        size_t width = RANK * family->reals_per_rank;

        assert_close(score(family, width, head, relation, tail),
                     tools_score(family, width, h, r, t));
    }
}

static void
adjoints_are_derivatives(void **state)
{
    float head[MOST_WIDTH], relation[MOST_WIDTH], tail[MOST_WIDTH];

    (void)state;
    for (size_t f = 0; f < TOOLS_FAMILIES; f++) {
        const MetasdFamily *family = tools_families[f];
        size_t width = RANK * family->reals_per_rank;
        float by_head[MOST_WIDTH] = {0}, by_relation[MOST_WIDTH] = {0};

        fill(head, 1);
        fill(relation, 2);
        fill(tail, 3);
        by_head[0] = by_relation[0] = 3; /* gradients are added */
        family->adjoint_head(width, relation, tail, by_head);
        family->adjoint_relation(width, head, tail, by_relation);
        by_head[0] -= 3;
        by_relation[0] -= 3;
        for (size_t i = 0; i < width; i++) {
            assert_close(by_head[i], by_difference(family, width, head, relation, tail, head, i));
            assert_close(by_relation[i],
                         by_difference(family, width, head, relation, tail, relation, i));
        }
    }
}

static void
jvp_is_the_directional_derivative(void **state)
{
    float head[MOST_WIDTH], relation[MOST_WIDTH], head_dot[MOST_WIDTH], relation_dot[MOST_WIDTH];
    float query_dot[MOST_WIDTH], scratch[MOST_WIDTH];

    (void)state;
    for (size_t f = 0; f < TOOLS_FAMILIES; f++) {
        const MetasdFamily *family = tools_families[f];
        size_t width = RANK * family->reals_per_rank;
        float above[MOST_WIDTH], below[MOST_WIDTH], moved[4][MOST_WIDTH];

        fill(head, 1);
        fill(relation, 2);
        fill(head_dot, 4);
        fill(relation_dot, 5);
        metasd_family_compose_jvp(family, width, head, relation, head_dot, relation_dot, query_dot,
                                  scratch);
        for (size_t i = 0; i < width; i++) {
            moved[0][i] = head[i] + (float)STEP * head_dot[i];
            moved[1][i] = relation[i] + (float)STEP * relation_dot[i];
            moved[2][i] = head[i] - (float)STEP * head_dot[i];
            moved[3][i] = relation[i] - (float)STEP * relation_dot[i];
        }
        family->compose(width, moved[0], moved[1], above);
        family->compose(width, moved[2], moved[3], below);
        for (size_t i = 0; i < width; i++)
            assert_close(query_dot[i], ((double)above[i] - (double)below[i]) / (2 * STEP));
    }
}

/* What the relation loss relies on: <compose(h, r), t> = <adjoint_relation(h, t), r>. */
static void
relation_queries_give_the_same_score(void **state)
{
    float head[MOST_WIDTH], relation[MOST_WIDTH], tail[MOST_WIDTH];

    (void)state;
    for (size_t f = 0; f < TOOLS_FAMILIES; f++) {
        const MetasdFamily *family = tools_families[f];
        size_t width = RANK * family->reals_per_rank;
        float query[MOST_WIDTH] = {0};
        double sum = 0;

        fill(head, 1);
        fill(relation, 2);
        fill(tail, 3);
        family->adjoint_relation(width, head, tail, query);
        for (size_t i = 0; i < width; i++)
            sum += (double)query[i] * (double)relation[i];
        assert_close(sum, score(family, width, head, relation, tail));
    }
}

/* What an imported relation relies on that has no reciprocal of its own. */
static void
reciprocals_give_the_same_score(void **state)
{
    float head[MOST_WIDTH], relation[MOST_WIDTH], tail[MOST_WIDTH], reciprocal[MOST_WIDTH];

    (void)state;
    for (size_t f = 0; f < TOOLS_FAMILIES; f++) {
        const MetasdFamily *family = tools_families[f];
        size_t width = RANK * family->reals_per_rank;

        fill(head, 1);
        fill(relation, 2);
        fill(tail, 3);
        family->reciprocate(width, relation, reciprocal);
        assert_close(score(family, width, tail, reciprocal, head),
                     score(family, width, head, relation, tail));
    }
}

/* (1 + 2i)(3 + 4i) = -5 + 10i. */
static void
complex_multiplies(void **state)
{
    const float head[2] = {1, 2}, relation[2] = {3, 4};
    float query[2];

    (void)state;
    metasd_family_complex.compose(2, head, relation, query);
    assert_true(query[0] == -5 && query[1] == 10);
}

static void
families_are_found_by_name(void **state)
{
    (void)state;
    for (size_t f = 0; f < TOOLS_FAMILIES; f++)
        assert_ptr_equal(metasd_family(tools_families[f]->name), tools_families[f]);
    assert_null(metasd_family("cp"));
    assert_null(metasd_family("transe"));
    assert_null(metasd_family(""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_formulas),
        cmocka_unit_test(adjoints_are_derivatives),
        cmocka_unit_test(jvp_is_the_directional_derivative),
        cmocka_unit_test(relation_queries_give_the_same_score),
        cmocka_unit_test(reciprocals_give_the_same_score),
        cmocka_unit_test(complex_multiplies),
        cmocka_unit_test(families_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
