/*
 * The evaluation of validation facts gives the results of each question by itself: ranks, in all
 * and by relation, and which answers hold; whatever the batches.
 *
 * Weights are small whole numbers, so that scores are exact and tie often.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/holdout.h"
#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "tools.h"
#include "core/graph/graph_build.h"

#define ENTITIES 800 /* three slices */
#define RELATIONS 2
#define ROWS (2 * RELATIONS)
#define WIDTH 4
#define TRIPLES 400
#define HEADS 9

typedef struct World {
    MetasdGraph graph;
    MetasdBatcher batches;
    MetasdState state;
    MetasdHoldout holdout;
    MetasdTeam team;
    void *memory[4];
} World;

static void *
take_batcher(MetasdBatcher *batches, const MetasdGroups *groups, size_t size)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;
    void *memory;

    metasd_batcher_take(batches, &arena, groups, size);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    arena = metasd_arena_over(memory, bytes);
    metasd_batcher_take(batches, &arena, groups, size);
    return memory;
}

static void *
take_holdout(MetasdHoldout *holdout, const MetasdGraph *graph)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;
    void *memory;

    metasd_holdout_take(holdout, &arena, graph);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    arena = metasd_arena_over(memory, bytes);
    metasd_holdout_take(holdout, &arena, graph);
    assert_true(metasd_arena_ok(&arena));
    return memory;
}

/* Entities' ids, in another order. */
static uint32_t
renamed(uint32_t entity, bool other)
{
    return other ? (entity * 7 + 3) % ENTITIES : entity;
}

/* The triples, validation ones after the others; returns how many those are. */
static size_t
draw_triples(MetasdTriple triples[TRIPLES], double validation_fraction, bool other)
{
    size_t first = 0, last = TRIPLES;

    for (size_t i = 0; i < TRIPLES; i++) {
        MetasdTriple triple = {.head = (uint32_t)metasd_random_below(1, 70, 3 * i, HEADS),
                               .relation =
                                   (uint32_t)metasd_random_below(1, 70, 3 * i + 1, RELATIONS),
                               .tail = (uint32_t)metasd_random_below(1, 70, 3 * i + 2, ENTITIES)};
        uint64_t number =
            (uint64_t)(triple.head * RELATIONS + triple.relation) * ENTITIES + triple.tail;
        bool held_out =
            (double)metasd_random_below(1, 72, number, 1000) < 1000 * validation_fraction;

        triple.head = renamed(triple.head, other);
        triple.tail = renamed(triple.tail, other);
        triples[held_out ? --last : first++] = triple;
    }
    return TRIPLES - last;
}

/* Few heads with many tails each: groups that batches of `size` cut in pieces. */
static void
make_named(World *w, double validation_fraction, size_t size, size_t block_rows, bool other)
{
    static MetasdTriple triples[TRIPLES];
    size_t held_out = draw_triples(triples, validation_fraction, other);
    size_t bytes = metasd_graph_bytes(TRIPLES - held_out, held_out, ENTITIES, RELATIONS);
    MetasdArena arena;

    w->team = metasd_team_of_one();
    w->memory[0] = tools_alloc(bytes);
    arena = metasd_arena_over(w->memory[0], bytes);
    assert_int_equal(metasd_graph_build(&w->graph, &w->team, &arena, triples, TRIPLES - held_out,
                                        triples + TRIPLES - held_out, held_out, ENTITIES, RELATIONS,
                                        &(MetasdSplit){.seed = 1}),
                     METASD_OK);
    w->graph.irreflexive[0] = true;
    w->graph.irreflexive[1] = false;
    w->memory[1] = take_batcher(&w->batches, &w->graph.part[METASD_VALIDATION], size);
    if (size < 3)
        w->batches.most = 1;
    assert_int_equal(metasd_batcher_prepare(&w->batches, &w->team), METASD_OK);
    assert_int_equal(metasd_batcher_shuffle(&w->batches, &w->team, 3, 1), METASD_OK);
    w->state = (MetasdState){.entities = ENTITIES,
                             .relation_rows = ROWS,
                             .width = WIDTH,
                             .family = &metasd_family_complex,
                             .size = {.batch = size, .queries = block_rows}};
    w->memory[2] = tools_state_take(&w->state, 1, metasd_tile_whole(size) * ENTITIES);
    w->memory[3] = take_holdout(&w->holdout, &w->graph);
    for (size_t i = 0; i < tools_table_floats(&w->state); i++) {
        uint32_t row = (uint32_t)(i / WIDTH);
        size_t at = row < ENTITIES ? renamed(row, other) * WIDTH + i % WIDTH : i;

        w->state.weights[at] = (float)metasd_random_below(1, 71, i, 3) - 1.0f;
    }
}

