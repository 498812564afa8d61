/* The student keeps weights by magnitude, by column, and by the sums of Adagrad. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "small_model.h"
#include "tools.h"

/* Entities and relations have the sparsity together: what is larger stays, in whichever table. */
static void
tables_are_pruned_together(void **state)
{
    SmallModel m = small_model(true, false);
    size_t entities = SMALL_ENTITIES * SMALL_WIDTH, all = tools_table_floats(&m.state),
           kept[2] = {0};

    (void)state;
    for (size_t i = entities; i < all; i++)
        m.state.weights[i] *= 100; /* of the relations: all are kept */
    small_model_prune(&m, 0.75);
    for (size_t i = 0; i < all; i++)
        kept[i >= entities] += m.state.mask[i];
    assert_int_equal(kept[0] + kept[1], all - (size_t)ceil(0.75 * (double)all));
    assert_int_equal(kept[1], all - entities);
    free(m.memory);
}

/*
 * With magnitudes weighted by column, a column of large weights is kept whole, whatever they are.
 */
static void
rows_can_keep_the_same_columns(void **state)
{
    SmallModel m = small_model(true, false);
    size_t kept[2] = {0}, entities = SMALL_ENTITIES * SMALL_WIDTH;

    (void)state;
    for (size_t i = 0; i < entities; i++)
        m.state.weights[i] = (i % SMALL_WIDTH == 2 ? 1.5f : 1.0f) * (0.1f + (float)(i * 7 % 10));
    for (int aligned = 0; aligned < 2; aligned++) {
        m.pruner.options.alignment = aligned ? 8 : 0;
        small_model_prune(&m, 0.75);
        for (size_t i = 2; i < entities; i += SMALL_WIDTH)
            kept[aligned] += m.state.mask[i];
    }
    assert_true(kept[0] < SMALL_ENTITIES * 6 / 10);
    assert_in_range(kept[1], SMALL_ENTITIES * 8 / 10, SMALL_ENTITIES);
    free(m.memory);
}

static float
salience_of(const SmallModel *m, size_t i, double power)
{
    return fabsf(m->state.weights[i]) * (float)pow((double)m->state.sums[i], power / 2);
}

/*
 * By a power of the sums the kept weights are those of the largest product, for roots and others.
 */
static void
sums_of_adagrad_count(void **state)
{
    const double powers[] = {0.5, 1, 1.5};
    SmallModel m = small_model(true, false);
    size_t all = tools_table_floats(&m.state);

    (void)state;
    for (size_t i = 0; i < all; i++)
        m.state.sums[i] = (float)(1 + i * 31 % 97) * 1e-4f;
    for (size_t p = 0; p < sizeof(powers) / sizeof(*powers); p++) {
        float least_kept = INFINITY, most_pruned = 0;
        size_t kept = 0;

        m.pruner.options.salience = powers[p];
        small_model_prune(&m, 0.75);
        for (size_t i = 0; i < all; i++) {
            float salience = salience_of(&m, i, powers[p]);

            kept += m.state.mask[i];
            if (m.state.mask[i])
                least_kept = fminf(least_kept, salience);
            else
                most_pruned = fmaxf(most_pruned, salience);
            assert_true(m.state.student[i] == (m.state.mask[i] ? m.state.weights[i] : 0.0f));
        }
        assert_int_equal(kept, all - (size_t)ceil(0.75 * (double)all));
        assert_true(most_pruned < least_kept * 1.00001f);
    }
    free(m.memory);
}

/*
 * Both reals of a component are kept or neither is, by the squares of both: so many pairs are kept,
 * and none that counts for less than one pruned. Of real numbers a component is one.
 */
static void
components_can_be_kept_whole(void **state)
{
    const size_t d = SMALL_WIDTH / 2;
    SmallModel m = small_model(true, false);
    size_t all = tools_table_floats(&m.state), kept = 0;
    float least_kept = INFINITY, most_pruned = 0;

    (void)state;
    m.pruner.options.by_component = true;
    small_model_prune(&m, 0.75);
    for (size_t row = 0; row < all; row += SMALL_WIDTH)
        for (size_t i = row; i < row + d; i++) {
            float modulus = hypotf(m.state.weights[i], m.state.weights[i + d]);

            assert_int_equal(m.state.mask[i], m.state.mask[i + d]);
            kept += 2 * m.state.mask[i];
            if (m.state.mask[i])
                least_kept = fminf(least_kept, modulus);
            else
                most_pruned = fmaxf(most_pruned, modulus);
        }
    assert_in_range(kept, all / 4 - 1, all / 4 + 1);
    assert_true(most_pruned < least_kept * 1.00001f);
    free(m.memory);
}

