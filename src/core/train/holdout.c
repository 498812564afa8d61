#include "core/train/holdout.h"

#include <string.h>

#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"

/* Questions for relations, times relations, at most: for each it is looked up whether it holds. */
#define MOST_LOOKUPS 20000000

static size_t
at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

void
metasd_holdout_take(MetasdHoldout *holdout, MetasdArena *arena, const MetasdGraph *graph)
{
    uint32_t relations = graph->relations > 0 ? graph->relations : 1;
    size_t answers = graph->entities > relations ? graph->entities : relations;
    size_t questions = at_most(graph->part[METASD_VALIDATION].count, METASD_HOLDOUT_QUESTIONS);
    size_t pairs = at_most(questions, MOST_LOOKUPS / relations);

    holdout->scores = METASD_TAKE(arena, float, answers);
    holdout->ids = METASD_TAKE(arena, uint32_t, answers);
    holdout->joined = METASD_TAKE(arena, uint32_t, graph->entities);
    holdout->known = METASD_TAKE(arena, uint32_t, graph->relations);
    holdout->missing = METASD_TAKE(arena, uint32_t, graph->relations);
    holdout->ranked = METASD_TAKE(arena, size_t, graph->relations);
    holdout->reciprocal = METASD_TAKE(arena, double, graph->relations);
    holdout->degree = METASD_TAKE(arena, uint32_t, graph->entities);
    memset(holdout->degree_ranked, 0, sizeof(holdout->degree_ranked));
    memset(holdout->degree_reciprocal, 0, sizeof(holdout->degree_reciprocal));
    for (uint32_t r = 0; holdout->ranked && r < graph->relations; r++) {
        holdout->ranked[r] = 0;
        holdout->reciprocal[r] = 0;
    }
    metasd_calibrate_take(
        &holdout->calibration, arena, 2 * graph->relations, questions,
        at_most(graph->part[METASD_VALIDATION].examples, METASD_HOLDOUT_QUESTIONS));
    metasd_calibrate_take(&holdout->relation_calibration, arena, 1, pairs, 0);
}

/* One pass over the validation facts. */
typedef struct Asking {
    MetasdHoldout *holdout;
    MetasdState *state;
    MetasdTeam *team;
    const float *table;
    const MetasdBatch *batch;
    const MetasdGraph *graph;
    MetasdRanks *ranks;
} Asking;

/* A sorted run of entities. */
typedef struct Ids {
    const uint32_t *ids;
    size_t n;
} Ids;

static Ids
tails_of(const MetasdGroups *groups, uint32_t head, uint32_t relation)
{
    Ids found;

    found.n = metasd_graph_find_group(groups, head, relation, &found.ids);
    return found;
}

static bool
contains_id(Ids ids, uint32_t id)
{
    size_t low = 0, high = ids.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ids.ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ids.n && ids.ids[low] == id;
}

static bool
is_full(const MetasdCalibration *calibration)
{
    return calibration->asked == calibration->most;
}

/* Shows candidates, best first, until their odds are known; false where they have none. */
static bool
find_odds(const MetasdHoldout *holdout, uint32_t n, Ids known, Ids missing, MetasdOdds *odds)
{
    MetasdTopk topk;
    uint32_t id;
    float score;

    metasd_probability_start(odds, n, holdout->scores);
    metasd_topk_start(&topk, n, holdout->scores, holdout->ids);
    while ((!odds->found || odds->seen < METASD_ODDS_KNOWN) &&
           metasd_topk_next(&topk, &id, &score) && score != METASD_IMPOSSIBLE)
        metasd_probability_show(odds, score, contains_id(known, id) && !contains_id(missing, id));
    return odds->found;
}

/*
 * The tails known for a query, all lists as one. It lies in the holdout's memory until the next one
 * is made.
 */
static Ids
join_known(MetasdHoldout *holdout, const MetasdGraph *graph, uint32_t head, uint32_t relation)
{
    MetasdKnown known = metasd_graph_known(graph, head, relation);
    size_t next[METASD_PARTS] = {0}, n = 0;

    for (;;) {
        int least = -1;

        for (int list = 0; list < METASD_PARTS; list++)
            if (next[list] < known.n[list] &&
                (least < 0 || known.tails[list][next[list]] < known.tails[least][next[least]]))
                least = list;
        if (least < 0)
            return (Ids){holdout->joined, n};
        holdout->joined[n++] = known.tails[least][next[least]++];
    }
}

