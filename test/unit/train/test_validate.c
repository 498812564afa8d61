/*
 * Filtered ranks are those a full comparison finds: ties count half, known answers not at all,
 * whatever the blocks and the team.
 *
 * Weights are small whole numbers, so that scores are exact and tie often.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/validate.h"
#include "threads.h"
#include "core/ranking/rank_counts.h"
#include "tools.h"

#define ENTITIES 800 /* three slices */
#define RELATIONS 2
#define WIDTH 4
#define TRIPLES 300
#define MOST_TEAM 3

typedef struct World {
    MetasdGraph graph;
    MetasdBatch batch; /* all training examples */
    MetasdState state;
    MetasdValidator validator;
    MetasdRanks ranks[MOST_TEAM];
    void *memory[4];
} World;

/* Few heads with many tails each, so that there is much to leave out. */
static void
make(World *w, size_t block_rows)
{
    static MetasdTriple triples[TRIPLES], examples[2 * TRIPLES];
    MetasdSplit split = {.seed = 1, .validation_fraction = 0.2};
    const MetasdGroups *train = &w->graph.part[METASD_TRAIN];
    MetasdArena arena = metasd_arena_measure();
    size_t n = 0, bytes;

    for (size_t i = 0; i < TRIPLES; i++)
        triples[i] =
            (MetasdTriple){.head = (uint32_t)metasd_random_below(1, 70, 3 * i, 9),
                           .relation = (uint32_t)metasd_random_below(1, 70, 3 * i + 1, RELATIONS),
                           .tail = (uint32_t)metasd_random_below(1, 70, 3 * i + 2, ENTITIES)};
    w->memory[0] = tools_graph(&w->graph, triples, TRIPLES, ENTITIES, RELATIONS, &split);
    w->graph.irreflexive[0] = true;
    w->graph.irreflexive[1] = false;
    for (size_t g = 0; g < train->count; g++)
        for (size_t i = train->start[g]; i < train->start[g + 1]; i++)
            examples[n++] = (MetasdTriple){train->heads[g], train->relations[g], train->tails[i]};
    w->memory[1] = tools_batch(&w->batch, examples, n, true);
    w->state = (MetasdState){.entities = ENTITIES,
                             .relation_rows = 2 * RELATIONS,
                             .width = WIDTH,
                             .family = &metasd_family_complex,
                             /* blocks are of whole tiles, these rows are not */
                             .size = {.batch = n, .queries = block_rows}};
    w->memory[2] = tools_state_take(&w->state, MOST_TEAM, metasd_tile_whole(n) * ENTITIES);
    metasd_validate_take(&w->validator, &arena, MOST_TEAM, n);
    bytes = arena.used;
    w->memory[3] = tools_alloc(bytes);
    arena = metasd_arena_over(w->memory[3], bytes);
    metasd_validate_take(&w->validator, &arena, MOST_TEAM, n);
    for (size_t i = 0; i < tools_table_floats(&w->state); i++)
        w->state.weights[i] = (float)metasd_random_below(1, 71, i, 3) - 1.0f;
}

static void
unmake(World *w)
{
    for (int i = 0; i < 4; i++)
        free(w->memory[i]);
}

/* ---- the plain way ---- */

static double
score(const World *w, uint32_t head, uint32_t relation, uint32_t tail)
{
    const float *e = w->state.weights, *r = e + ((size_t)ENTITIES + relation) * WIDTH;
    float query[WIDTH];
    double sum = 0;

    metasd_family_complex.compose(WIDTH, e + (size_t)head * WIDTH, r, query);
    if (head == tail && w->graph.irreflexive[relation % RELATIONS])
        return (double)METASD_IMPOSSIBLE;
    for (size_t j = 0; j < WIDTH; j++)
        sum += (double)query[j] * (double)e[(size_t)tail * WIDTH + j];
    return sum;
}

static bool
is_known(const World *w, uint32_t head, uint32_t relation, uint32_t tail)
{
    const uint32_t *tails;
    size_t n = metasd_graph_find_group(&w->graph.known, head, relation, &tails);

    for (size_t i = 0; i < n; i++)
        if (tails[i] == tail)
            return true;
    return false;
}

