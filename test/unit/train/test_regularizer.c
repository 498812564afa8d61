/*
 * The regularisers are their formulas, and their gradients are derivatives, by central differences.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/regularizer.h"
#include "tools.h"

#define ENTITIES 6
#define RELATION_ROWS 4
#define WIDTH 10
#define FLOATS ((ENTITIES + RELATION_ROWS) * WIDTH)
#define SCALE 0.7f
#define STEP 0.01f

/* A tail twice in a group, a self-loop, a group of one, an entity that is head and tail. */
static const MetasdTriple triples[] = {{0, 0, 1}, {0, 0, 1}, {0, 0, 2}, {2, 3, 2},
                                       {1, 1, 0}, {4, 0, 5}, {4, 0, 0}};
#define TRIPLES (sizeof(triples) / sizeof(triples[0]))

/* Of the same width, which is of rank 5 or 10. */
static const MetasdFamily *const families[TOOLS_FAMILIES] = {&metasd_family_complex,
                                                             &metasd_family_distmult};
static const MetasdSpan all[2] = {{0, ENTITIES *WIDTH}, {ENTITIES * WIDTH, FLOATS}};

static void
fill(float table[FLOATS])
{
    for (size_t i = 0; i < FLOATS; i++)
        table[i] = (float)metasd_random_normal(11, 1, i);
}

static double
loss_of(const MetasdFamily *family, MetasdRegularizer kind, const MetasdBatch *batch,
        const float *table)
{
    MetasdWeightRows weights = {family, ENTITIES, WIDTH, table};
    MetasdTeam team = metasd_team_of_one();
    double rows[TRIPLES], sum = 0;

    assert_int_equal(metasd_regularizer_rows(&team, kind, &weights, batch, 0, batch->groups, rows),
                     METASD_OK);
    for (size_t g = 0; g < batch->groups; g++)
        sum += rows[g];
    return sum;
}

/* The formulas as they are written, a triple at a time. */
static double
formula(const MetasdFamily *family, MetasdRegularizer kind, const float *table)
{
    double sum = 0, row[3][WIDTH];

    for (size_t i = 0; i < TRIPLES; i++) {
        for (size_t j = 0; j < WIDTH; j++) {
            row[0][j] = table[triples[i].head * WIDTH + j];
            row[1][j] = table[(ENTITIES + triples[i].relation) * WIDTH + j];
            row[2][j] = table[triples[i].tail * WIDTH + j];
        }
        sum += tools_regularizer(kind, family, WIDTH, row[0], row[1], row[2]);
    }
    return sum;
}

static void
losses_are_the_formulas(void **state)
{
    float table[FLOATS];

    (void)state;
    fill(table);
    for (int grouped = 0; grouped < 2; grouped++)
        for (int f = 0; f < TOOLS_FAMILIES; f++)
            for (int kind = METASD_DURA; kind <= METASD_N3; kind++) {
                MetasdBatch batch;
                void *memory = tools_batch(&batch, triples, TRIPLES, grouped);
                double wanted = formula(families[f], (MetasdRegularizer)kind, table);
                double ours = loss_of(families[f], (MetasdRegularizer)kind, &batch, table);

                assert_true(fabs(ours - wanted) <= 1e-6 * wanted);
                free(memory);
            }
}

static void
check_gradient(const MetasdFamily *family, MetasdRegularizer kind, const MetasdBatch *batch,
               float *table)
{
    MetasdWeightRows weights = {family, ENTITIES, WIDTH, table};
    MetasdTeam team = metasd_team_of_one();
    float gradient[FLOATS] = {2}; /* gradients are added */

    assert_int_equal(
        metasd_regularizer_gradient(&team, kind, &weights, batch, SCALE, all, gradient), METASD_OK);
    gradient[0] -= 2;
    for (size_t i = 0; i < FLOATS; i++) {
        float kept = table[i];
        double above, below, wanted;

        table[i] = kept + STEP;
        above = loss_of(family, kind, batch, table);
        table[i] = kept - STEP;
        below = loss_of(family, kind, batch, table);
        table[i] = kept;
        wanted = (double)SCALE * (above - below) / (2.0 * (double)STEP);
        if (!(fabs((double)gradient[i] - wanted) <= 2e-3 * (0.1 + fabs(wanted))))
            fail_msg("%s, kind %d, weight %zu: %g is not %g", family->name, (int)kind, i,
                     (double)gradient[i], wanted);
    }
}

static void
gradients_are_derivatives(void **state)
{
    float table[FLOATS];
    MetasdBatch batch;
    void *memory = tools_batch(&batch, triples, TRIPLES, true);

    (void)state;
    fill(table);
    table[3] = table[8] = 0; /* a component of modulus 0 has a derivative too */
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        for (int kind = METASD_DURA; kind <= METASD_N3; kind++)
            check_gradient(families[f], (MetasdRegularizer)kind, &batch, table);
    free(memory);
}

/* Members write to their own rows only, and together what one writes, to the bit. */
static void
share_the_gradient(const MetasdFamily *family, const MetasdBatch *batch, const float *table)
{
    MetasdWeightRows weights = {family, ENTITIES, WIDTH, table};
    MetasdTeam team = metasd_team_of_one();
    float whole[FLOATS] = {0}, shared[FLOATS] = {0}, part[FLOATS];

    assert_int_equal(
        metasd_regularizer_gradient(&team, METASD_DURA, &weights, batch, SCALE, all, whole),
        METASD_OK);
    for (size_t member = 0; member < 2; member++) {
        MetasdSpan own[2] = {
            {member * 2 * WIDTH, member ? all[0].end : 2 * WIDTH},
            {all[1].first + member * WIDTH, member ? all[1].end : all[1].first + WIDTH}};

        memset(part, 0, sizeof(part));
        assert_int_equal(
            metasd_regularizer_gradient(&team, METASD_DURA, &weights, batch, SCALE, own, part),
            METASD_OK);
        for (size_t i = 0; i < FLOATS; i++) {
            bool mine =
                (i >= own[0].first && i < own[0].end) || (i >= own[1].first && i < own[1].end);

            assert_true(mine || part[i] == 0);
            shared[i] += part[i];
        }
    }
    assert_memory_equal(shared, whole, sizeof(whole));
}

static void
members_share_the_gradient(void **state)
{
    float table[FLOATS];
    MetasdBatch batch;
    void *memory = tools_batch(&batch, triples, TRIPLES, true);

    (void)state;
    fill(table);
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        share_the_gradient(families[f], &batch, table);
    free(memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_the_formulas),
        cmocka_unit_test(gradients_are_derivatives),
        cmocka_unit_test(members_share_the_gradient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