/* All answers to a question among N that are possible and not known, and those that hold. */
static MetasdStatus
add_answers(Asking *asking, MetasdCalibration *calibration, uint32_t row, uint32_t n, Ids known,
            Ids missing)
{
    const float *scores = asking->holdout->scores;
    uint32_t all[METASD_BINS] = {0}, holding[METASD_BINS] = {0};
    MetasdOdds odds;

    if (is_full(calibration) || !find_odds(asking->holdout, n, known, missing, &odds))
        return METASD_OK;
    metasd_probability_count(&odds, all);
    for (size_t k = 0; k < known.n; k++) {
        uint32_t id = known.ids[k];
        size_t bin = metasd_probability_bin(&odds, scores[id]);

        if (scores[id] == METASD_IMPOSSIBLE)
            continue;
        if (contains_id(missing, id))
            holding[bin]++;
        else
            all[bin]--;
    }
    metasd_calibrate_add(calibration, row, all, holding);
    return metasd_team_work(asking->team, 8 * (size_t)n + METASD_FAR_WORK * known.n);
}

/* The rank of a tail among the answers that are not known. */
static double
rank_of(const Asking *asking, uint32_t tail, Ids known)
{
    const float *scores = asking->holdout->scores;
    MetasdRankCounts counts = {.score = scores[tail]};

    metasd_rank_counts(asking->state->entities, scores, 1, &counts);
    for (size_t k = 0; k < known.n; k++) {
        counts.higher -= scores[known.ids[k]] > counts.score;
        counts.same -= scores[known.ids[k]] == counts.score;
    }
    return 1.0 + counts.higher + 0.5 * counts.same;
}

/* Which relations hold between two entities. */
static void
find_relations(const Asking *asking, uint32_t head, uint32_t tail, Ids *known, Ids *missing)
{
    const MetasdGraph *graph = asking->graph;
    MetasdHoldout *holdout = asking->holdout;

    *known = (Ids){holdout->known, 0};
    *missing = (Ids){holdout->missing, 0};
    for (uint32_t r = 0; r < graph->relations; r++) {
        MetasdKnown tails = metasd_graph_known(graph, head, r);

        if (metasd_graph_is_known(&tails, tail)) {
            holdout->known[known->n++] = r;
            if (contains_id(tails_of(&graph->part[METASD_VALIDATION], head, r), tail))
                holdout->missing[missing->n++] = r;
        }
    }
}

static float
inner_product(size_t width, const float *a, const float *b)
{
    double sum = 0;

    for (size_t j = 0; j < width; j++)
        sum += (double)a[j] * (double)b[j];
    return (float)sum;
}

/* The question for the relation of a fact: once for all validation facts of a pair of entities. */
static MetasdStatus
ask_relation(Asking *asking, uint32_t head, uint32_t relation, uint32_t tail)
{
    MetasdHoldout *holdout = asking->holdout;
    MetasdState *state = asking->state;
    size_t width = state->width;
    const float *table = asking->table, *relations = metasd_state_relations(state, table);
    uint32_t n = asking->graph->relations;
    float *query = state->work.dquery[0];
    Ids known, missing;

    if (is_full(&holdout->relation_calibration))
        return METASD_OK;
    find_relations(asking, head, tail, &known, &missing);
    METASD_TRY(metasd_team_work(asking->team, METASD_FAR_WORK * (size_t)n));
    if (missing.ids[0] != relation)
        return METASD_OK;
    memset(query, 0, width * sizeof(*query));
    state->family->adjoint_relation(width, table + head * width, table + tail * width, query);
    for (uint32_t r = 0; r < n; r++)
        holdout->scores[r] = metasd_graph_rules_out(asking->graph, head, r, tail)
                                 ? METASD_IMPOSSIBLE
                                 : inner_product(width, query, relations + r * width);
    METASD_TRY(metasd_team_work(asking->team, n * width));
    return add_answers(asking, &holdout->relation_calibration, 0, n, known, missing);
}