static void
make(World *w, double validation_fraction, size_t size, size_t block_rows)
{
    make_named(w, validation_fraction, size, block_rows, false);
}

static void
unmake(World *w)
{
    for (int i = 0; i < 4; i++)
        free(w->memory[i]);
}

static MetasdStatus
hold_out(World *w, size_t most, MetasdRanks *ranks)
{
    return metasd_holdout(&w->holdout, &w->state, &w->team, w->state.weights, &w->batches,
                          &w->graph, most, ranks);
}

/* ---- the plain way ---- */

typedef struct Found {
    MetasdRanks ranks;
    size_t ranked[RELATIONS];
    double reciprocal[RELATIONS];
    size_t degree_ranked[METASD_HOLDOUT_DEGREES];
    double degree_reciprocal[METASD_HOLDOUT_DEGREES];
    size_t questions[ROWS], answers[ROWS], holding[ROWS];
    double odds[ROWS];                /* their sum */
    size_t pairs, relations, related; /* of relations: questions, answers, those that hold; */
    double relation_odds;
} Found;

static bool
is_among(const MetasdGroups *groups, uint32_t head, uint32_t row, uint32_t tail)
{
    const uint32_t *tails;
    size_t n = metasd_graph_find_group(groups, head, row, &tails);

    for (size_t i = 0; i < n; i++)
        if (tails[i] == tail)
            return true;
    return false;
}

static void
score_all(const World *w, uint32_t head, uint32_t row, float *scores)
{
    const float *e = w->state.weights, *r = e + ((size_t)ENTITIES + row) * WIDTH;
    float query[WIDTH];

    metasd_family_complex.compose(WIDTH, e + (size_t)head * WIDTH, r, query);
    for (uint32_t tail = 0; tail < ENTITIES; tail++) {
        scores[tail] = 0;
        for (size_t j = 0; j < WIDTH; j++)
            scores[tail] += query[j] * e[(size_t)tail * WIDTH + j];
    }
    if (w->graph.irreflexive[row % RELATIONS])
        scores[head] = METASD_IMPOSSIBLE;
}

/* The range of the number of triples, without those held out, that an entity has at either end. */
static int
plain_range(const World *w, uint32_t entity)
{
    const MetasdGroups *known = &w->graph.known;
    size_t degree = 0;
    int range = 0;

    for (size_t g = 0; g < known->count; g++)
        for (size_t i = known->start[g]; i < known->start[g + 1]; i++)
            if (known->relations[g] < RELATIONS &&
                !is_among(&w->graph.part[METASD_VALIDATION], known->heads[g], known->relations[g],
                          known->tails[i]))
                degree += (known->heads[g] == entity) + (known->tails[i] == entity);
    while (degree >= (size_t)1 << range)
        range++;
    return range;
}

static void
plain_ranks(const World *w, Found *found, uint32_t head, uint32_t row, const float *scores)
{
    for (uint32_t tail = 0; tail < ENTITIES; tail++) {
        double rank = 1;

        if (!is_among(&w->graph.part[METASD_VALIDATION], head, row, tail))
            continue;
        for (uint32_t e = 0; e < ENTITIES; e++)
            if (!is_among(&w->graph.known, head, row, e))
                rank += scores[e] > scores[tail] ? 1 : scores[e] == scores[tail] ? 0.5 : 0;
        metasd_validate_add(&found->ranks, rank);
        found->ranked[row % RELATIONS]++;
        found->reciprocal[row % RELATIONS] += 1 / rank;
        found->degree_ranked[plain_range(w, tail)]++;
        found->degree_reciprocal[plain_range(w, tail)] += 1 / rank;
    }
}

