/* Groups hold every example once, splits never empty an entity or relation, repeats are dropped. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/graph/graph.h"
#include "core/base/random.h"
#include "core/graph/graph_build.h"

#define ENTITIES 60
#define RELATIONS 5
#define TRIPLES 700

typedef struct Built {
    MetasdGraph graph;
    void *memory;
} Built;

static void
random_triples(MetasdTriple *triples, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        triples[i] = (MetasdTriple){
            .head = (uint32_t)metasd_random_below(seed, 90, 3 * i, ENTITIES),
            .relation = (uint32_t)metasd_random_below(seed, 90, 3 * i + 1, RELATIONS),
            .tail = (uint32_t)metasd_random_below(seed, 90, 3 * i + 2, ENTITIES)};
}

static Built
build(MetasdTriple *triples, size_t n, MetasdTriple *validation, size_t validation_n,
      const MetasdSplit *split)
{
    Built built;
    MetasdTeam team = metasd_team_of_one();
    size_t bytes = metasd_graph_bytes(n, validation_n, ENTITIES, RELATIONS);
    MetasdArena arena;

    built.memory = malloc(bytes);
    arena = metasd_arena_over(built.memory, bytes);
    assert_int_equal(metasd_graph_build(&built.graph, &team, &arena, triples, n, validation,
                                        validation_n, ENTITIES, RELATIONS, split),
                     METASD_OK);
    return built;
}

static size_t
present(const MetasdGroups *groups, uint32_t head, uint32_t relation, uint32_t tail)
{
    const uint32_t *tails;
    size_t n = metasd_graph_find_group(groups, head, relation, &tails), found = 0;

    for (size_t i = 0; i < n; i++)
        found += tails[i] == tail;
    return found;
}

static void
groups_hold_each_example_once(void **state)
{
    static MetasdTriple triples[TRIPLES], copy[TRIPLES];
    MetasdSplit split = {.seed = 3, .validation_fraction = 0.1, .quiz_fraction = 0.05};
    Built built;

    (void)state;
    random_triples(triples, TRIPLES, 1);
    triples[10] = triples[11];
    memcpy(copy, triples, sizeof(copy));
    built = build(triples, TRIPLES, NULL, 0, &split);
    assert_int_equal(built.graph.known.examples, 2 * built.graph.triples);
    for (size_t i = 0; i < TRIPLES; i++) {
        const MetasdTriple *x = &copy[i];
        size_t forward = 0, backward = 0;

        for (int part = 0; part < METASD_PARTS; part++) {
            forward += present(&built.graph.part[part], x->head, x->relation, x->tail);
            backward += present(&built.graph.part[part], x->tail, x->relation + RELATIONS, x->head);
        }
        assert_int_equal(forward, 1);
        assert_int_equal(backward, 1);
        assert_int_equal(present(&built.graph.known, x->head, x->relation, x->tail), 1);
    }
    free(built.memory);
}

static void
splits_leave_every_entity_in_training(void **state)
{
    static MetasdTriple triples[TRIPLES], copy[TRIPLES];
    MetasdSplit split = {.seed = 3, .validation_fraction = 0.5, .quiz_fraction = 0.5};
    bool wanted[ENTITIES] = {false}, found[ENTITIES] = {false};
    size_t n = 120; /* sparse: many entities have one triple */
    Built built;

    (void)state;
    random_triples(triples, n, 2);
    memcpy(copy, triples, sizeof(copy));
    built = build(triples, n, NULL, 0, &split);
    for (size_t i = 0; i < n; i++)
        wanted[copy[i].head] = wanted[copy[i].tail] = true;
    for (size_t g = 0; g < built.graph.part[METASD_TRAIN].count; g++)
        found[built.graph.part[METASD_TRAIN].heads[g]] = true;
    assert_memory_equal(wanted, found, sizeof(found));
    assert_true(built.graph.part_triples[METASD_VALIDATION] > 0);
    free(built.memory);
}

/*
 * Validation triples stay the same with other triples, another order and another seed.
 */
