#include "core/train/fit.h"

#include "core/base/random.h"

#define SEED 1
#define FACTS 1000 /* to be compared, of tails and heads together */
#define OTHERS 16  /* entities in the place of an answer */

/* An example of a group: its query, and one of the tails. */
typedef struct Example {
    uint32_t head, relation, tail;
} Example;

static Example
find_example(const MetasdGroups *groups, size_t number)
{
    size_t low = 0, high = groups->count - 1; /* the last group that starts at NUMBER or before */

    while (low < high) {
        size_t middle = high - (high - low) / 2;

        if (groups->start[middle] <= number)
            low = middle;
        else
            high = middle - 1;
    }
    return (Example){groups->heads[low], groups->relations[low], groups->tails[number]};
}

static const float *
read_row(const MetasdFitWeights *weights, size_t row, float *out)
{
    const float *from = weights->rows + row * weights->width;

    if (!weights->reading)
        return from;
    weights->reading(weights->width, from, out);
    return out;
}

static double
score_tail(const MetasdFitWeights *weights, const float *query, uint32_t tail)
{
    const float *row = read_row(weights, tail, weights->scratch + 3 * weights->width);
    double score = 0;

    for (size_t j = 0; j < weights->width; j++)
        score += (double)query[j] * row[j];
    return score;
}

/* Adds the comparisons of one fact that it wins, and how many there were. */
static void
compare_fact(const MetasdFitWeights *weights, const MetasdGraph *graph, const Example *fact,
             uint64_t draw, double *wins, size_t *n)
{
    float *query = weights->scratch;
    const float *head = read_row(weights, fact->head, query + weights->width);
    const float *relation =
        read_row(weights, (size_t)graph->entities + fact->relation, query + 2 * weights->width);
    MetasdKnown known = metasd_graph_known(graph, fact->head, fact->relation);
    double score;

    weights->family->compose(weights->width, head, relation, query);
    score = score_tail(weights, query, fact->tail);
    for (int i = 0; i < OTHERS; i++) {
        uint32_t other = (uint32_t)metasd_random_below(
            SEED, METASD_STREAM_NEGATIVES, draw * OTHERS + (uint64_t)i, graph->entities);
        double others;

        if (metasd_graph_is_known(&known, other) ||
            metasd_graph_rules_out(graph, fact->head, fact->relation, other))
            continue;
        others = score_tail(weights, query, other);
        *wins += score > others ? 1 : score == others ? 0.5 : 0;
        ++*n;
    }
}

MetasdStatus
metasd_fit(const MetasdFitWeights *weights, MetasdTeam *team, const MetasdGraph *graph,
           MetasdFit *fit)
{
    const MetasdGroups *groups = &graph->part[METASD_TRAIN];
    size_t n[2] = {0};
    double wins[2] = {0};

    for (uint64_t draw = 0; draw < FACTS && groups->examples > 0; draw++) {
        Example fact = find_example(
            groups, metasd_random_below(SEED, METASD_STREAM_SPLIT, draw, groups->examples));
        int side = fact.relation < graph->relations ? 0 : 1;

        if (metasd_graph_rules_out(graph, fact.head, fact.relation, fact.tail))
            continue;
        compare_fact(weights, graph, &fact, draw, &wins[side], &n[side]);
        METASD_TRY(metasd_team_work(team, (OTHERS + 3) * (METASD_FAR_WORK + weights->width)));
    }
    fit->tails = n[0] > 0 ? wins[0] / (double)n[0] : 0.5;
    fit->heads = n[1] > 0 ? wins[1] / (double)n[1] : 0.5;
    return METASD_OK;
}
