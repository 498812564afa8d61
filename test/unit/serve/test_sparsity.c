/* The kept weights of an image are counted as those of the rows that it was made of. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/serve/sparsity.h"
#include "small_image.h"
#include "tools.h"

#define STREAM 82

static int
compare_descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x < y) - (x > y);
}

static void
check_counts(const MetasdSparsity *sparsity, const float *rows, uint32_t entities, uint32_t width)
{
    uint32_t *by_row = calloc((size_t)width + 1, sizeof(*by_row));
    uint32_t *by_column = calloc(width, sizeof(*by_column));
    uint64_t all = 0;

    for (uint32_t e = 0; e < entities; e++) {
        uint32_t kept = 0;

        for (uint32_t j = 0; j < width; j++)
            if (rows[(size_t)e * width + j] != 0) {
                kept++;
                by_column[j]++;
            }
        by_row[kept]++;
        all += kept;
    }
    qsort(by_column, width, sizeof(*by_column), compare_descending);
    assert_int_equal(sparsity->kept, all);
    assert_memory_equal(sparsity->rows, by_row, ((size_t)width + 1) * sizeof(*by_row));
    assert_memory_equal(sparsity->columns, by_column, width * sizeof(*by_column));
    free(by_row);
    free(by_column);
}

/* Each column is kept by another share of the entities, so that some are columns and some lists. */
static void
counts_are_those_of_the_rows(void **state)
{
    static const struct {
        uint32_t entities, width;
        MetasdStorage storage;
        bool settled;
    } shapes[] = {{200, 20, METASD_INT8, true},  {200, 20, METASD_INT8, false},
                  {64, 8, METASD_FLOAT32, true}, {65, 8, METASD_INT4, true},
                  {1, 2, METASD_FLOAT32, false}, {130, 30, METASD_FLOAT32, true}};

    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        uint32_t entities = shapes[s].entities, width = shapes[s].width;
        float *rows = tools_alloc((size_t)entities * width * sizeof(float));
        MetasdTeam team = metasd_team_of_one();
        MetasdArena arena = metasd_arena_measure();
        MetasdSparsity sparsity;
        MetasdImage image;
        void *image_memory, *memory;

        for (size_t i = 0; i < (size_t)entities * width; i++)
            rows[i] = metasd_random_below(1, STREAM, i, width) <= i % width
                          ? (float)metasd_random_normal(1, STREAM, i)
                          : 0;
        image_memory =
            small_image(&image, rows, entities, width, shapes[s].storage, shapes[s].settled);
        metasd_sparsity_take(&sparsity, &arena, &image.plan);
        memory = tools_alloc(arena.used);
        arena = metasd_arena_over(memory, arena.used);
        metasd_sparsity_take(&sparsity, &arena, &image.plan);
        assert_int_equal(metasd_sparsity_count(&sparsity, &team, &image), METASD_OK);
        check_counts(&sparsity, rows, entities, width);
        free(memory);
        free(image_memory);
        free(rows);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
