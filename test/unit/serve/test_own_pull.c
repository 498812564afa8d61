/* A fact's own pull: its energies, what is taken out of its rows, and the scores by what stays. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/serve/own_pull.h"
#include "core/serve/query.h"
#include "tools.h"

#define ENTITIES 70
#define RELATIONS 3
#define WIDTH 12
#define ROWS (ENTITIES + 2 * RELATIONS)
#define SEED 22

/* A model: its entities, then its relation rows. */
typedef struct World {
    const MetasdFamily *family;
    double rows[ROWS][WIDTH];
    void *memory, *scratch;
    uint8_t energies[ROWS * WIDTH];
    MetasdImage image;
    MetasdOwnPull own;
} World;

typedef struct SparseRow {
    uint32_t positions[WIDTH];
    float values[WIDTH];
} SparseRow;

/* A row of random weights, a third of them pruned. */
static MetasdSparseRow
random_row(World *w, uint32_t number, SparseRow *space)
{
    MetasdSparseRow row = {.positions = space->positions, .values = space->values};

    for (uint32_t j = 0; j < WIDTH; j++) {
        bool kept = metasd_random_below(SEED, number, j, 3) > 0;
        float weight = kept ? (float)metasd_random_normal(SEED, number, 100 + j) : 0;

        w->rows[number][j] = (double)weight;
        if (!kept)
            continue;
        space->positions[row.kept] = j;
        space->values[row.kept++] = weight;
    }
    return row;
}

static World *
make_world(const MetasdFamily *family)
{
    World *w = tools_alloc(sizeof(*w));
    MetasdTeam team = metasd_team_of_one();
    uint32_t counts[WIDTH] = {0};
    MetasdImagePlan plan = {
        .family = family, .entities = ENTITIES, .relations = RELATIONS, .width = WIDTH};
    MetasdImageWriter writer;
    SparseRow space, other;
    char label[16];
    size_t bytes;

    w->family = family;
    for (uint32_t i = 0; i < ROWS; i++) {
        MetasdSparseRow row = random_row(w, i, &space);

        if (i < ENTITIES + RELATIONS)
            *(i < ENTITIES ? &plan.entity_label_bytes : &plan.relation_label_bytes) +=
                (uint64_t)sprintf(label, "x%u", i);
        *(i < ENTITIES ? &plan.entity_kept : &plan.relation_kept) += row.kept;
        for (size_t k = 0; i < ENTITIES && k < row.kept; k++)
            counts[row.positions[k]]++;
    }
    metasd_image_choose_columns(&plan, METASD_CODES_FLOAT, counts);
    bytes = metasd_image_bytes(&plan);
    w->memory = tools_alloc(bytes);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, w->memory), METASD_OK);
    for (uint32_t e = 0; e < ENTITIES; e++)
        assert_int_equal(metasd_image_add_entity(&writer, e, label,
                                                 (size_t)sprintf(label, "x%u", e),
                                                 random_row(w, e, &space)),
                         METASD_OK);
    for (uint32_t r = 0; r < RELATIONS; r++)
        assert_int_equal(metasd_image_add_relation(&writer, r, label,
                                                   (size_t)sprintf(label, "x%u", ENTITIES + r),
                                                   random_row(w, ENTITIES + r, &space),
                                                   random_row(w, ENTITIES + RELATIONS + r, &other)),
                         METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(metasd_image_open(w->memory, bytes, &team, &w->image), METASD_OK);
    w->scratch = tools_alloc(metasd_own_pull_bytes(WIDTH));
    metasd_own_pull_start(&w->own, &w->image, w->energies, METASD_OWN_STEP, w->scratch);
    return w;
}

static void
free_world(World *w)
{
    free(w->memory);
    free(w->scratch);
    free(w);
}

/* ---- what the definition says ---- */

typedef struct Triple {
    uint32_t head, relation, tail;
} Triple;

static const Triple facts[] = {{3, 0, 8}, {8, 1, 3}, {69, 2, 0}, {5, 1, 5}};

#define FACTS (sizeof(facts) / sizeof(*facts))

/* The number of a row that the triple reads. */
static uint32_t
number_of(Triple x, MetasdPullRow row)
{
    const uint32_t numbers[METASD_PULL_ROWS] = {x.head, x.tail, ENTITIES + x.relation,
                                                ENTITIES + RELATIONS + x.relation};

    return numbers[row];
}

/* The score of one direction by rows of weights. */
static double
score_of(const World *w, double rows[METASD_PULL_ROWS][WIDTH], bool tails)
{
    return tools_score(w->family, WIDTH, rows[tails ? METASD_PULL_HEAD : METASD_PULL_TAIL],
                       rows[tails ? METASD_PULL_RELATION : METASD_PULL_RECIPROCAL],
                       rows[tails ? METASD_PULL_TAIL : METASD_PULL_HEAD]);
}

/* The gradient of a direction's score towards a row, which is linear in it. */
static void
find_gradient(const World *w, Triple x, MetasdPullRow row, bool tails, double *gradient)
{
    double rows[METASD_PULL_ROWS][WIDTH];

    for (int i = 0; i < METASD_PULL_ROWS; i++)
        memcpy(rows[i], w->rows[number_of(x, (MetasdPullRow)i)], sizeof(rows[i]));
    for (int j = 0; j < WIDTH; j++) {
        double kept = rows[row][j], above;

        rows[row][j] = kept + 0.5;
        above = score_of(w, rows, tails);
        rows[row][j] = kept - 0.5;
        gradient[j] = kept == 0 ? 0 : above - score_of(w, rows, tails);
        rows[row][j] = kept;
    }
}