static MetasdRanks
plain_ranks(const World *w, size_t *tied)
{
    MetasdRanks ranks = {0};

    *tied = 0;
    for (size_t i = 0; i < w->batch.n; i++) {
        uint32_t h = w->batch.heads[w->batch.group_of[i]], t = w->batch.tails[i];
        uint32_t r = w->batch.relations[w->batch.group_of[i]];
        double target = score(w, h, r, t), rank = 1;

        for (uint32_t e = 0; e < ENTITIES; e++) {
            double z = score(w, h, r, e);

            if (!is_known(w, h, r, e))
                rank += z > target ? 1 : z == target ? 0.5 : 0;
        }
        ranks.n++;
        *tied += rank != floor(rank);
        ranks.rank += rank;
        ranks.reciprocal += 1 / rank;
        ranks.hits[0] += rank <= 1;
        ranks.hits[1] += rank <= 3;
        ranks.hits[2] += rank <= 10;
    }
    return ranks;
}

/* ---- ours ---- */

static MetasdStatus
rank_all(MetasdTeam *team, void *context)
{
    World *w = context;

    return metasd_validate_batch(&w->validator, &w->state, team, w->state.weights, false, &w->batch,
                                 &w->graph, &w->ranks[team->rank]);
}

static void
check_ranks(World *w, int members, const MetasdRanks *wanted)
{
    memset(w->ranks, 0, sizeof(w->ranks));
    assert_int_equal(threads_run(members, rank_all, w), METASD_OK);
    for (int member = 0; member < members; member++) {
        const MetasdRanks *ours = &w->ranks[member];

        assert_int_equal(ours->n, wanted->n);
        assert_true(ours->rank == wanted->rank);
        assert_true(fabs(ours->reciprocal - wanted->reciprocal) <= 1e-9 * wanted->reciprocal);
        for (int i = 0; i < 3; i++)
            assert_int_equal(ours->hits[i], wanted->hits[i]);
    }
}

static void
ranks_are_those_of_a_full_comparison(void **state)
{
    static const size_t block_rows[] = {0, 1, 70};
    static World w;
    MetasdRanks wanted = {0};
    size_t tied;

    (void)state;
    for (size_t b = 0; b < 3; b++) {
        make(&w, block_rows[b]);
        if (wanted.n == 0)
            wanted = plain_ranks(&w, &tied);
        assert_in_range(tied, 1, wanted.n - 1);
        for (int members = 1; members <= MOST_TEAM; members++)
            check_ranks(&w, members, &wanted);
        unmake(&w);
    }
}

/* The ranks of a batch are added to those before. */
static void
ranks_add_up(void **state)
{
    static World w;
    MetasdTeam team = metasd_team_of_one();
    MetasdRanks once = {0}, twice;

    (void)state;
    make(&w, 0);
    assert_int_equal(metasd_validate_batch(&w.validator, &w.state, &team, w.state.weights, false,
                                           &w.batch, &w.graph, &once),
                     METASD_OK);
    twice = once;
    assert_int_equal(metasd_validate_batch(&w.validator, &w.state, &team, w.state.weights, false,
                                           &w.batch, &w.graph, &twice),
                     METASD_OK);
    assert_int_equal(twice.n, 2 * once.n);
    assert_true(twice.rank == 2 * once.rank);
    assert_int_equal(twice.hits[2], 2 * once.hits[2]);
    unmake(&w);
}

/* All zeros: every unknown entity ties, and a model that says nothing is not praised for it. */
static void
a_model_of_zeros_ranks_in_the_middle(void **state)
{
    static World w;
    MetasdRanks wanted;
    size_t tied;

    (void)state;
    make(&w, 0);
    memset(w.state.weights, 0, tools_table_floats(&w.state) * sizeof(float));
    wanted = plain_ranks(&w, &tied);
    assert_int_equal(wanted.hits[2], 0);
    check_ranks(&w, 2, &wanted);
    unmake(&w);
}

static void
scores_that_are_no_numbers_rank_last(void **state)
{
    static World w;
    MetasdTeam team = metasd_team_of_one();
    MetasdRanks ranks = {0};
    double last = 0;

    (void)state;
    make(&w, 0);
    for (size_t i = 0; i < tools_table_floats(&w.state); i++)
        w.state.weights[i] = NAN;
    for (size_t i = 0; i < w.batch.n; i++) {
        const uint32_t *tails;
        size_t group = w.batch.group_of[i];

        last += 1.0 + ENTITIES -
                (double)metasd_graph_find_group(&w.graph.known, w.batch.heads[group],
                                                w.batch.relations[group], &tails);
    }
    assert_int_equal(metasd_validate_batch(&w.validator, &w.state, &team, w.state.weights, false,
                                           &w.batch, &w.graph, &ranks),
                     METASD_OK);
    assert_true(ranks.rank == last);
    unmake(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_those_of_a_full_comparison),
        cmocka_unit_test(ranks_add_up),
        cmocka_unit_test(a_model_of_zeros_ranks_in_the_middle),
        cmocka_unit_test(scores_that_are_no_numbers_rank_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
