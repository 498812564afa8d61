/* A round holds each example once, in batches that never exceed their size or repeat a query. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "tools.h"

#define GROUPS 90
#define MOST_TAILS 40

typedef struct Fixture {
    MetasdGroups groups;
    uint32_t heads[GROUPS], relations[GROUPS];
    uint32_t start[GROUPS + 1];
    uint32_t tails[GROUPS * MOST_TAILS];
    MetasdBatcher batcher;
    MetasdTeam team;
    void *memory;
} Fixture;

/*
 * Group g is the query (g, g + 1000) with tails 10000 g, 10000 g + 1 ...; a few are large. Pieces
 * are of at most `most` examples, or of as many as a batcher takes by itself where that is 0.
 */
static Fixture *
make_cut(size_t size, size_t most)
{
    Fixture *f = tools_alloc(sizeof(*f));
    MetasdArena arena = metasd_arena_measure();
    size_t at = 0, bytes;

    f->team = metasd_team_of_one();
    for (uint32_t g = 0; g < GROUPS; g++) {
        uint64_t n = g % 17 == 3 ? MOST_TAILS : 1 + metasd_random_below(5, 91, g, 6);

        f->heads[g] = g;
        f->relations[g] = g + 1000;
        f->start[g] = (uint32_t)at;
        for (uint32_t i = 0; i < n; i++)
            f->tails[at++] = 10000 * g + i;
    }
    f->start[GROUPS] = (uint32_t)at;
    f->groups = (MetasdGroups){.count = GROUPS,
                               .examples = at,
                               .heads = f->heads,
                               .relations = f->relations,
                               .start = f->start,
                               .tails = f->tails};
    metasd_batcher_take(&f->batcher, &arena, &f->groups, size);
    bytes = arena.used;
    f->memory = tools_alloc(bytes);
    arena = metasd_arena_over(f->memory, bytes);
    metasd_batcher_take(&f->batcher, &arena, &f->groups, size);
    assert_true(metasd_arena_ok(&arena));
    if (most > 0)
        f->batcher.most = most;
    assert_int_equal(metasd_batcher_prepare(&f->batcher, &f->team), METASD_OK);
    return f;
}

static Fixture *
make(size_t size)
{
    return make_cut(size, 0);
}

static void
unmake(Fixture *f)
{
    free(f->memory);
    free(f);
}

static void
shuffle(Fixture *f, uint64_t seed, uint64_t stream)
{
    assert_int_equal(metasd_batcher_shuffle(&f->batcher, &f->team, seed, stream), METASD_OK);
}

static size_t
count(Fixture *f)
{
    size_t batches;

    assert_int_equal(metasd_batcher_count(&f->batcher, &f->team, &batches), METASD_OK);
    return batches;
}

static bool
next(Fixture *f)
{
    assert_int_equal(metasd_batcher_next(&f->batcher, &f->team), METASD_OK);
    return f->batcher.batch.n > 0;
}

/*
 * Counts the batch's examples of every group in `seen`; checks that the batch is well formed, each
 * query in it once, in the order of the groups and of their tails.
 */
static void
check_batch(const Fixture *f, uint32_t (*seen)[MOST_TAILS])
{
    const MetasdBatch *batch = &f->batcher.batch;

    assert_in_range(batch->n, 1, f->batcher.size);
    assert_in_range(batch->groups, 1, batch->n);
    assert_int_equal(batch->start[0], 0);
    assert_int_equal(batch->start[batch->groups], batch->n);
    for (size_t g = 0; g < batch->groups; g++) {
        assert_true(batch->start[g] < batch->start[g + 1]);
        assert_int_equal(batch->relations[g], batch->heads[g] + 1000);
        assert_true(g == 0 || batch->heads[g - 1] < batch->heads[g]);
        for (size_t i = batch->start[g]; i < batch->start[g + 1]; i++) {
            assert_int_equal(batch->tails[i] / 10000, batch->heads[g]);
            assert_int_equal(batch->group_of[i], g);
            assert_true(i == batch->start[g] || batch->tails[i - 1] < batch->tails[i]);
            seen[batch->heads[g]][batch->tails[i] % 10000]++;
        }
    }
}