/* Notes a rank in the range of its tail's degree: degrees of as many bits share one. */
static void
add_by_degree(MetasdHoldout *holdout, uint32_t degree, double rank)
{
    int range = 0;

    for (; degree > 0; degree >>= 1)
        range++;
    holdout->degree_ranked[range]++;
    holdout->degree_reciprocal[range] += 1 / rank;
}

/* Ranks the answers to one question of the batch, and adds it to the calibration. */
static MetasdStatus
ask_question(Asking *asking, size_t group)
{
    MetasdHoldout *holdout = asking->holdout;
    const MetasdBatch *batch = asking->batch;
    uint32_t head = batch->heads[group], row = batch->relations[group];
    uint32_t relation = row % asking->graph->relations;
    Ids known = join_known(holdout, asking->graph, head, row);
    Ids missing = tails_of(&asking->graph->part[METASD_VALIDATION], head, row);

    if (metasd_graph_rules_out(asking->graph, head, row, head))
        holdout->scores[head] = METASD_IMPOSSIBLE;
    /* Batches share the tails of a large group: its first tail counts the question once. */
    if (batch->tails[batch->start[group]] == missing.ids[0])
        METASD_TRY(add_answers(asking, &holdout->calibration, row, asking->state->entities, known,
                               missing));
    for (size_t x = batch->start[group]; x < batch->start[group + 1]; x++) {
        double rank = rank_of(asking, batch->tails[x], known);

        metasd_validate_add(asking->ranks, rank);
        holdout->ranked[relation]++;
        holdout->reciprocal[relation] += 1 / rank;
        add_by_degree(holdout, holdout->degree[batch->tails[x]], rank);
        METASD_TRY(metasd_team_work(asking->team, asking->state->entities + known.n));
    }
    for (size_t x = batch->start[group]; row == relation && x < batch->start[group + 1]; x++)
        METASD_TRY(ask_relation(asking, head, relation, batch->tails[x]));
    return METASD_OK;
}

/* query[0] = the queries of the batch's groups. */
static MetasdStatus
compose_queries(const Asking *asking)
{
    MetasdState *state = asking->state;
    const MetasdBatch *batch = asking->batch;
    const float *relations = metasd_state_relations(state, asking->table);

    for (size_t g = 0; g < batch->groups; g++) {
        state->family->compose(state->width, asking->table + batch->heads[g] * state->width,
                               relations + batch->relations[g] * state->width,
                               state->work.query[0] + g * state->width);
        METASD_TRY(metasd_team_work(asking->team, 3 * state->width));
    }
    return METASD_OK;
}

/*
 * Scores all entities for n queries of a lean state, a slice at a time: scores[i x N + e]. They
 * take the place of Adagrad's sums, which nobody needs after the training.
 */
static MetasdStatus
score_by_slices(const Asking *asking, size_t first, size_t n, float *scores)
{
    MetasdState *state = asking->state;
    MetasdTable entities = {.rows = asking->table};
    MetasdQueries queries = {.rows = state->work.query[0] + first * state->width};
    MetasdPass pass =
        metasd_pass(asking->team, &state->work.scores, &state->entity_slices, state->width, n);

    for (int s = 0; s < state->entity_slices.count; s++) {
        size_t rows = metasd_slice_rows(&pass, s);
        const float *block = state->work.scores.block[0];

        pass.base = metasd_team_slice_start(&state->entity_slices, s);
        METASD_TRY(metasd_products_scores(&pass, s, 0, &entities, &queries, false));
        for (size_t i = 0; i < n; i++)
            for (size_t e = 0; e < rows; e++)
                scores[i * state->entities + pass.base + e] = block[e * pass.stride + i];
        METASD_TRY(metasd_team_work(asking->team, n * rows));
    }
    return METASD_OK;
}

