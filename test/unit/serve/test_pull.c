/* Pulls are what numeric derivatives of the score say, through every row, for every family. */
#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/serve/pull.h"
#include "core/serve/query.h"
#include "tools.h"

#define ENTITIES 70
#define RELATIONS 3
#define WIDTH 12
#define SEED 22

/* A dense model, in double, and the image made of it. */
typedef struct World {
    const MetasdFamily *family;
    double entity[ENTITIES][WIDTH], relation[2 * RELATIONS][WIDTH];
    void *memory, *scratch;
    MetasdImage image;
    MetasdPull pull;
} World;

/* Fills a row in as an image reads it back: float32, or codes of 8 bits; a part is pruned. */
static MetasdSparseRow
random_row(MetasdStorage storage, double density, uint64_t seed, double *dense,
           MetasdRowSpace space)
{
    static uint8_t bytes[1024];
    MetasdSparseRow row;
    float weights[WIDTH];
    size_t n;

    for (int j = 0; j < WIDTH; j++)
        weights[j] = (double)metasd_random_below(SEED, seed, (uint64_t)j, 1000) < 1000 * density
                         ? (float)metasd_random_normal(SEED, seed, 100 + (uint64_t)j)
                         : 0.0f;
    assert_int_equal(metasd_row_round(storage, WIDTH, weights), METASD_OK);
    for (int j = 0; j < WIDTH; j++)
        dense[j] = (double)weights[j];
    assert_int_equal(metasd_row_encode(storage, WIDTH, weights, bytes, sizeof(bytes), &n),
                     METASD_OK);
    assert_int_equal(metasd_row_decode_sparse(bytes, n, WIDTH, space, &row), METASD_OK);
    return row;
}

/* Memory of one sparse row. */
static MetasdRowSpace
take_space(void)
{
    return (MetasdRowSpace){.capacity = WIDTH,
                            .positions = tools_alloc(WIDTH * sizeof(uint32_t)),
                            .values = tools_alloc(WIDTH * sizeof(float)),
                            .codes = tools_alloc(WIDTH)};
}

static void
free_space(MetasdRowSpace space)
{
    free(space.positions);
    free(space.values);
    free(space.codes);
}

