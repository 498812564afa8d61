/*
 * How weights fit a graph, where all comparisons are known: entities stand on a circle, and a
 * relation turns by one place.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "tools.h"
#include "core/train/fit.h"

#define ENTITIES 36
#define ROWS (ENTITIES + 2)
#define WIDTH ((size_t)2)
#define TURN (6.283185307179586 / ENTITIES)

typedef struct Circle {
    float rows[ROWS * 2], scratch[METASD_FIT_SCRATCH * 2];
    MetasdGraph graph;
    void *memory;
} Circle;

static void
put_turn(float row[2], double turns)
{
    row[0] = (float)cos(TURN * turns);
    row[1] = (float)sin(TURN * turns);
}

/* A fact from each entity to the next one; the relation turns by `forward`, its reciprocal back. */
static Circle
make_circle(double forward, double back)
{
    Circle circle;
    MetasdTriple facts[ENTITIES];
    MetasdSplit split = {.seed = 1};

    for (uint32_t i = 0; i < ENTITIES; i++) {
        facts[i] = (MetasdTriple){i, 0, (i + 1) % ENTITIES};
        put_turn(circle.rows + i * WIDTH, i);
    }
    put_turn(circle.rows + ENTITIES * WIDTH, forward);
    put_turn(circle.rows + (ENTITIES + 1) * WIDTH, back);
    circle.memory = tools_graph(&circle.graph, facts, ENTITIES, ENTITIES, 1, &split);
    return circle;
}

static MetasdFit
measure(Circle *circle, MetasdFitReading reading)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdFitWeights weights = {.family = &metasd_family_complex,
                                .width = WIDTH,
                                .rows = circle->rows,
                                .reading = reading,
                                .scratch = circle->scratch};
    MetasdFit fit;

    assert_int_equal(metasd_fit(&weights, &team, &circle->graph, &fit), METASD_OK);
    return fit;
}

static void
exchange_parts(size_t width, const float *row, float *out)
{
    (void)width;
    out[0] = row[1];
    out[1] = row[0];
}

static void
facts_win_where_they_are_best(void **state)
{
    Circle both = make_circle(1, -1), tails = make_circle(1, -1 + ENTITIES / 2);
    Circle heads = make_circle(1 + ENTITIES / 2, -1);

    (void)state;
    assert_true(measure(&both, NULL).tails == 1 && measure(&both, NULL).heads == 1);
    assert_true(measure(&tails, NULL).tails == 1 && measure(&tails, NULL).heads == 0);
    assert_true(measure(&heads, NULL).tails == 0 && measure(&heads, NULL).heads == 1);
    free(both.memory);
    free(tails.memory);
    free(heads.memory);
}

/* Weights that stand in another order are read in that order. */
static void
rows_are_read_as_told(void **state)
{
    Circle circle = make_circle(1, -1);

    (void)state;
    for (size_t row = 0; row < ROWS; row++) {
        float part = circle.rows[2 * row];

        circle.rows[2 * row] = circle.rows[2 * row + 1];
        circle.rows[2 * row + 1] = part;
    }
    assert_true(measure(&circle, NULL).tails < 0.9);
    assert_true(measure(&circle, exchange_parts).tails == 1);
    assert_true(measure(&circle, exchange_parts).heads == 1);
    free(circle.memory);
}

static void
equal_scores_are_half_a_win(void **state)
{
    Circle circle = make_circle(1, -1);

    (void)state;
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        circle.rows[i] = 0;
    assert_true(measure(&circle, NULL).tails == 0.5 && measure(&circle, NULL).heads == 0.5);
    free(circle.memory);
}

/* Other facts of a question are no wrong answers, nor is the entity that it is about. */
static void
answers_compete_with_wrong_ones_only(void **state)
{
    Circle circle = make_circle(0.4, -0.4);
    MetasdTriple facts[2 * ENTITIES];
    MetasdSplit split = {.seed = 1};

    (void)state;
    free(circle.memory);
    for (uint32_t i = 0; i < ENTITIES; i++) { /* nearest to 0.4: itself, 1, -1, 2 */
        facts[2 * i] = (MetasdTriple){i, 0, (i + 1) % ENTITIES};
        facts[2 * i + 1] = (MetasdTriple){i, 0, (i + ENTITIES - 1) % ENTITIES};
    }
    circle.memory = tools_graph(&circle.graph, facts, 2 * ENTITIES, ENTITIES, 1, &split);
    assert_true(measure(&circle, NULL).tails == 1 && measure(&circle, NULL).heads == 1);
    free(circle.memory);
}

static MetasdStatus
stop(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

static void
it_can_be_stopped(void **state)
{
    Circle circle = make_circle(1, -1);
    MetasdTeam team = metasd_team_of_one();
    MetasdFitWeights weights = {.family = &metasd_family_complex,
                                .width = WIDTH,
                                .rows = circle.rows,
                                .scratch = circle.scratch};
    MetasdFit fit;

    (void)state;
    team.poll = stop;
    team.worked = METASD_POLL_WORK;
    assert_int_equal(metasd_fit(&weights, &team, &circle.graph, &fit), METASD_INTERRUPTED);
    free(circle.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_win_where_they_are_best),
        cmocka_unit_test(rows_are_read_as_told),
        cmocka_unit_test(equal_scores_are_half_a_win),
        cmocka_unit_test(answers_compete_with_wrong_ones_only),
        cmocka_unit_test(it_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
