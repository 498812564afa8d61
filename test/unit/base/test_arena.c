/* What is measured is what is used; no size overflows; everything is aligned. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
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

/* ---- regions ---- */

#define MOST ((size_t)1024)

/* Arrays of bytes: some share a region, the one larger than MOST has its own, one is empty. */
static const size_t sizes[] = {500, 500, 100, 0, 3000, 0, 1, 1024, 64, 0};
#define SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

static void
take_sizes(MetasdArena *arena, void *taken[SIZES])
{
    for (int i = 0; i < SIZES; i++)
        taken[i] = METASD_TAKE(arena, char, sizes[i]);
}

static void
regions_are_cut_between_arrays(void **state)
{
    static const size_t expected[] = {1024, 128, 3008, 64, 1024, 64};
    MetasdRegions regions;
    MetasdArena arena = metasd_arena_measure_regions(&regions, MOST);
    size_t bytes = 0;
    void *taken[SIZES];

    (void)state;
    take_sizes(&arena, taken);
    assert_true(metasd_arena_ok(&arena));
    assert_null(taken[0]);
    assert_int_equal(regions.count, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(regions.size[i], expected[i]);
        bytes += expected[i];
    }
    assert_int_equal(metasd_arena_regions_bytes(&regions), bytes);
}

/* Two members, each with memory of its own: arrays are at the same places, and do not overlap. */
static void
members_find_the_same_places(void **state)
{
    MetasdRegions regions;
    MetasdArena arena = metasd_arena_measure_regions(&regions, MOST);
    void *taken[SIZES], *first[SIZES], *memory[2][METASD_MOST_REGIONS];

    (void)state;
    take_sizes(&arena, taken);
    for (int member = 0; member < 2; member++) {
        for (int r = 0; r < regions.count; r++)
            regions.memory[r] = memory[member][r] = aligned_alloc(METASD_ALIGN, regions.size[r]);
        arena = metasd_arena_over_regions(&regions);
        take_sizes(&arena, member ? taken : first);
        assert_true(metasd_arena_ok(&arena));
        assert_null(METASD_TAKE(&arena, char, 1)); /* there is nothing left */
        assert_false(metasd_arena_ok(&arena));
    }
    for (int i = 0; i < SIZES; i++) {
        int r = 0;
        size_t at;

        if (sizes[i] == 0)
            continue;
        while ((char *)first[i] < (char *)memory[0][r] ||
               (char *)first[i] >= (char *)memory[0][r] + regions.size[r])
            r++;
        at = (size_t)((char *)first[i] - (char *)memory[0][r]);
        assert_int_equal(at % METASD_ALIGN, 0);
        assert_true(at + sizes[i] <= regions.size[r]);
        assert_ptr_equal(taken[i], (char *)memory[1][r] + at);
        memset(first[i], i + 1, sizes[i]);
    }
    for (int i = 0; i < SIZES; i++)
        for (size_t b = 0; b < sizes[i]; b++)
            assert_int_equal(((char *)first[i])[b], i + 1);
    for (int r = 0; r < regions.count; r++) {
        free(memory[0][r]);
        free(memory[1][r]);
    }
}

/* Nothing is given that was not measured, and nothing makes no region. */
static void
regions_have_limits(void **state)
{
    static char memory[METASD_ALIGN] __attribute__((aligned(METASD_ALIGN)));
    MetasdRegions regions;
    MetasdArena arena = metasd_arena_measure_regions(&regions, MOST);

    (void)state;
    assert_null(METASD_TAKE(&arena, char, 0));
    assert_int_equal(regions.count, 0);
    for (int i = 0; i < METASD_MOST_REGIONS; i++)
        (void)METASD_TAKE(&arena, char, MOST);
    assert_true(metasd_arena_ok(&arena));
    (void)METASD_TAKE(&arena, char, 1);
    assert_false(metasd_arena_ok(&arena));

    arena = metasd_arena_measure_regions(&regions, MOST);
    (void)METASD_TAKE(&arena, char, SIZE_MAX - METASD_ALIGN);
    (void)METASD_TAKE(&arena, char, SIZE_MAX - METASD_ALIGN);
    assert_int_equal(metasd_arena_regions_bytes(&regions), SIZE_MAX);
    (void)METASD_TAKE(&arena, double, SIZE_MAX / 4);
    assert_false(metasd_arena_ok(&arena));

    regions = (MetasdRegions){.count = 1, .size = {METASD_ALIGN}, .memory = {memory}};
    arena = metasd_arena_over_regions(&regions);
    assert_null(METASD_TAKE(&arena, char, METASD_ALIGN + 1));
    assert_false(metasd_arena_ok(&arena));
    assert_null(METASD_TAKE(&arena, char, 1));
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
        cmocka_unit_test(regions_are_cut_between_arrays),
        cmocka_unit_test(members_find_the_same_places),
        cmocka_unit_test(regions_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
