/*
 * Products of every form and of sizes that are divided agree with plain loops, and can be stopped.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "core/math/blas.h"
#include "core/base/random.h"
#include "tools.h"

#define SPARE 3 /* floats behind every row, which no product may touch */

/* The odd ones add to what is there. */
typedef enum Form { ABT, ADD_ABT, AB, ADD_AB, ATB, ADD_ATB, FORMS } Form;

static bool
adds(Form form)
{
    return form % 2 == 1;
}

static bool
a_turned(Form form)
{
    return form == ATB || form == ADD_ATB;
}

static bool
b_turned(Form form)
{
    return form == ABT || form == ADD_ABT;
}

typedef struct Product {
    size_t m, n, k;
    size_t lda, ldb, ldc;
    float *a, *b, *c;
    double *wanted;
} Product;

static float *
random_floats(size_t n, uint64_t stream)
{
    float *x = tools_alloc(n * sizeof(*x));

    for (size_t i = 0; i < n; i++)
        x[i] = (float)metasd_random_below(3, stream, i, 2001) / 1000.0f - 1.0f;
    return x;
}

static Product
make(Form form, size_t m, size_t n, size_t k)
{
    Product p = {.m = m,
                 .n = n,
                 .k = k,
                 .lda = (a_turned(form) ? m : k) + SPARE,
                 .ldb = (b_turned(form) ? k : n) + SPARE,
                 .ldc = n + SPARE};

    p.a = random_floats((a_turned(form) ? k : m) * p.lda, 1);
    p.b = random_floats((b_turned(form) ? n : k) * p.ldb, 2);
    p.c = random_floats(m * p.ldc, 3);
    p.wanted = tools_alloc(m * p.ldc * sizeof(*p.wanted));
    for (size_t i = 0; i < m * p.ldc; i++)
        p.wanted[i] = p.c[i];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = !adds(form) ? 0 : p.c[i * p.ldc + j];

            for (size_t l = 0; l < k; l++)
                sum += (double)(a_turned(form) ? p.a[l * p.lda + i] : p.a[i * p.lda + l]) *
                       (double)(!b_turned(form) ? p.b[l * p.ldb + j] : p.b[j * p.ldb + l]);
            p.wanted[i * p.ldc + j] = sum;
        }
    return p;
}

static void
unmake(Product *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
    free(p->wanted);
}

static MetasdStatus
multiply(Form form, MetasdTeam *team, Product *p)
{
    bool add = adds(form);

    if (b_turned(form))
        return metasd_blas_abt(team, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, add, p->c,
                               p->ldc);
    if (a_turned(form))
        return metasd_blas_atb(team, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, add, p->c,
                               p->ldc);
    return metasd_blas_ab(team, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, add, p->c, p->ldc);
}

/* One size of each kind: whole, deep, long rows, long columns, large C, and a bit over a cut. */
static const size_t sizes[][3] = {{1, 1, 1},    {5, 7, 3},       {33, 17, 1100}, {2, 9000, 3},
                                  {9000, 2, 3}, {1100, 1000, 2}, {4097, 3, 2},   {3, 5, 513}};

static void
products_agree_with_plain_loops(void **state)
{
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    for (int form = 0; form < FORMS; form++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            Product p = make((Form)form, sizes[s][0], sizes[s][1], sizes[s][2]);

            assert_int_equal(multiply((Form)form, &team, &p), METASD_OK);
            for (size_t i = 0; i < p.m * p.ldc; i++)
                if (!(fabs(p.c[i] - p.wanted[i]) <= 1e-6 * (double)(p.k + 10)))
                    fail_msg("form %d, size %zu, element %zu: %g is not %g", form, s, i, p.c[i],
                             p.wanted[i]);
            unmake(&p);
        }
}

/* An old sum must not be read where it is to be replaced: it may be no number. */
static void
what_is_replaced_is_not_read(void **state)
{
    MetasdTeam team = metasd_team_of_one();
    Product p = make(AB, 4, 5, 600);

    (void)state;
    for (size_t i = 0; i < p.m; i++)
        for (size_t j = 0; j < p.n; j++)
            p.c[i * p.ldc + j] = NAN;
    assert_int_equal(multiply(AB, &team, &p), METASD_OK);
    for (size_t i = 0; i < p.m; i++)
        for (size_t j = 0; j < p.n; j++)
            assert_true(isfinite(p.c[i * p.ldc + j]));
    unmake(&p);
}

static MetasdStatus
stop(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

static void
products_can_be_stopped(void **state)
{
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    team.poll = stop;
    for (int form = 0; form < FORMS; form++) {
        Product p = make((Form)form, 1100, 1000, 1);

        team.worked = 0;
        assert_int_equal(multiply((Form)form, &team, &p), METASD_INTERRUPTED);
        unmake(&p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_plain_loops),
        cmocka_unit_test(what_is_replaced_is_not_read),
        cmocka_unit_test(products_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