static void
assert_close(double a, double b)
{
    if (!(fabs(a - b) <= 1e-4 * (1 + fabs(b))))
        fail_msg("%.9g instead of %.9g", a, b);
}

/* Fills the energies of all rows in, from all facts. */
static void
fill_energies(World *w)
{
    static double energy[ROWS][WIDTH];

    memset(energy, 0, sizeof(energy));
    for (size_t f = 0; f < FACTS; f++) {
        metasd_own_pull_read(&w->own, facts[f].head, facts[f].relation, facts[f].tail);
        for (int i = 0; i < METASD_PULL_ROWS; i++)
            metasd_own_pull_add_energy(&w->own, (MetasdPullRow)i,
                                       energy[number_of(facts[f], (MetasdPullRow)i)]);
    }
    for (size_t i = 0; i < ROWS; i++)
        metasd_own_pull_encode(WIDTH, energy[i], w->energies + i * WIDTH);
}

/* ---- tests ---- */

static void
energies_are_squares_of_gradients(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++) {
        World *w = make_world(tools_families[f]);

        for (size_t i = 0; i < FACTS; i++)
            for (int row = 0; row < METASD_PULL_ROWS; row++) {
                double energy[WIDTH] = {0}, gradient[2][WIDTH];

                metasd_own_pull_read(&w->own, facts[i].head, facts[i].relation, facts[i].tail);
                metasd_own_pull_add_energy(&w->own, (MetasdPullRow)row, energy);
                for (int tails = 0; tails < 2; tails++)
                    find_gradient(w, facts[i], (MetasdPullRow)row, tails, gradient[tails]);
                for (int j = 0; j < WIDTH; j++)
                    assert_close(energy[j],
                                 gradient[0][j] * gradient[0][j] + gradient[1][j] * gradient[1][j]);
            }
        free_world(w);
    }
}

static void
codes_of_energies_rise_in_half_powers_of_two(void **state)
{
    uint8_t codes[6];

    (void)state;
    metasd_own_pull_encode(6, (const double[]){0, 1e-300, 1, 1.5, 2, 1e300}, codes);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[1], 1);
    assert_int_equal(codes[3], codes[2] + 1);
    assert_int_equal(codes[4], codes[2] + 2);
    assert_int_equal(codes[5], UINT8_MAX);
}

/* A column that no other fact uses loses a whole step, of one direction or of both. */
static void
pull_is_taken_out_by_share(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++) {
        World *w = make_world(tools_families[f]);

        fill_energies(w);
        for (size_t i = 0; i < FACTS; i++) {
            metasd_own_pull_read(&w->own, facts[i].head, facts[i].relation, facts[i].tail);
            metasd_own_pull_take_out(&w->own);
            for (int row = 0; row < METASD_PULL_ROWS; row++) {
                uint32_t number = number_of(facts[i], (MetasdPullRow)row);
                double gradient[2][WIDTH];

                for (int tails = 0; tails < 2; tails++)
                    find_gradient(w, facts[i], (MetasdPullRow)row, tails, gradient[tails]);
                for (int j = 0; j < WIDTH; j++) {
                    double taken = w->rows[number][j] - (double)w->own.rows[row][j];
                    double by = gradient[0][j] + gradient[1][j];
                    double step = (double)w->own.step[w->energies[number * WIDTH + j]];

                    assert_close(taken, by == 0 ? 0 : step * by);
                    assert_true(fabs(taken) <= 1.2 * sqrt(2) * (double)METASD_OWN_STEP);
                }
            }
        }
        free_world(w);
    }
}

static void
scores_are_those_of_the_rows(void **state)
{
    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++) {
        World *w = make_world(tools_families[f]);

        fill_energies(w);
        for (size_t i = 0; i < FACTS; i++)
            for (int side = METASD_PULL_TAILS; side <= METASD_PULL_HEADS; side++) {
                bool tails = side == METASD_PULL_TAILS;
                int answer = tails ? METASD_PULL_TAIL : METASD_PULL_HEAD;
                float scores[ENTITIES], plain, score;
                double rows[METASD_PULL_ROWS][WIDTH];

                metasd_own_pull_read(&w->own, facts[i].head, facts[i].relation, facts[i].tail);
                plain = metasd_own_pull_scores(&w->own, (MetasdPullSides)side, scores);
                assert_close((double)plain,
                             (double)scores[number_of(facts[i], (MetasdPullRow)answer)]);
                metasd_own_pull_take_out(&w->own);
                score = metasd_own_pull_scores(&w->own, (MetasdPullSides)side, scores);
                for (int row = 0; row < METASD_PULL_ROWS; row++)
                    for (int j = 0; j < WIDTH; j++)
                        rows[row][j] = (double)w->own.rows[row][j];
                assert_close((double)score, score_of(w, rows, tails));
                for (uint32_t e = 0; e < ENTITIES; e++) {
                    memcpy(rows[answer], w->rows[e], sizeof(rows[answer]));
                    assert_close((double)scores[e], score_of(w, rows, tails));
                }
                if (facts[i].head != facts[i].tail)
                    assert_true(score < plain);
            }
        free_world(w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energies_are_squares_of_gradients),
        cmocka_unit_test(codes_of_energies_rise_in_half_powers_of_two),
        cmocka_unit_test(pull_is_taken_out_by_share),
        cmocka_unit_test(scores_are_those_of_the_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
