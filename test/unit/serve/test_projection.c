/* The map of an image: components as the plain way finds them, and the same map every time. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/serve/projection.h"
#include "small_image.h"
#include "tools.h"

#define STREAM 81

typedef struct Map {
    MetasdImage image;
    MetasdProjection projection;
    MetasdTeam team;
    void *image_memory, *memory;
} Map;

static void
find_map(Map *map, float *rows, uint32_t entities, uint32_t width, MetasdStorage storage,
         bool settled)
{
    MetasdArena arena = metasd_arena_measure();

    map->team = metasd_team_of_one();
    map->image_memory = small_image(&map->image, rows, entities, width, storage, settled);
    metasd_projection_take(&map->projection, &arena, &map->image.plan);
    map->memory = tools_alloc(arena.used);
    memset(map->memory, 0xff, arena.used); /* nothing of what was there matters */
    arena = metasd_arena_over(map->memory, arena.used);
    metasd_projection_take(&map->projection, &arena, &map->image.plan);
    assert_true(metasd_arena_ok(&arena));
    assert_int_equal(metasd_projection_find(&map->projection, &map->team, &map->image), METASD_OK);
}

static void
forget_map(Map *map)
{
    free(map->image_memory);
    free(map->memory);
}

/* Rows in which some directions vary more than others, a part of the weights pruned. */
static float *
make_rows(uint32_t entities, uint32_t width, double density)
{
    float *rows = tools_alloc((size_t)entities * width * sizeof(float));

    for (uint32_t e = 0; e < entities; e++)
        for (uint32_t j = 0; j < width; j++) {
            size_t i = (size_t)e * width + j;
            double size = 4 / (1.0 + j) * metasd_random_normal(1, STREAM, i) + (j == width - 1);

            rows[i] =
                (double)metasd_random_below(2, STREAM, i, 1000) < 1000 * density ? (float)size : 0;
        }
    return rows;
}

/* The covariance of the rows at length 1. */
static double *
plain_covariance(const float *rows, uint32_t entities, uint32_t width)
{
    double *unit = tools_alloc((size_t)entities * width * sizeof(double));
    double *mean = calloc(width, sizeof(double));
    double *covariance = calloc((size_t)width * width, sizeof(double));

    for (uint32_t e = 0; e < entities; e++) {
        double norm = 0;

        for (uint32_t j = 0; j < width; j++)
            norm += pow((double)rows[(size_t)e * width + j], 2);
        for (uint32_t j = 0; j < width; j++) {
            unit[(size_t)e * width + j] =
                norm > 0 ? (double)rows[(size_t)e * width + j] / sqrt(norm) : 0;
            mean[j] += unit[(size_t)e * width + j] / entities;
        }
    }
    for (uint32_t e = 0; e < entities; e++)
        for (uint32_t i = 0; i < width; i++)
            for (uint32_t j = 0; j < width; j++)
                covariance[i * width + j] += (unit[(size_t)e * width + i] - mean[i]) *
                                             (unit[(size_t)e * width + j] - mean[j]) / entities;
    free(unit);
    free(mean);
    return covariance;
}

/* Is each axis an eigenvector of that covariance, with its variance, and the total the trace? */
static void
check_components(const Map *map, const float *rows, uint32_t entities, uint32_t width)
{
    const MetasdProjection *p = &map->projection;
    double *covariance = plain_covariance(rows, entities, width), trace = 0;

    for (uint32_t i = 0; i < width; i++)
        trace += covariance[i * width + i];
    assert_true(fabs(p->total - trace) < 1e-5 * trace);
    for (int c = 0; c < METASD_COMPONENTS; c++) {
        const float *axis = p->axes + (size_t)c * width;
        double length = 0, off = 0, largest = 0;

        for (uint32_t i = 0; i < width; i++) {
            double sum = 0;

            for (uint32_t j = 0; j < width; j++)
                sum += covariance[i * width + j] * (double)axis[j];
            off += pow(sum - p->variance[c] * (double)axis[i], 2);
            length += pow((double)axis[i], 2);
            if (fabs((double)axis[i]) > fabs(largest))
                largest = (double)axis[i];
        }
        assert_true(fabs(length - 1) < 1e-4);
        assert_true(sqrt(off) < 0.02 * trace);
        assert_true(largest > 0);
        assert_true(c == 0 || p->variance[c] <= p->variance[c - 1]);
    }
    free(covariance);
}