static void
keys_decide_what_is_held_out(void **state)
{
    static MetasdTriple few[TRIPLES], more[TRIPLES];
    static uint64_t entity_keys[ENTITIES], moved_keys[ENTITIES], relation_keys[RELATIONS];
    MetasdSplit split = {.seed = 3,
                         .validation_fraction = 0.1,
                         .entity_keys = entity_keys,
                         .relation_keys = relation_keys};
    Built first, second;
    size_t n = TRIPLES / 2, held_out;

    (void)state;
    for (uint32_t e = 0; e < ENTITIES; e++)
        entity_keys[e] = moved_keys[ENTITIES - 1 - e] = metasd_random(1, 91, e);
    for (uint32_t r = 0; r < RELATIONS; r++)
        relation_keys[r] = metasd_random(2, 91, r);
    random_triples(more, TRIPLES, 2);
    memcpy(few, more, n * sizeof(*few));
    for (size_t i = 0; i < TRIPLES; i++) {
        more[i].head = ENTITIES - 1 - more[i].head;
        more[i].tail = ENTITIES - 1 - more[i].tail;
    }
    first = build(few, n, NULL, 0, &split);
    split.seed = 4;
    split.entity_keys = moved_keys;
    second = build(more, TRIPLES, NULL, 0, &split);
    held_out = first.graph.part_triples[METASD_VALIDATION];
    assert_in_range(held_out, first.graph.triples / 20, first.graph.triples / 5);
    assert_true(second.graph.part_triples[METASD_VALIDATION] > held_out);
    for (size_t i = 0; i < n; i++) {
        MetasdTriple x = few[i];

        assert_int_equal(present(&first.graph.part[METASD_VALIDATION], x.head, x.relation, x.tail),
                         present(&second.graph.part[METASD_VALIDATION], ENTITIES - 1 - x.head,
                                 x.relation, ENTITIES - 1 - x.tail));
    }
    free(first.memory);
    free(second.memory);
}

static void
given_validation_is_used_whole(void **state)
{
    static MetasdTriple triples[TRIPLES], validation[50];
    MetasdSplit split = {.seed = 3, .validation_fraction = 0.1, .quiz_fraction = 0.02};
    Built built;

    (void)state;
    random_triples(triples, TRIPLES, 1);
    random_triples(validation, 50, 9);
    validation[7] = triples[7]; /* also among the triples: not a question any more */
    built = build(triples, TRIPLES, validation, 50, &split);
    assert_in_range(built.graph.part_triples[METASD_VALIDATION], 40, 49);
    free(built.memory);
}

/* So few triples have none for validation; and a validation triple given twice counts once. */
static void
the_smallest_graphs_are_graphs(void **state)
{
    MetasdSplit split = {.seed = 3, .validation_fraction = 0.5, .quiz_fraction = 0.5};
    MetasdTriple triples[] = {{7, 2, 7}, {7, 2, 7}},
                 validation[] = {{7, 2, 7}, {1, 0, 2}, {1, 0, 2}};
    Built built = build(triples, 2, NULL, 0, &split);

    (void)state;
    assert_int_equal(built.graph.triples, 1);
    assert_int_equal(built.graph.part_triples[METASD_TRAIN], 1);
    assert_int_equal(present(&built.graph.part[METASD_TRAIN], 7, 2, 7), 1);
    assert_int_equal(present(&built.graph.part[METASD_TRAIN], 7, 2 + RELATIONS, 7), 1);
    free(built.memory);
    built = build(triples, 2, validation, 3, &split);
    assert_int_equal(built.graph.triples, 2);
    assert_int_equal(built.graph.part_triples[METASD_VALIDATION], 1);
    free(built.memory);
    built = build(triples, 0, NULL, 0, &split);
    assert_int_equal(built.graph.triples, 0);
    assert_int_equal(built.graph.known.count, 0);
    free(built.memory);
}

static MetasdStatus
stop(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

/* Wherever a poll falls, it can end the building. */
static void
building_can_be_stopped(void **state)
{
    MetasdTriple triples[100], validation[20];
    MetasdSplit split = {.seed = 3, .quiz_fraction = 0.05};
    size_t bytes = metasd_graph_bytes(100, 20, ENTITIES, RELATIONS), stopped = 0;
    void *memory = malloc(bytes);
    MetasdStatus status = METASD_INTERRUPTED;

    (void)state;
    for (size_t work = 1; status == METASD_INTERRUPTED; work += 1 + work / 3) {
        MetasdTeam team = metasd_team_of_one();
        MetasdArena arena = metasd_arena_over(memory, bytes);
        MetasdGraph graph;

        assert_true(work < METASD_POLL_WORK);
        team.poll = stop;
        team.worked = METASD_POLL_WORK - work; /* so much until the first poll */
        random_triples(triples, 100, 1);
        random_triples(validation, 20, 9);
        status = metasd_graph_build(&graph, &team, &arena, triples, 100, validation, 20, ENTITIES,
                                    RELATIONS, &split);
        stopped += status == METASD_INTERRUPTED;
    }
    assert_int_equal(status, METASD_OK);
    assert_true(stopped > 20);
    free(memory);
}

static void
ids_out_of_range_are_refused(void **state)
{
    MetasdTriple triple = {.head = ENTITIES, .relation = 0, .tail = 0};
    MetasdTeam team = metasd_team_of_one();
    MetasdSplit split = {.seed = 1};
    MetasdGraph graph;
    size_t bytes = metasd_graph_bytes(1, 0, ENTITIES, RELATIONS);
    void *memory = malloc(bytes);
    MetasdArena arena = metasd_arena_over(memory, bytes);

    (void)state;
    assert_int_equal(
        metasd_graph_build(&graph, &team, &arena, &triple, 1, NULL, 0, ENTITIES, RELATIONS, &split),
        METASD_INVALID);
    arena = metasd_arena_over(memory, bytes / 2);
    triple.head = 0;
    assert_int_equal(
        metasd_graph_build(&graph, &team, &arena, &triple, 1, NULL, 0, ENTITIES, RELATIONS, &split),
        METASD_NO_MEMORY);
    free(memory);
    assert_true(metasd_graph_bytes(SIZE_MAX / 2, 0, 1, 1) == SIZE_MAX);
}

static void
same_groups(const MetasdGroups *a, const MetasdGroups *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->examples, b->examples);
    assert_memory_equal(a->heads, b->heads, a->count * sizeof(uint32_t));
    assert_memory_equal(a->relations, b->relations, a->count * sizeof(uint32_t));
    assert_memory_equal(a->start, b->start, (a->count + 1) * sizeof(*a->start));
    assert_memory_equal(a->tails, b->tails, a->examples * sizeof(uint32_t));
}