static void
each_example_comes_once_a_round(void **state)
{
    static const size_t sizes[] = {1, 2, 7, 8, 9, 40, 64, 1000, 100000};

    (void)state;
    for (size_t k = 0; k < 2 * sizeof(sizes) / sizeof(sizes[0]); k++) {
        Fixture *f = make_cut(sizes[k / 2], k % 2);

        for (uint64_t round = 0; round < 3; round++) {
            static uint32_t seen[GROUPS][MOST_TAILS];
            size_t batches = 0;

            memset(seen, 0, sizeof(seen));
            shuffle(f, 1, METASD_STREAM_EPOCH + (round << 8));
            while (next(f)) {
                check_batch(f, seen);
                batches++;
            }
            assert_int_equal(batches, count(f));
            assert_false(next(f));
            for (size_t g = 0; g < GROUPS; g++)
                for (size_t i = 0; i < MOST_TAILS; i++)
                    assert_int_equal(seen[g][i], i < f->start[g + 1] - f->start[g]);
        }
        unmake(f);
    }
}

/*
 * Groups of up to size / 8 are whole; larger ones come in as few pieces as that allows. Where
 * several meet in a batch they are one query: all but a group's last piece are full, so that the
 * number of examples tells that of pieces.
 */
static void
groups_stay_whole(void **state)
{
    static const size_t sizes[] = {1, 8, 24, 64, 320, 100000};

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        Fixture *f = make(sizes[k]);
        size_t most = sizes[k] < 8 ? 1 : sizes[k] / 8, pieces[GROUPS] = {0};

        shuffle(f, 2, METASD_STREAM_EPOCH);
        while (next(f))
            for (size_t g = 0; g < f->batcher.batch.groups; g++) {
                size_t n = f->batcher.batch.start[g + 1] - f->batcher.batch.start[g];

                pieces[f->batcher.batch.heads[g]] += (n + most - 1) / most;
            }
        for (size_t g = 0; g < GROUPS; g++)
            assert_int_equal(pieces[g], (f->start[g + 1] - f->start[g] + most - 1) / most);
        unmake(f);
    }
}

/* Each piece is where it would be in a list of all pieces, whatever groups are large. */
static void
pieces_are_found(void **state)
{
    static const size_t sizes[] = {1, 8, 24, 64, 320, 100000};

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        Fixture *f = make(sizes[k]);
        size_t most = sizes[k] < 8 ? 1 : sizes[k] / 8;
        uint32_t number = 0;

        for (uint32_t g = 0; g < GROUPS; g++)
            for (size_t first = f->start[g]; first < f->start[g + 1]; first += most) {
                MetasdPiece piece = metasd_batcher_piece(&f->batcher, number++);
                size_t left = f->start[g + 1] - first;

                assert_int_equal(piece.group, g);
                assert_int_equal(piece.first, first);
                assert_int_equal(piece.examples, left < most ? left : most);
            }
        assert_int_equal(f->batcher.pieces, number);
        unmake(f);
    }
}

/* No batch but the last has room for the piece that opens the next. */
static void
batches_are_filled(void **state)
{
    Fixture *f = make(64);

    (void)state;
    shuffle(f, 3, METASD_STREAM_EPOCH);
    while (next(f))
        if (f->batcher.next < f->batcher.pieces)
            assert_true(
                f->batcher.batch.n +
                    metasd_batcher_piece(&f->batcher, f->batcher.order[f->batcher.next]).examples >
                64);
    unmake(f);
}