static World *
make_world(const MetasdFamily *family, MetasdStorage storage, double density)
{
    World *w = tools_alloc(sizeof(*w));
    MetasdRowSpace space = take_space(), other = take_space();
    MetasdTeam team = metasd_team_of_one();
    uint32_t counts[WIDTH] = {0};
    MetasdImageWriter writer;
    MetasdImagePlan plan = {
        .family = family, .entities = ENTITIES, .relations = RELATIONS, .width = WIDTH};
    char label[16];
    size_t bytes;

    w->family = family;
    for (uint32_t e = 0; e < ENTITIES; e++) {
        MetasdSparseRow row = random_row(storage, density, e, w->entity[e], space);

        plan.entity_kept += row.kept;
        plan.entity_label_bytes += (uint64_t)sprintf(label, "e%u", e);
        for (size_t i = 0; i < row.kept; i++)
            counts[row.positions[i]]++;
    }
    for (uint32_t r = 0; r < 2 * RELATIONS; r++)
        plan.relation_kept += random_row(storage, density, 1000 + r, w->relation[r], space).kept;
    for (uint32_t r = 0; r < RELATIONS; r++)
        plan.relation_label_bytes += (uint64_t)sprintf(label, "r%u", r);
    metasd_image_choose_columns(
        &plan, storage == METASD_FLOAT32 ? METASD_CODES_FLOAT : METASD_CODES_INT8, counts);
    bytes = metasd_image_bytes(&plan);
    w->memory = tools_alloc(bytes);
    assert_int_equal(metasd_image_begin(&writer, &plan, counts, w->memory), METASD_OK);
    for (uint32_t e = 0; e < ENTITIES; e++)
        assert_int_equal(
            metasd_image_add_entity(&writer, e, label, (size_t)sprintf(label, "e%u", e),
                                    random_row(storage, density, e, w->entity[e], space)),
            METASD_OK);
    for (uint32_t r = 0; r < RELATIONS; r++)
        assert_int_equal(
            metasd_image_add_relation(&writer, r, label, (size_t)sprintf(label, "r%u", r),
                                      random_row(storage, density, 1000 + r, w->relation[r], space),
                                      random_row(storage, density, 1000 + RELATIONS + r,
                                                 w->relation[RELATIONS + r], other)),
            METASD_OK);
    assert_int_equal(metasd_image_finish(&writer, &team), METASD_OK);
    assert_int_equal(metasd_image_open(w->memory, bytes, &team, &w->image), METASD_OK);
    w->scratch = tools_alloc(metasd_pull_bytes(WIDTH));
    free_space(space);
    free_space(other);
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

/* The score of a triple in those directions. */
static double
score(World *w, Triple x, MetasdPullSides sides)
{
    double sum = 0;

    if (sides & METASD_PULL_TAILS)
        sum += tools_score(w->family, WIDTH, w->entity[x.head], w->relation[x.relation],
                           w->entity[x.tail]);
    if (sides & METASD_PULL_HEADS)
        sum += tools_score(w->family, WIDTH, w->entity[x.tail], w->relation[RELATIONS + x.relation],
                           w->entity[x.head]);
    return sum;
}

/* Its derivative by a row's weights, by differences; 0 where the row has none. */
static void
differentiate(World *w, Triple x, MetasdPullSides sides, double *row, double *gradient)
{
    for (int j = 0; j < WIDTH; j++) {
        double kept = row[j], above;

        gradient[j] = 0;
        if (kept == 0)
            continue;
        row[j] = kept + 0.5;
        above = score(w, x, sides);
        row[j] = kept - 0.5;
        gradient[j] = above - score(w, x, sides);
        row[j] = kept;
    }
}

/* A pull at a triple whose rows are in the image. */
static void
start_pull(MetasdPull *pull, const MetasdImage *image, uint32_t head, uint32_t relation,
           uint32_t tail, MetasdPullSides sides, void *memory)
{
    const MetasdGiven given[METASD_PULL_ROWS] = {[METASD_PULL_HEAD] = metasd_given(head),
                                                 [METASD_PULL_TAIL] = metasd_given(tail),
                                                 [METASD_PULL_RELATION] = metasd_given(relation),
                                                 [METASD_PULL_RECIPROCAL] =
                                                     metasd_given(relation + RELATIONS)};

    metasd_pull_start(pull, image, given, sides, memory);
}

/* What one fact adds to the score of a triple, to first order, through a row. */
static double
expected_pull(World *w, Triple x, MetasdPullSides sides, Triple fact, double *row)
{
    double of_triple[WIDTH], of_fact[WIDTH], sum = 0;

    differentiate(w, x, sides, row, of_triple);
    differentiate(w, fact, METASD_PULL_BOTH, row, of_fact);
    for (int j = 0; j < WIDTH; j++)
        sum += of_triple[j] * of_fact[j];
    return sum;
}

/* The change of the score when the fact's gradient is added to the row. */
static double
change_of_score(World *w, Triple x, MetasdPullSides sides, Triple fact, double *row)
{
    double before = score(w, x, sides), gradient[WIDTH], kept[WIDTH], change;

    differentiate(w, fact, METASD_PULL_BOTH, row, gradient);
    memcpy(kept, row, sizeof(kept));
    for (int j = 0; j < WIDTH; j++)
        row[j] += gradient[j];
    change = score(w, x, sides) - before;
    memcpy(row, kept, sizeof(kept));
    return change;
}

static void
assert_close(double a, double b)
{
    if (!(fabs(a - b) <= 2e-4 * (1 + fabs(b))))
        fail_msg("%.9g instead of %.9g", a, b);
}

/* ---- comparisons ---- */

static const Triple asked[] = {{3, 0, 8}, {8, 1, 3}, {69, 2, 0}, {5, 1, 5}};

#define ASKED (sizeof(asked) / sizeof(*asked))

static void
compare_entity(World *w, Triple x, MetasdPullSides sides, bool of_head)
{
    uint32_t e = of_head ? x.head : x.tail, others[ENTITIES];
    float pulls[2][ENTITIES];
    bool loop = x.head == x.tail;

    for (uint32_t i = 0; i < ENTITIES; i++)
        others[i] = ENTITIES - 1 - i;
    for (uint32_t r = 0; r < RELATIONS; r++) {
        for (int is_head = 0; is_head < 2; is_head++)
            metasd_pull_entity(&w->pull, of_head ? METASD_PULL_HEAD : METASD_PULL_TAIL, r, is_head,
                               others, ENTITIES, pulls[is_head]);
        for (uint32_t i = 0; i < ENTITIES; i++)
            for (int is_head = 0; is_head < 2; is_head++) {
                Triple fact = {is_head ? e : others[i], r, is_head ? others[i] : e};
                double pull = (double)pulls[is_head][i];

                if (others[i] == e) /* counted in both ways */
                    pull = (double)pulls[0][i] + (double)pulls[1][i];
                assert_close(pull, expected_pull(w, x, sides, fact, w->entity[e]));
                if (!loop)
                    assert_close(pull, change_of_score(w, x, sides, fact, w->entity[e]));
            }
    }
}

static void
compare_relation(World *w, Triple x, MetasdPullSides sides)
{
    double *rows[2] = {w->relation[x.relation], w->relation[RELATIONS + x.relation]};
    uint32_t others[ENTITIES];
    float pulls[ENTITIES];

    for (uint32_t i = 0; i < ENTITIES; i++)
        others[i] = ENTITIES - 1 - i;
    for (uint32_t e = 0; e < ENTITIES; e += 7)
        for (int is_head = 0; is_head < 2; is_head++) {
            metasd_pull_relation(&w->pull, e, is_head, others, ENTITIES, pulls);
            for (uint32_t i = 0; i < ENTITIES; i++) {
                Triple fact = {is_head ? e : others[i], x.relation, is_head ? others[i] : e};

                assert_close((double)pulls[i], expected_pull(w, x, sides, fact, rows[0]) +
                                                   expected_pull(w, x, sides, fact, rows[1]));
            }
        }
}

static void
pulls_are_derivatives(void **state)
{
    static const MetasdPullSides sides[] = {METASD_PULL_TAILS, METASD_PULL_HEADS, METASD_PULL_BOTH};

    (void)state;
    for (int f = 0; f < TOOLS_FAMILIES; f++)
        for (int k = 0; k < 4; k++) {
            World *w = make_world(tools_families[f], k % 2 ? METASD_INT8 : METASD_FLOAT32,
                                  k < 2 ? 0.6 : 0.15);

            for (size_t i = 0; i < ASKED; i++)
                for (int s = 0; s < 3; s++) {
                    start_pull(&w->pull, &w->image, asked[i].head, asked[i].relation, asked[i].tail,
                               sides[s], w->scratch);
                    compare_entity(w, asked[i], sides[s], true);
                    if (asked[i].head != asked[i].tail)
                        compare_entity(w, asked[i], sides[s], false);
                    compare_relation(w, asked[i], sides[s]);
                }
            free_world(w);
        }
}

/*
 * Centered pulls are those of a triple against the mean of its rivals, by facts against the mean of
 * others (here some, that no fact has): the score is linear in the tail, so they are sums of pulls
 * that are not centered.
 */
#define FIRST 20

static void
average_embeddings(const World *w, const uint32_t *entities, int n, float *mean)
{
    float row[WIDTH];

    memset(mean, 0, WIDTH * sizeof(*mean));
    for (int i = 0; i < n; i++) {
        metasd_query_embedding(&w->image, entities[i], row);
        for (int j = 0; j < WIDTH; j++)
            mean[j] += row[j] / (float)n;
    }
}

static void
centered_pulls_are_against_the_rivals(void **state)
{
    World *w = make_world(&metasd_family_complex, METASD_INT8, 0.6);
    static const uint32_t rivals[] = {11, 12, 13, 14};
    const uint32_t relation = 1, other = 9, entity = 7;
    Triple x = asked[0];
    double expected[3] = {0};
    uint32_t others[ENTITIES - FIRST];
    float rival[WIDTH], mean[WIDTH], pull;

    (void)state;
    for (uint32_t e = FIRST; e < ENTITIES; e++)
        others[e - FIRST] = e;
    average_embeddings(w, others, ENTITIES - FIRST, mean);
    average_embeddings(w, rivals, 4, rival);
    /* -1: the triple itself; facts for tails are against the mean tail, so both are summed up */
    for (int i = -1; i < 4; i++) {
        Triple y = {x.head, x.relation, i < 0 ? x.tail : rivals[i]};
        double part = i < 0 ? 1 : -0.25;

        for (uint32_t e = FIRST; e <= ENTITIES; e++) { /* ENTITIES: the fact's own answer */
            double less = e == ENTITIES ? 1 : -1.0 / (ENTITIES - FIRST);
            double of_triple[WIDTH], of_fact[WIDTH];
            Triple facts[3] = {{x.head, relation, e == ENTITIES ? other : e},
                               {e == ENTITIES ? other : e, relation, x.tail},
                               {entity, x.relation, e == ENTITIES ? other : e}};
            double *rows[3] = {w->entity[x.head], w->entity[x.tail], w->relation[x.relation]};
            static const MetasdPullSides side[3] = {METASD_PULL_TAILS, METASD_PULL_HEADS,
                                                    METASD_PULL_TAILS};

            for (int k = 0; k < 3; k++) {
                if (k == 1 && i >= 0) /* rivals do not read the row of the tail */
                    continue;
                differentiate(w, y, METASD_PULL_TAILS, rows[k], of_triple);
                differentiate(w, facts[k], side[k], rows[k], of_fact);
                for (int j = 0; j < WIDTH; j++)
                    expected[k] += part * less * of_triple[j] * of_fact[j];
                if (e < ENTITIES)
                    continue;
                differentiate(w, facts[k], METASD_PULL_BOTH - side[k], rows[k], of_fact);
                for (int j = 0; j < WIDTH; j++)
                    expected[k] += part * of_triple[j] * of_fact[j];
            }
        }
    }
    start_pull(&w->pull, &w->image, x.head, x.relation, x.tail, METASD_PULL_TAILS, w->scratch);
    metasd_pull_center(&w->pull, rival, mean);
    metasd_pull_entity(&w->pull, METASD_PULL_HEAD, relation, true, &other, 1, &pull);
    assert_close((double)pull, expected[0]);
    metasd_pull_entity(&w->pull, METASD_PULL_TAIL, relation, false, &other, 1, &pull);
    assert_close((double)pull, expected[1]);
    metasd_pull_relation(&w->pull, entity, true, &other, 1, &pull);
    assert_close((double)pull, expected[2]);
    metasd_pull_relation(&w->pull, other, false, &entity, 1, &pull); /* the same fact */
    assert_close((double)pull, expected[2]);
    free_world(w);
}

/*
 * Rows from elsewhere, here copies of some of the image, pull as these do; those of entities by
 * facts as questions of them alone.
 */
static void
rows_from_elsewhere_pull_alike(void **state)
{
    enum { HEAD = ENTITIES, TAIL, RELATION = RELATIONS, OTHERS = 5 };

    World *w = make_world(&metasd_family_complex, METASD_INT8, 0.6);
    float rows[METASD_PULL_ROWS][WIDTH], of_image[OTHERS], pulls[OTHERS];
    MetasdGiven given[METASD_PULL_ROWS] = {
        [METASD_PULL_HEAD].id = HEAD,
        [METASD_PULL_TAIL].id = TAIL,
        [METASD_PULL_RELATION].id = RELATION,
        [METASD_PULL_RECIPROCAL].id = RELATION,
    };
    void *scratch = tools_alloc(metasd_pull_bytes(WIDTH));
    MetasdPull there;
    Triple x = asked[0];
    const uint32_t tails[OTHERS] = {20, x.tail, 30, 31, x.tail};
    const uint32_t new_tails[OTHERS] = {20, TAIL, 30, 31, TAIL};

    (void)state;
    start_pull(&there, &w->image, x.head, x.relation, x.tail, METASD_PULL_BOTH, scratch);
    for (int i = 0; i < METASD_PULL_ROWS; i++) {
        metasd_pull_read_row(&there, (MetasdPullRow)i, rows[i]);
        given[i].row = rows[i];
    }
    metasd_pull_start(&w->pull, &w->image, given, METASD_PULL_BOTH, w->scratch);
    for (int i = 0; i < METASD_PULL_ROWS; i++)
        assert_memory_equal(w->pull.towards[i], there.towards[i], sizeof(rows[i]));
    metasd_pull_relation(&there, x.head, true, tails, OTHERS, of_image);
    metasd_pull_relation(&w->pull, HEAD, true, new_tails, OTHERS, pulls);
    for (int i = 0; i < OTHERS; i++)
        assert_close((double)pulls[i], (double)of_image[i]);
    for (int is_head = 0; is_head < 2; is_head++) {
        metasd_pull_entity(&w->pull, METASD_PULL_HEAD, RELATION, is_head, new_tails, OTHERS, pulls);
        for (int i = 0; i < OTHERS; i++) {
            Triple fact = {is_head ? x.head : tails[i], x.relation, is_head ? tails[i] : x.head};
            double of_triple[WIDTH], of_fact[WIDTH], expected = 0;

            differentiate(w, x, METASD_PULL_BOTH, w->entity[x.head], of_triple);
            differentiate(w, fact, is_head ? METASD_PULL_TAILS : METASD_PULL_HEADS,
                          w->entity[x.head], of_fact);
            for (int j = 0; j < WIDTH; j++)
                expected += of_triple[j] * of_fact[j];
            assert_close((double)pulls[i], expected);
        }
    }
    free(scratch);
    free_world(w);
}

/* No fact pulls harder than its relation reaches, times the norm of its other entity. */
static void
reach_is_a_bound(void **state)
{
    World *w = make_world(&metasd_family_complex, METASD_INT8, 0.6);
    uint32_t others[ENTITIES];
    float pulls[ENTITIES];

    (void)state;
    for (uint32_t i = 0; i < ENTITIES; i++)
        others[i] = i;
    start_pull(&w->pull, &w->image, 3, 0, 8, METASD_PULL_TAILS, w->scratch);
    for (uint32_t r = 0; r < RELATIONS; r++)
        for (int k = 0; k < 4; k++) {
            MetasdPullRow row = k < 2 ? METASD_PULL_HEAD : METASD_PULL_TAIL;
            float reach = metasd_pull_reach(&w->pull, row, r, k % 2), most = 0;

            metasd_pull_entity(&w->pull, row, r, k % 2, others, ENTITIES, pulls);
            for (uint32_t i = 0; i < ENTITIES; i++) {
                float bound = reach * w->image.norms[i] * 1.0001f;

                assert_true(fabsf(pulls[i]) <= bound);
                most = fmaxf(most, fabsf(pulls[i]) / bound);
            }
            assert_true(most > 0.1f); /* it is no idle bound */
        }
    free_world(w);
}

/* Rows that are pruned whole pull at nothing, and are no error. */
static void
empty_rows_pull_at_nothing(void **state)
{
    World *w = make_world(&metasd_family_complex, METASD_INT8, 0);
    float pulls[2];
    const uint32_t others[2] = {1, 2};

    (void)state;
    start_pull(&w->pull, &w->image, 0, 0, 1, METASD_PULL_BOTH, w->scratch);
    metasd_pull_entity(&w->pull, METASD_PULL_HEAD, 1, true, others, 2, pulls);
    assert_true(pulls[0] == 0 && pulls[1] == 0);
    metasd_pull_relation(&w->pull, 1, false, others, 2, pulls);
    assert_true(pulls[0] == 0 && pulls[1] == 0);
    free_world(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pulls_are_derivatives),
        cmocka_unit_test(centered_pulls_are_against_the_rivals),
        cmocka_unit_test(rows_from_elsewhere_pull_alike),
        cmocka_unit_test(reach_is_a_bound),
        cmocka_unit_test(empty_rows_pull_at_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