/* A copy takes less than building, has all of the graph, and can be ended by a poll. */
/* One training triple in a hundred from an entity to itself is enough; others do not count. */
static void
few_loops_are_no_loops(void **state)
{
    MetasdTriple triples[] = {{0, 0, 1}, {2, 0, 2}, {0, 1, 1}, {1, 2, 1}, {3, 2, 3}, {0, 2, 3}};
    MetasdTriple many[TRIPLES], held_out[] = {{4, 1, 4}, {5, 1, 5}};
    static const bool wanted[RELATIONS] = {false, true, false, false, false};
    MetasdSplit split = {.seed = 1};
    Built built = build(triples, sizeof(triples) / sizeof(*triples), held_out, 2, &split);

    (void)state;
    assert_memory_equal(built.graph.irreflexive, wanted, sizeof(wanted));
    free(built.memory);
    for (uint32_t n = 99; n < 102; n++) {
        for (uint32_t i = 0; i < n; i++)
            many[i] = (MetasdTriple){i % 30, 0, 31 + i / 30};
        many[n] = (MetasdTriple){7, 0, 7};
        built = build(many, n + 1, NULL, 0, &split);
        assert_true(built.graph.irreflexive[0] == (n + 1 > 100));
        free(built.memory);
    }
}

/*
 * A graph of just its size has the same parts. Its known tails are found in them, and are those
 * that groups of all parts have.
 */
static void
parts_are_all_that_is_known(void **state)
{
    MetasdTriple triples[2][TRIPLES], validation[2][20];
    MetasdSplit split = {.seed = 5, .quiz_fraction = 0.1};
    MetasdTeam team = metasd_team_of_one();
    MetasdGraphBuilding building;
    MetasdGraph graph;
    MetasdArena arena;
    size_t bytes = metasd_graph_building_bytes(TRIPLES, 20, ENTITIES, RELATIONS);
    void *memory = malloc(bytes), *own;
    Built built;

    (void)state;
    for (int i = 0; i < 2; i++) {
        random_triples(triples[i], TRIPLES, 11);
        random_triples(validation[i], 20, 12);
    }
    built = build(triples[0], TRIPLES, validation[0], 20, &split);
    arena = metasd_arena_over(memory, bytes);
    assert_int_equal(metasd_graph_begin(&building, &graph, &team, &arena, triples[1], TRIPLES,
                                        validation[1], 20, ENTITIES, RELATIONS, &split),
                     METASD_OK);
    arena = metasd_arena_measure();
    metasd_graph_take(&graph, &arena);
    own = malloc(arena.used);
    arena = metasd_arena_over(own, arena.used);
    metasd_graph_take(&graph, &arena);
    assert_true(metasd_arena_ok(&arena));
    assert_int_equal(metasd_graph_fill(&building, &graph, &team), METASD_OK);
    free(memory);
    assert_int_equal(graph.known.count, 0);
    for (int part = 0; part < METASD_PARTS; part++)
        same_groups(&graph.part[part], &built.graph.part[part]);
    assert_memory_equal(graph.irreflexive, built.graph.irreflexive, RELATIONS * sizeof(bool));
    for (uint32_t head = 0; head < ENTITIES; head++)
        for (uint32_t relation = 0; relation < 2 * RELATIONS; relation++) {
            MetasdKnown known = metasd_graph_known(&graph, head, relation);

            for (uint32_t tail = 0; tail < ENTITIES; tail++)
                assert_int_equal(metasd_graph_is_known(&known, tail),
                                 present(&built.graph.known, head, relation, tail));
        }
    free(own);
    free(built.memory);
}