/* Log odds of the candidate at a place against its competitors; in their order, best first. */
static double
plain_odds(const float *scores, const uint32_t *order, const bool *known, size_t n, size_t at)
{
    double mine = (double)scores[order[at]], sum = 0;
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        bool competes = !known[order[i]] || (found && i >= METASD_ODDS_KNOWN);

        found |= !known[order[i]];
        if (competes && i != at)
            sum += exp((double)scores[order[i]] - mine);
    }
    return fmin(fmax(-log(sum), -METASD_MOST_ODDS), METASD_MOST_ODDS);
}

/* The answers to a question: how many there are and hold, and the sum of their odds. */
static void
plain_answers(const World *w, Found *found, uint32_t head, uint32_t row, const float *scores)
{
    const MetasdGroups *missing = &w->graph.part[METASD_VALIDATION];
    uint32_t order[ENTITIES];
    bool known[ENTITIES];

    for (uint32_t e = 0; e < ENTITIES; e++) {
        uint32_t place = e;

        known[e] = is_among(&w->graph.known, head, row, e) && !is_among(missing, head, row, e);
        for (; place > 0 && scores[order[place - 1]] < scores[e]; place--)
            order[place] = order[place - 1];
        order[place] = e;
    }
    for (size_t at = 0; at < ENTITIES; at++) {
        if (known[order[at]] || scores[order[at]] == METASD_IMPOSSIBLE)
            continue;
        found->odds[row] += plain_odds(scores, order, known, ENTITIES, at);
        found->holding[row] += is_among(missing, head, row, order[at]);
        found->answers[row]++;
    }
    found->questions[row]++;
}

/* The question for the relations of a pair, if one of them is missing. */
static void
plain_relations(const World *w, Found *found, uint32_t head, uint32_t tail)
{
    uint32_t order[RELATIONS];
    bool known[RELATIONS], missing[RELATIONS], asked = false;
    float scores[RELATIONS], all[ENTITIES];

    for (uint32_t r = 0; r < RELATIONS; r++) {
        missing[r] = is_among(&w->graph.part[METASD_VALIDATION], head, r, tail);
        known[r] = is_among(&w->graph.known, head, r, tail) && !missing[r];
        asked |= missing[r];
    }
    for (uint32_t r = 0; asked && r < RELATIONS; r++) {
        uint32_t place = r;

        score_all(w, head, r, all);
        scores[r] = all[tail];
        for (; place > 0 && scores[order[place - 1]] < scores[r]; place--)
            order[place] = order[place - 1];
        order[place] = r;
    }
    found->pairs += asked;
    for (size_t at = 0; asked && at < RELATIONS; at++)
        if (!known[order[at]] && scores[order[at]] != METASD_IMPOSSIBLE) {
            found->relations++;
            found->related += missing[order[at]];
            found->relation_odds += plain_odds(scores, order, known, RELATIONS, at);
        }
}

static void
plain(const World *w, Found *found)
{
    const MetasdGroups *missing = &w->graph.part[METASD_VALIDATION];
    float scores[ENTITIES];

    *found = (Found){0};
    for (size_t g = 0; g < missing->count; g++) {
        uint32_t head = missing->heads[g], row = missing->relations[g];

        score_all(w, head, row, scores);
        plain_ranks(w, found, head, row, scores);
        plain_answers(w, found, head, row, scores);
    }
    for (uint32_t head = 0; head < HEADS; head++)
        for (uint32_t tail = 0; tail < ENTITIES; tail++)
            plain_relations(w, found, head, tail);
}

/* ---- ours ---- */

/* What an answer's odds may be from the middle of its bin, and more for what is not exact. */
#define BIN_ERROR (0.5 / METASD_BINS_A_UNIT + 0.002)

static void
sum_bins(const MetasdBin *bins, size_t *answers, size_t *holding, double *odds)
{
    *answers = *holding = 0;
    *odds = 0;
    for (size_t i = 0; i < METASD_BINS; i++) {
        *answers += bins[i].all;
        *holding += bins[i].holding;
        *odds += (double)bins[i].all * ((double)i / METASD_BINS_A_UNIT - METASD_MOST_ODDS);
    }
}

