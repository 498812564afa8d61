/* What is measured is what is used; no size overflows; everything is aligned. */
#include "unit.h"

#include <stdlib.h>

#include "arena.h"
#include "tools.h"

static void
take_some(MetasdArena *arena, void *taken[4])
{
    taken[0] = METASD_TAKE(arena, char, 1);
    taken[1] = METASD_TAKE(arena, double, 100);
    taken[2] = METASD_TAKE(arena, float, 0);
    taken[3] = METASD_TAKE(arena, uint32_t, 33);
}

/* Wherever the memory starts, what was measured is enough, and one byte less may not be. */
static void
measured_size_is_enough(void **state)
{
    MetasdArena measured = metasd_arena_measure();
    void *taken[4];
    char *memory;

    (void)state;
    take_some(&measured, taken);
    assert_true(metasd_arena_ok(&measured));
    assert_null(taken[1]);
    memory = tools_alloc(measured.used + METASD_ALIGN);
    for (size_t offset = 0; offset < METASD_ALIGN; offset++) {
        MetasdArena arena = metasd_arena_over(memory + offset, measured.used);

        take_some(&arena, taken);
        assert_true(metasd_arena_ok(&arena));
        for (int i = 0; i < 4; i++)
            assert_int_equal((uintptr_t)taken[i] % METASD_ALIGN, 0);
        assert_true((char *)taken[3] + 33 * sizeof(uint32_t) <= memory + offset + measured.used);
    }
    free(memory);
}

static void
parts_do_not_overlap(void **state)
{
    MetasdArena arena = metasd_arena_measure();
    void *memory, *taken[4];
    size_t bytes;

    (void)state;
    take_some(&arena, taken);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    arena = metasd_arena_over(memory, bytes);
    take_some(&arena, taken);
    assert_true((char *)taken[0] + 1 <= (char *)taken[1]);
    assert_true((char *)taken[1] + 100 * sizeof(double) <= (char *)taken[3]);
    free(memory);
}

/* Once a size was refused nothing is given any more: a caller may check once, at the end. */
static void
too_little_is_remembered(void **state)
{
    static char memory[4 * METASD_ALIGN];
    MetasdArena arena = metasd_arena_over(memory, sizeof(memory));

    (void)state;
    assert_non_null(METASD_TAKE(&arena, char, METASD_ALIGN));
    assert_null(METASD_TAKE(&arena, char, 4 * METASD_ALIGN));
    assert_false(metasd_arena_ok(&arena));
    assert_null(METASD_TAKE(&arena, char, 1));
    arena = metasd_arena_over(memory + 1, 3);
    assert_null(METASD_TAKE(&arena, char, 1));
    assert_false(metasd_arena_ok(&arena));
}

static void
sizes_that_overflow_are_refused(void **state)
{
    static char memory[2 * METASD_ALIGN];
    const size_t counts[] = {SIZE_MAX, SIZE_MAX / 4, SIZE_MAX / 8 + 1, SIZE_MAX / 8};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        MetasdArena measured = metasd_arena_measure();
        MetasdArena arena = metasd_arena_over(memory, sizeof(memory));

        assert_null(metasd_arena_take(&measured, counts[i], 8));
        assert_false(metasd_arena_ok(&measured));
        assert_null(metasd_arena_take(&arena, counts[i], 8));
        assert_false(metasd_arena_ok(&arena));
    }
}

/* Together too large, though each fits. */
static void
sums_that_overflow_are_refused(void **state)
{
    MetasdArena measured = metasd_arena_measure();

    (void)state;
    for (int i = 0; i < 4; i++)
        (void)metasd_arena_take(&measured, SIZE_MAX / 3, 1);
    assert_false(metasd_arena_ok(&measured));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_size_is_enough),
        cmocka_unit_test(parts_do_not_overlap),
        cmocka_unit_test(too_little_is_remembered),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(sums_that_overflow_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
