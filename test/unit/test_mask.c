/* What the student keeps: by magnitude, by column, by what the sums of Adagrad say. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "pupil.h"
#include "tools.h"

/* Tables that are pruned apart have the sparsity each, those that are not have it together. */
static void
tables_can_be_pruned_apart(void **state)
{
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        Pupil m = pupil_make(true, false, apart);
        size_t entities = PUPIL_ENTITIES * PUPIL_WIDTH, all = tools_table_floats(&m.step),
               kept[2] = {0};

        for (size_t i = entities; i < all; i++)
            m.step.weights[i] *= 100; /* of the relations: all would be kept */
        pupil_prune(&m, 0.75);
        for (size_t i = 0; i < all; i++)
            kept[i >= entities] += m.step.mask[i];
        if (apart) {
            assert_int_equal(kept[0], entities - (size_t)ceil(0.75 * (double)entities));
            assert_int_equal(kept[1],
                             all - entities - (size_t)ceil(0.75 * (double)(all - entities)));
        } else {
            assert_int_equal(kept[0] + kept[1], all - (size_t)ceil(0.75 * (double)all));
            assert_int_equal(kept[1], all - entities);
        }
        free(m.memory);
    }
}

/*
 * With magnitudes weighted by column, a column of large weights is kept whole, whatever they are.
 */
static void
rows_can_keep_the_same_columns(void **state)
{
    Pupil m = pupil_make(true, false, false);
    size_t kept[2] = {0}, entities = PUPIL_ENTITIES * PUPIL_WIDTH;

    (void)state;
    for (size_t i = 0; i < entities; i++)
        m.step.weights[i] = (i % PUPIL_WIDTH == 2 ? 1.5f : 1.0f) * (0.1f + (float)(i * 7 % 10));
    for (int aligned = 0; aligned < 2; aligned++) {
        m.step.alignment = aligned ? 8 : 0;
        pupil_prune(&m, 0.75);
        for (size_t i = 2; i < entities; i += PUPIL_WIDTH)
            kept[aligned] += m.step.mask[i];
    }
    assert_true(kept[0] < PUPIL_ENTITIES * 6 / 10);
    assert_in_range(kept[1], PUPIL_ENTITIES * 8 / 10, PUPIL_ENTITIES);
    free(m.memory);
}

static float
salience_of(const Pupil *m, size_t i, double power)
{
    return fabsf(m->step.weights[i]) * (float)pow((double)m->step.sums[i], power / 2);
}

/*
 * By a power of the sums the kept weights are those of the largest product, for roots and others.
 */
static void
sums_of_adagrad_count(void **state)
{
    const double powers[] = {0.5, 1, 1.5};
    Pupil m = pupil_make(true, false, false);
    size_t all = tools_table_floats(&m.step);

    (void)state;
    for (size_t i = 0; i < all; i++)
        m.step.sums[i] = (float)(1 + i * 31 % 97) * 1e-4f;
    for (size_t p = 0; p < sizeof(powers) / sizeof(*powers); p++) {
        float least_kept = INFINITY, most_pruned = 0;
        size_t kept = 0;

        m.step.salience = powers[p];
        pupil_prune(&m, 0.75);
        for (size_t i = 0; i < all; i++) {
            float salience = salience_of(&m, i, powers[p]);

            kept += m.step.mask[i];
            if (m.step.mask[i])
                least_kept = fminf(least_kept, salience);
            else
                most_pruned = fmaxf(most_pruned, salience);
            assert_true(m.step.student[i] == (m.step.mask[i] ? m.step.weights[i] : 0.0f));
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
    const size_t d = PUPIL_WIDTH / 2;
    Pupil m = pupil_make(true, false, false);
    size_t all = tools_table_floats(&m.step), kept = 0;
    float least_kept = INFINITY, most_pruned = 0;

    (void)state;
    m.step.by_component = true;
    pupil_prune(&m, 0.75);
    for (size_t row = 0; row < all; row += PUPIL_WIDTH)
        for (size_t i = row; i < row + d; i++) {
            float modulus = hypotf(m.step.weights[i], m.step.weights[i + d]);

            assert_int_equal(m.step.mask[i], m.step.mask[i + d]);
            kept += 2 * m.step.mask[i];
            if (m.step.mask[i])
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
    Pupil a = pupil_make(true, false, false), b = pupil_make(true, false, false);

    (void)state;
    a.step.family = b.step.family = &metasd_distmult;
    b.step.by_component = true;
    pupil_prune(&a, 0.6);
    pupil_prune(&b, 0.6);
    assert_memory_equal(a.step.mask, b.step.mask, tools_table_floats(&a.step));
    free(a.memory);
    free(b.memory);
}

/* Before any batch all sums are 0, and the magnitudes decide. */
static void
without_sums_magnitudes_decide(void **state)
{
    Pupil a = pupil_make(true, false, false), b = pupil_make(true, false, false);
    size_t all = tools_table_floats(&a.step);

    (void)state;
    b.step.salience = 1;
    pupil_prune(&a, 0.6);
    pupil_prune(&b, 0.6);
    assert_memory_equal(a.step.mask, b.step.mask, all);
    free(a.memory);
    free(b.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_can_be_pruned_apart),
        cmocka_unit_test(rows_can_keep_the_same_columns),
        cmocka_unit_test(sums_of_adagrad_count),
        cmocka_unit_test(components_can_be_kept_whole),
        cmocka_unit_test(reals_are_components),
        cmocka_unit_test(without_sums_magnitudes_decide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