/* A family of real numbers has nothing to keep together. */
static void
reals_are_components(void **state)
{
    SmallModel a = small_model(true, false), b = small_model(true, false);

    (void)state;
    a.state.family = b.state.family = &metasd_family_distmult;
    b.pruner.options.by_component = true;
    small_model_prune(&a, 0.6);
    small_model_prune(&b, 0.6);
    assert_memory_equal(a.state.mask, b.state.mask, tools_table_floats(&a.state));
    free(a.memory);
    free(b.memory);
}

/* Before any batch all sums are 0, and the magnitudes decide. */
static void
without_sums_magnitudes_decide(void **state)
{
    SmallModel a = small_model(true, false), b = small_model(true, false);
    size_t all = tools_table_floats(&a.state);

    (void)state;
    b.pruner.options.salience = 1;
    small_model_prune(&a, 0.6);
    small_model_prune(&b, 0.6);
    assert_memory_equal(a.state.mask, b.state.mask, all);
    free(a.memory);
    free(b.memory);
}

/*
 * The floor keeps the most salient ones of each row, also below the threshold, and as many weights
 * are kept as without it. A row of zeros has none.
 */
static void
a_floor_keeps_some_of_a_row(void **state)
{
    const size_t width = SMALL_WIDTH;

    (void)state;
    for (int joined = 0; joined < 2; joined++)
        for (int floor = 1; floor <= 2; floor++) {
            SmallModel m = small_model(true, false);
            size_t all = tools_table_floats(&m.state), kept = 0;
            size_t rows = all / width, each = (size_t)floor * (joined ? 2 : 1), wanted;

            m.pruner.options.by_component = joined;
            m.pruner.options.floor = floor;
            for (size_t i = 0; i < all / 2; i++)
                m.state.weights[i] *= i < width ? 0 : 1e-6f; /* half of the rows would be empty */
            small_model_prune(&m, 0.5);
            for (size_t row = 0; row < rows; row++) {
                size_t here = 0;

                for (size_t j = 0; j < width; j++)
                    here += m.state.mask[row * width + j];
                assert_in_range(here, row == 0 ? 0 : each, width);
                assert_true(row == 0 ? here == 0 : row >= rows / 2 || here == each);
                kept += here;
                for (size_t j = 0; here > 0 && j < width; j++) {
                    size_t best = 0;

                    for (size_t k = 0; k < width; k++)
                        if (fabsf(m.state.weights[row * width + k]) >
                            fabsf(m.state.weights[row * width + best]))
                            best = k;
                    assert_true(joined || m.state.mask[row * width + best]);
                }
            }
            wanted = all / 2 > (rows - 1) * each ? all / 2 : (rows - 1) * each;
            assert_in_range(kept, wanted - 1, wanted + 1);
            free(m.memory);
        }
}

/* ---- saliences that no float holds ---- */

#define WIDE_ENTITIES 100
#define WIDE_WIDTH ((size_t)40)

/* Of the columns (components, where complex), the first `large` are as usual, the others small. */
typedef struct Case {
    size_t large;
    double ratio; /* of the others' norms */
    double alignment, salience, scale;
    double sparsity;
} Case;

static SmallModel
wide_make(const Case *c, bool by_component)
{
    SmallModel m = {.state = {.entities = WIDE_ENTITIES,
                              .relation_rows = 4,
                              .width = WIDE_WIDTH,
                              .family = &metasd_family_complex,
                              .size = {.batch = 8, .queries = 8, .has_student = true}},
                    .pruner = {.options = {.salience = c->salience,
                                           .alignment = c->alignment,
                                           .by_component = by_component}},
                    .team = metasd_team_of_one()};
    size_t d = WIDE_WIDTH / 2;

    m.memory = tools_state_take(&m.state, 1, METASD_TILE * WIDE_ENTITIES);
    assert_int_equal(metasd_state_init(&m.state, &m.team, 4, 1.0f), METASD_OK);
    for (size_t i = 0; i < tools_table_floats(&m.state); i++)
        m.state.weights[i] =
            (float)(c->scale * (double)m.state.weights[i] * (i % d < c->large ? 1 : c->ratio));
    return m;
}