static void
copies_are_whole_and_small(void **state)
{
    MetasdTriple triples[TRIPLES];
    MetasdSplit split = {.seed = 5, .validation_fraction = 0.1, .quiz_fraction = 0.05};
    MetasdArena measured = metasd_arena_measure(), arena;
    MetasdTeam team = metasd_team_of_one();
    MetasdGraph copy;
    Built built;
    void *memory;

    (void)state;
    random_triples(triples, TRIPLES, 11);
    built = build(triples, TRIPLES, NULL, 0, &split);
    copy = built.graph;
    metasd_graph_take(&copy, &measured);
    assert_true(measured.used < metasd_graph_bytes(TRIPLES, 0, ENTITIES, RELATIONS));
    memory = malloc(measured.used);
    arena = metasd_arena_over(memory, measured.used);
    metasd_graph_take(&copy, &arena);
    assert_true(metasd_arena_ok(&arena));
    assert_int_equal(metasd_graph_copy(&copy, &team, &built.graph), METASD_OK);
    for (int part = 0; part < METASD_PARTS; part++)
        same_groups(&copy.part[part], &built.graph.part[part]);
    same_groups(&copy.known, &built.graph.known);
    assert_memory_equal(copy.irreflexive, built.graph.irreflexive, RELATIONS * sizeof(bool));
    team.poll = stop;
    team.worked = METASD_POLL_WORK - 1;
    assert_int_equal(metasd_graph_copy(&copy, &team, &built.graph), METASD_INTERRUPTED);
    free(memory);
    free(built.memory);
}

/* A graph of triples in any order, with repeats, is the graph of the same triples sorted before. */
static void
the_order_of_triples_does_not_count(void **state)
{
    static MetasdTriple mixed[TRIPLES], sorted[TRIPLES], once[TRIPLES + 1], scratch[TRIPLES + 1];
    size_t counts[ENTITIES + 1], n = TRIPLES;
    MetasdSplit split = {.seed = 5, .validation_fraction = 0.1, .quiz_fraction = 0.1};
    MetasdTeam team = metasd_team_of_one();
    Built a, b;

    (void)state;
    random_triples(mixed, TRIPLES, 8);
    for (size_t i = 0; i < TRIPLES / 2; i++) /* repeats */
        mixed[TRIPLES - 1 - i] = mixed[i];
    memcpy(sorted, mixed, sizeof(sorted));
    assert_int_equal(
        metasd_graph_sort_triples(&team, sorted, &n, scratch, counts, ENTITIES, RELATIONS),
        METASD_OK);
    assert_true(n <= TRIPLES / 2);
    memcpy(once, sorted, n * sizeof(*once));
    a = build(mixed, TRIPLES, NULL, 0, &split);
    b = build(sorted, n, NULL, 0, &split);
    assert_memory_equal(once, sorted, n * sizeof(*once));
    for (int part = 0; part < METASD_PARTS; part++) {
        const MetasdGroups *x = &a.graph.part[part], *y = &b.graph.part[part];

        assert_int_equal(x->examples, y->examples);
        assert_memory_equal(x->tails, y->tails, x->examples * sizeof(*x->tails));
        assert_int_equal(x->count, y->count);
        assert_memory_equal(x->heads, y->heads, x->count * sizeof(*x->heads));
    }
    /* one repeat at the end, or one triple out of order there, does not pass for sorted */
    for (int last = 0; last < 2; last++) {
        size_t more = n + 1;

        memcpy(once, sorted, n * sizeof(*once));
        once[n] = last == 0 ? once[n - 1] : once[0];
        assert_int_equal(
            metasd_graph_sort_triples(&team, once, &more, scratch, counts, ENTITIES, RELATIONS),
            METASD_OK);
        assert_int_equal(more, n);
        assert_memory_equal(once, sorted, n * sizeof(*once));
    }
    free(a.memory);
    free(b.memory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_hold_each_example_once),
        cmocka_unit_test(splits_leave_every_entity_in_training),
        cmocka_unit_test(keys_decide_what_is_held_out),
        cmocka_unit_test(given_validation_is_used_whole),
        cmocka_unit_test(the_smallest_graphs_are_graphs),
        cmocka_unit_test(building_can_be_stopped),
        cmocka_unit_test(ids_out_of_range_are_refused),
        cmocka_unit_test(few_loops_are_no_loops),
        cmocka_unit_test(the_order_of_triples_does_not_count),
        cmocka_unit_test(parts_are_all_that_is_known),
        cmocka_unit_test(copies_are_whole_and_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