/* All questions of the batch, as many at a time as a table has room for. */
static MetasdStatus
ask_lean(Asking *asking)
{
    MetasdState *state = asking->state;
    size_t groups = asking->batch->groups;
    size_t most = state->width < METASD_TILE ? state->width : METASD_TILE;

    for (size_t first = 0; first < groups; first += most) {
        size_t n = groups - first < most ? groups - first : most;

        METASD_TRY(score_by_slices(asking, first, n, state->sums));
        for (size_t i = 0; i < n; i++) {
            memcpy(asking->holdout->scores, state->sums + i * state->entities,
                   state->entities * sizeof(float));
            METASD_TRY(ask_question(asking, first + i));
        }
    }
    return METASD_OK;
}

/* The scores of question i of a block, from where they lie a stride apart. */
static void
gather_scores(const MetasdPass *pass, size_t i, uint32_t n, float *scores)
{
    const float *block = pass->scores->block[0] + i;

    for (uint32_t e = 0; e < n; e++)
        scores[e] = block[e * pass->stride];
}

static MetasdStatus
ask_batch(Asking *asking)
{
    MetasdState *state = asking->state;
    size_t groups = asking->batch->groups;
    size_t most = metasd_pass_rows(&state->work.scores, &state->entity_slices, state->size.queries);
    MetasdTable entities = {.rows = asking->table};

    METASD_TRY(compose_queries(asking));
    if (state->size.lean)
        return ask_lean(asking);
    for (size_t first = 0; first < groups; first += most) {
        size_t left = groups - first;
        MetasdPass pass = metasd_pass(asking->team, &state->work.scores, &state->entity_slices,
                                      state->width, left < most ? left : most);
        MetasdQueries queries = {.rows = state->work.query[0] + first * state->width};

        for (int s = 0; s < state->entity_slices.count; s++)
            METASD_TRY(metasd_products_scores(&pass, s, 0, &entities, &queries, false));
        for (size_t i = 0; i < pass.rows; i++) {
            gather_scores(&pass, i, state->entities, asking->holdout->scores);
            METASD_TRY(ask_question(asking, first + i));
        }
    }
    return METASD_OK;
}

/* Says how many facts each row has: rows with enough of them have a sigmoid of their own. */
static MetasdStatus
expect_facts(MetasdHoldout *holdout, MetasdTeam *team, const MetasdGraph *graph)
{
    const MetasdGroups *missing = &graph->part[METASD_VALIDATION];
    MetasdCalibration *calibration = &holdout->calibration;

    for (size_t g = 0; g < missing->count; g++) {
        calibration->facts[missing->relations[g]] += missing->start[g + 1] - missing->start[g];
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    for (uint32_t row = 0; row < calibration->rows; row++) {
        metasd_calibrate_expect(calibration, row, calibration->facts[row]);
        calibration->facts[row] = 0;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* Counts the triples of each entity that are no validation facts. */
static MetasdStatus
count_degrees(MetasdHoldout *holdout, MetasdTeam *team, const MetasdGraph *graph)
{
    memset(holdout->degree, 0, graph->entities * sizeof(*holdout->degree));
    for (int part = 0; part < METASD_PARTS; part++) {
        const MetasdGroups *groups = &graph->part[part];

        for (size_t g = 0; part != METASD_VALIDATION && g < groups->count; g++) {
            holdout->degree[groups->heads[g]] +=
                (uint32_t)(groups->start[g + 1] - groups->start[g]);
            METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
        }
    }
    return METASD_OK;
}

MetasdStatus
metasd_holdout(MetasdHoldout *holdout, MetasdState *state, MetasdTeam *team, const float *table,
               MetasdBatcher *batches, const MetasdGraph *graph, size_t most, MetasdRanks *ranks)
{
    Asking asking = {.holdout = holdout,
                     .state = state,
                     .team = team,
                     .table = table,
                     .batch = &batches->batch,
                     .graph = graph,
                     .ranks = ranks};

    METASD_TRY(count_degrees(holdout, team, graph));
    METASD_TRY(expect_facts(holdout, team, graph));
    batches->next = 0;
    while (ranks->n < most) {
        METASD_TRY(metasd_batcher_next(batches, team));
        if (asking.batch->n == 0)
            break;
        METASD_TRY(ask_batch(&asking));
    }
    METASD_TRY(metasd_calibrate(&holdout->relation_calibration, team));
    return metasd_calibrate(&holdout->calibration, team);
}