/*
 * So many weights are pruned, but for ties, and none of the large columns before those of the small
 * ones are all gone.
 */
static void
check_wide(const Case *c, bool by_component)
{
    SmallModel m = wide_make(c, by_component);
    size_t all = tools_table_floats(&m.state), kept = 0, kept_large = 0, large = 0;
    size_t wanted = all - (size_t)ceil(c->sparsity * (double)all);

    small_model_prune(&m, c->sparsity);
    for (size_t i = 0; i < all; i++) {
        bool is_large = i % (WIDE_WIDTH / 2) < c->large;

        kept += m.state.mask[i];
        large += is_large;
        kept_large += is_large && m.state.mask[i];
    }
    assert_in_range(kept, wanted, wanted + 1 + all / 1000);
    if (c->alignment > 0)
        assert_int_equal(kept_large, kept < large ? kept : large);
    free(m.memory);
}

/* Powers of norms and squares of saliences that no float can hold prune as others do. */
static void
nothing_is_too_small_to_be_pruned(void **state)
{
    static const Case cases[] = {
        {1, 0.05, 16, 0, 1, 0.9},       {10, 0.05, 16, 0, 1, 0.3},    {10, 0.05, 16, 0.5, 1, 0.75},
        {1, 0.3, 100, 0, 1, 0.9},       {1, 0.3, 100, 0.5, 1, 0.3},   {10, 1e-6, 16, 0, 1, 0.3},
        {1, 1e-20, 16, 0, 1, 0.9},      {1, 1e-20, 100, 0, 1, 0.5},   {19, 1e-20, 100, 0, 1, 0.04},
        {10, 1e-30, 0, 0, 1, 0.3},      {20, 1, 0, 0, 1e-30, 0.5},    {20, 1, 16, 1, 1e-42, 0.5},
        {20, 1, 0, 2, 1e-38, 0.9},      {10, 1e-4, 8, 1, 1e-36, 0.3}, {20, 1, 0, 0, 1e25, 0.9},
        {10, 1e-20, 100, 2, 1e30, 0.3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        for (int joined = 0; joined < 2; joined++)
            check_wide(&cases[i], joined);
}

/* All are as salient as they are without a factor that they share, up to ties of rounding. */
static void
scales_make_no_difference(void **state)
{
    static const Case plain = {10, 0.25, 16, 0, 1, 0.6};

    (void)state;
    for (int joined = 0; joined < 2; joined++)
        for (int power = -90; power <= 60; power += 30) {
            Case other = plain;
            SmallModel a = wide_make(&plain, joined), b;

            other.scale = ldexp(1, power);
            b = wide_make(&other, joined);
            small_model_prune(&a, plain.sparsity);
            small_model_prune(&b, plain.sparsity);
            assert_memory_equal(a.state.mask, b.state.mask, tools_table_floats(&a.state));
            free(a.memory);
            free(b.memory);
        }
}

/* What is 0 is never kept, not even where less is to be pruned than is 0. */
static void
zeros_are_pruned(void **state)
{
    (void)state;
    for (int aligned = 0; aligned < 2; aligned++)
        for (int joined = 0; joined < 2; joined++) {
            Case c = {10, 0, aligned ? 16 : 0, 0, 1, 0.3};
            SmallModel m = wide_make(&c, joined);

            small_model_prune(&m, c.sparsity);
            for (size_t i = 0; i < tools_table_floats(&m.state); i++)
                assert_int_equal(m.state.mask[i], m.state.weights[i] != 0);
            free(m.memory);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_pruned_together),
        cmocka_unit_test(rows_can_keep_the_same_columns),
        cmocka_unit_test(sums_of_adagrad_count),
        cmocka_unit_test(components_can_be_kept_whole),
        cmocka_unit_test(reals_are_components),
        cmocka_unit_test(without_sums_magnitudes_decide),
        cmocka_unit_test(a_floor_keeps_some_of_a_row),
        cmocka_unit_test(nothing_is_too_small_to_be_pruned),
        cmocka_unit_test(scales_make_no_difference),
        cmocka_unit_test(zeros_are_pruned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