static void
check(const World *w, const MetasdRanks *ranks, const Found *wanted)
{
    const MetasdCalibration *calibration = &w->holdout.calibration;
    Found ours = {0};

    assert_int_equal(ranks->n, wanted->ranks.n);
    assert_true(ranks->rank == wanted->ranks.rank);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ranks->hits[i], wanted->ranks.hits[i]);
    for (uint32_t r = 0; r < RELATIONS; r++) {
        assert_int_equal(w->holdout.ranked[r], wanted->ranked[r]);
        assert_true(fabs(w->holdout.reciprocal[r] - wanted->reciprocal[r]) < 1e-9);
    }
    for (int d = 0; d < METASD_HOLDOUT_DEGREES; d++) {
        assert_int_equal(w->holdout.degree_ranked[d], wanted->degree_ranked[d]);
        assert_true(fabs(w->holdout.degree_reciprocal[d] - wanted->degree_reciprocal[d]) < 1e-9);
    }
    for (uint32_t row = 0; row < ROWS; row++) {
        size_t questions = 0;

        assert_true(metasd_calibrate_is_own(calibration, row));
        sum_bins(calibration->own_bins + calibration->place[row] * METASD_BINS, &ours.answers[row],
                 &ours.holding[row], &ours.odds[row]);
        assert_int_equal(ours.answers[row], wanted->answers[row]);
        assert_int_equal(ours.holding[row], wanted->holding[row]);
        assert_int_equal(calibration->facts[row], wanted->holding[row]);
        assert_true(fabs(ours.odds[row] - wanted->odds[row]) <
                    BIN_ERROR * (double)ours.answers[row]);
        assert_true(metasd_probability_sigmoid_ok(calibration->each[row]));
        for (uint32_t r = 0; r < ROWS; r++)
            questions += wanted->questions[r];
        assert_int_equal(calibration->asked, questions);
    }
}

static void
check_relations(const World *w, const Found *wanted)
{
    const MetasdCalibration *calibration = &w->holdout.relation_calibration;
    size_t answers, related;
    double odds;

    sum_bins(calibration->whole_bins, &answers, &related, &odds);
    assert_int_equal(calibration->asked, wanted->pairs);
    assert_int_equal(answers, wanted->relations);
    assert_int_equal(related, wanted->related);
    assert_true(fabs(odds - wanted->relation_odds) < BIN_ERROR * (double)wanted->relations);
    assert_true(metasd_probability_sigmoid_ok(calibration->whole));
}

static void
findings_are_those_of_asking_plainly(void **state)
{
    static const size_t sizes[] = {2, 16, 512}, block_rows[] = {0, 1, 70};
    static World w;
    static Found wanted;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        MetasdRanks ranks = {0};
        size_t held_out = 0, holding = 0;

        make(&w, 0.3, sizes[i], block_rows[i]);
        if (i == 0)
            plain(&w, &wanted);
        for (uint32_t row = 0; row < ROWS; row++)
            holding += wanted.holding[row];
        for (uint32_t r = 0; r < RELATIONS; r++)
            held_out += wanted.ranked[r];
        assert_int_equal(held_out, 2 * w.graph.part_triples[METASD_VALIDATION]);
        assert_true(holding > 0); /* or nothing is tested */
        assert_in_range(wanted.related, 1, wanted.relations - 1);
        assert_true(wanted.related > wanted.pairs || wanted.relations < 2 * wanted.pairs);
        assert_int_equal(hold_out(&w, SIZE_MAX, &ranks), METASD_OK);
        check(&w, &ranks, &wanted);
        check_relations(&w, &wanted);
        unmake(&w);
    }
}

/* A limit ends the ranking behind the batch that reaches it; what was ranked before counts. */
static void
a_limit_is_kept_to(void **state)
{
    static World w;
    MetasdRanks ranks = {0};

    (void)state;
    make(&w, 0.3, 16, 0);
    assert_int_equal(hold_out(&w, 40, &ranks), METASD_OK);
    assert_in_range(ranks.n, 40, 40 + 15);
    assert_int_equal(w.holdout.ranked[0] + w.holdout.ranked[1], ranks.n);
    assert_true(w.holdout.calibration.asked > 0);
    unmake(&w);
}