/* A batch of a whole round joins every group, however small its pieces. */
static void
pieces_of_a_group_are_joined(void **state)
{
    static uint32_t seen[GROUPS][MOST_TAILS];
    Fixture *f = make_cut(100000, 1);

    (void)state;
    shuffle(f, 6, METASD_STREAM_EPOCH);
    assert_int_equal(f->batcher.pieces, f->groups.examples);
    assert_true(next(f));
    check_batch(f, seen);
    assert_int_equal(f->batcher.batch.groups, GROUPS);
    assert_int_equal(f->batcher.batch.n, f->groups.examples);
    assert_memory_equal(f->batcher.batch.tails, f->groups.tails,
                        f->groups.examples * sizeof(*f->groups.tails));
    assert_false(next(f));
    unmake(f);
}

/* Batches of examples drawn one by one are all full but the last, and mix a large group's. */
static void
examples_can_be_drawn_one_by_one(void **state)
{
    Fixture *f = make_cut(64, 1);
    size_t batches = 0, with_large = 0;

    (void)state;
    shuffle(f, 7, METASD_STREAM_EPOCH);
    while (next(f)) {
        const MetasdBatch *batch = &f->batcher.batch;

        assert_int_equal(batch->n, f->batcher.next < f->batcher.pieces
                                       ? 64
                                       : f->groups.examples - 64 * (count(f) - 1));
        for (size_t g = 0; g < batch->groups; g++)
            with_large += batch->heads[g] == 3;
        batches++;
    }
    assert_int_equal(batches, (f->groups.examples + 63) / 64);
    assert_in_range(with_large, 4, batches); /* 40 examples over 7 batches or so */
    unmake(f);
}

/* Going through a round again gives the same batches: the order is left as it was. */
static void
a_round_can_be_repeated(void **state)
{
    Fixture *f = make(64);
    size_t n[2][GROUPS * MOST_TAILS], batches[2] = {0, 0};

    (void)state;
    shuffle(f, 8, METASD_STREAM_EPOCH);
    for (int round = 0; round < 2; round++) {
        f->batcher.next = 0;
        while (next(f))
            n[round][batches[round]++] = f->batcher.batch.n;
    }
    assert_int_equal(batches[0], batches[1]);
    assert_memory_equal(n[0], n[1], batches[0] * sizeof(n[0][0]));
    unmake(f);
}

static void
order_depends_on_seed_and_stream(void **state)
{
    Fixture *f = make(64);
    size_t bytes = f->batcher.pieces * sizeof(*f->batcher.order);
    uint32_t *order = tools_alloc(bytes);

    (void)state;
    shuffle(f, 4, 10);
    memcpy(order, f->batcher.order, bytes);
    shuffle(f, 4, 11);
    assert_memory_not_equal(order, f->batcher.order, bytes);
    shuffle(f, 5, 10);
    assert_memory_not_equal(order, f->batcher.order, bytes);
    shuffle(f, 4, 10);
    assert_memory_equal(order, f->batcher.order, bytes);
    free(order);
    unmake(f);
}

static void
nothing_gives_no_batch(void **state)
{
    Fixture *f = make(8);
    char memory[4096];
    MetasdArena arena = metasd_arena_over(memory, sizeof(memory));

    (void)state;
    f->groups.count = f->groups.examples = 0;
    metasd_batcher_take(&f->batcher, &arena, &f->groups, 8);
    assert_true(metasd_arena_ok(&arena));
    assert_int_equal(metasd_batcher_prepare(&f->batcher, &f->team), METASD_OK);
    shuffle(f, 1, METASD_STREAM_EPOCH);
    assert_int_equal(count(f), 0);
    assert_false(next(f));
    unmake(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_example_comes_once_a_round),
        cmocka_unit_test(groups_stay_whole),
        cmocka_unit_test(pieces_are_found),
        cmocka_unit_test(batches_are_filled),
        cmocka_unit_test(pieces_of_a_group_are_joined),
        cmocka_unit_test(examples_can_be_drawn_one_by_one),
        cmocka_unit_test(a_round_can_be_repeated),
        cmocka_unit_test(order_depends_on_seed_and_stream),
        cmocka_unit_test(nothing_gives_no_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