/* Places are around 0, with the variance that the components have, and not correlated. */
static void
check_places(Map *map, uint32_t entities)
{
    MetasdProjection *p = &map->projection;
    double mean[METASD_COMPONENTS] = {0};
    double product[METASD_COMPONENTS][METASD_COMPONENTS] = {{0}};

    for (uint32_t e = 0; e < entities; e++) {
        double place[METASD_COMPONENTS];

        metasd_projection_place(p, &map->image, e, place);
        for (int c = 0; c < METASD_COMPONENTS; c++) {
            mean[c] += place[c] / entities;
            for (int d = 0; d < METASD_COMPONENTS; d++)
                product[c][d] += place[c] * place[d] / entities;
        }
    }
    for (int c = 0; c < METASD_COMPONENTS; c++) {
        assert_true(fabs(mean[c]) < 1e-4);
        for (int d = 0; d < METASD_COMPONENTS; d++)
            assert_true(fabs(product[c][d] - (c == d ? p->variance[c] : 0)) < 1e-3 * p->total);
    }
}

static void
components_are_those_of_the_covariance(void **state)
{
    static const struct {
        uint32_t entities, width;
        double density;
        MetasdStorage storage;
        bool settled;
    } shapes[] = {{300, 20, 0.5, METASD_INT8, true},
                  {300, 20, 0.5, METASD_INT8, false},
                  {130, 12, 1, METASD_FLOAT32, true},
                  {64, 6, 0.8, METASD_INT4, true},
                  {200, 40, 0.1, METASD_INT8, true}};

    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        float *rows = make_rows(shapes[s].entities, shapes[s].width, shapes[s].density);
        Map map;

        find_map(&map, rows, shapes[s].entities, shapes[s].width, shapes[s].storage,
                 shapes[s].settled);
        assert_int_equal(map.projection.sample, shapes[s].entities);
        check_components(&map, rows, shapes[s].entities, shapes[s].width);
        check_places(&map, shapes[s].entities);
        forget_map(&map);
        free(rows);
    }
}

static void
the_map_is_the_same_every_time(void **state)
{
    float *rows = make_rows(100, 10, 0.7);
    Map a, b;

    (void)state;
    find_map(&a, rows, 100, 10, METASD_INT8, true);
    find_map(&b, rows, 100, 10, METASD_INT8, true);
    assert_memory_equal(a.projection.axes, b.projection.axes,
                        METASD_COMPONENTS * 10 * sizeof(float));
    forget_map(&a);
    forget_map(&b);
    free(rows);
}

/* Fewer directions than components: the others have no variance, and all numbers are finite. */
static void
what_does_not_vary_has_no_variance(void **state)
{
    static const uint32_t entities[] = {1, 2, 3, 70, 70};

    (void)state;
    for (size_t s = 0; s < sizeof(entities) / sizeof(*entities); s++) {
        uint32_t n = entities[s], width = s == 4 ? 2 : 8;
        float *rows = tools_alloc((size_t)n * width * sizeof(float));
        Map map;

        for (size_t i = 0; i < (size_t)n * width; i++)
            rows[i] = s == 3 ? 0 : (float)metasd_random_normal(1, STREAM, i);
        find_map(&map, rows, n, width, METASD_INT8, true);
        assert_true(map.projection.total >= 0);
        for (int c = 0; c < METASD_COMPONENTS; c++) {
            bool varies = s < 3 ? c + 1 < (int)n : s == 4 && c < 2;

            assert_true(varies == (map.projection.variance[c] > 1e-6));
        }
        for (uint32_t e = 0; e < n; e++) {
            double place[METASD_COMPONENTS];

            metasd_projection_place(&map.projection, &map.image, e, place);
            for (int c = 0; c < METASD_COMPONENTS; c++)
                assert_true(fabs(place[c]) < 2);
        }
        forget_map(&map);
        free(rows);
    }
}

/* Of many wide rows a sample is enough. */
static void
wide_images_are_sampled(void **state)
{
    uint32_t width = 40000, entities = (METASD_PROJECTION_FLOATS / 40000 + 30) / 2 * 2;
    float *rows = calloc((size_t)entities * width, sizeof(float));
    Map map;

    (void)state;
    for (uint32_t e = 0; e < entities; e++) {
        rows[(size_t)e * width + e % 2] = 1;
        rows[(size_t)e * width + 2 + e % 7] = 0.5f;
    }
    find_map(&map, rows, entities, width, METASD_INT8, false);
    assert_int_equal(map.projection.sample, METASD_PROJECTION_FLOATS / width);
    assert_true(map.projection.variance[0] > 2 * map.projection.variance[1]);
    for (uint32_t e = 0; e < entities; e++) { /* also those that are not in the sample */
        double place[METASD_COMPONENTS], other[METASD_COMPONENTS];

        metasd_projection_place(&map.projection, &map.image, e, place);
        metasd_projection_place(&map.projection, &map.image, (e + 1) % entities, other);
        assert_true(place[0] * other[0] < 0);
    }
    forget_map(&map);
    free(rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_are_those_of_the_covariance),
        cmocka_unit_test(the_map_is_the_same_every_time),
        cmocka_unit_test(what_does_not_vary_has_no_variance),
        cmocka_unit_test(wide_images_are_sampled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