/* Where enough questions were asked the ranking goes on. */
static void
enough_questions_are_enough(void **state)
{
    static World w;
    MetasdRanks all = {0}, ranks = {0};
    size_t answers, holding;
    double odds;

    (void)state;
    make(&w, 0.3, 16, 0);
    assert_int_equal(hold_out(&w, SIZE_MAX, &all), METASD_OK);
    assert_true(w.holdout.calibration.asked > 3);
    unmake(&w);

    make(&w, 0.3, 16, 0);
    w.holdout.calibration.most = 3;
    assert_int_equal(hold_out(&w, SIZE_MAX, &ranks), METASD_OK);
    assert_int_equal(w.holdout.calibration.asked, 3);
    sum_bins(w.holdout.calibration.whole_bins, &answers, &holding, &odds);
    assert_in_range(answers, 2 * ENTITIES, 3 * ENTITIES);
    assert_int_equal(ranks.n, all.n);
    assert_true(ranks.rank == all.rank);
    unmake(&w);
}

/* Not to the bit: names decide which known answers are among the best that do not compete. */
static void
check_same(MetasdSigmoid a, MetasdSigmoid b)
{
    for (double odds = -METASD_MOST_ODDS; odds <= METASD_MOST_ODDS; odds += 0.5)
        assert_true(fabs(log(metasd_probability(a, odds) / metasd_probability(b, odds))) < 0.02);
}

/* Names decide which of the answers that tie come first, and nothing else. */
static void
names_make_no_difference(void **state)
{
    static World w, other;
    MetasdRanks ranks = {0}, others = {0};

    (void)state;
    make_named(&w, 0.3, 512, 0, false);
    make_named(&other, 0.3, 512, 0, true);
    assert_int_equal(hold_out(&w, SIZE_MAX, &ranks), METASD_OK);
    assert_int_equal(hold_out(&other, SIZE_MAX, &others), METASD_OK);
    assert_true(ranks.rank == others.rank);
    check_same(w.holdout.calibration.whole, other.holdout.calibration.whole);
    check_same(w.holdout.relation_calibration.whole, other.holdout.relation_calibration.whole);
    for (uint32_t row = 0; row < ROWS; row++)
        check_same(w.holdout.calibration.each[row], other.holdout.calibration.each[row]);
    unmake(&w);
    unmake(&other);
}

/* Of each row and in all, probabilities of all answers sum to about as many as hold. */
static void
probabilities_sum_to_what_is_missing(void **state)
{
    static World w;
    MetasdCalibration *calibration = &w.holdout.calibration;
    MetasdRanks ranks = {0};

    (void)state;
    make(&w, 0.3, 512, 0);
    assert_int_equal(hold_out(&w, SIZE_MAX, &ranks), METASD_OK);
    for (uint32_t row = 0; row < ROWS; row++) {
        const MetasdBin *bins = calibration->own_bins + calibration->place[row] * METASD_BINS;
        double sum = 0;

        for (size_t i = 0; i < METASD_BINS; i++)
            sum += (double)bins[i].all *
                   metasd_probability(calibration->each[row],
                                      (double)i / METASD_BINS_A_UNIT - METASD_MOST_ODDS);
        assert_true(fabs(sum / (double)calibration->facts[row] - 1) < 0.1);
    }
    unmake(&w);
}

static void
nothing_held_out_calibrates_nothing(void **state)
{
    static World w;
    MetasdRanks ranks = {0};

    (void)state;
    make(&w, 0, 16, 0);
    assert_int_equal(hold_out(&w, SIZE_MAX, &ranks), METASD_OK);
    assert_int_equal(ranks.n, 0);
    assert_int_equal(w.holdout.calibration.asked, 0);
    assert_int_equal(w.holdout.relation_calibration.asked, 0);
    assert_true(w.holdout.relation_calibration.whole.slope == 1.0f);
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_true(w.holdout.calibration.each[row].slope == 1.0f);
        assert_true(w.holdout.calibration.each[row].offset == 0.0f);
    }
    unmake(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_are_those_of_asking_plainly),
        cmocka_unit_test(a_limit_is_kept_to),
        cmocka_unit_test(enough_questions_are_enough),
        cmocka_unit_test(names_make_no_difference),
        cmocka_unit_test(probabilities_sum_to_what_is_missing),
        cmocka_unit_test(nothing_held_out_calibrates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
