/*
 * explain_weights.c - how much each fact speaks for a triple.
 *
 * Training ends where the gradients of an entity's facts hold the balance with its regulariser: the
 * sum of the gradients is c x the row, for some c. The inner product of a fact's gradient with the
 * row is the score of the fact, so c is n x (mean score) / (squared norm of the row), for n facts.
 * A fact's part of the row is its gradient / c, and its part of a score is its pull
 * (core/serve/pull.h) / c. The mean score is taken to be the same for all rows. So weights of
 * different rows compare, and nothing here knows which regulariser it was. The rows of relations
 * are such sums over all their facts.
 *
 * The score counts against those of the rivals: entities that the model ranks high for the same
 * question, and that are no facts. Facts that pull at these as well explain nothing.
 */
#include "pg/explain/explain_weights.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/subscription.h"
#include "pg/serve/newcomer.h"

/* Rivals that count. */
#define RIVALS 32

/* The mean of all entities is that of so many, evenly spaced. */
#define SAMPLE 1024

/* ---- what the pulls are against ---- */

/* Leaves the triple and known tails out of the scores: facts are in the order of relation, head. */
static void
leave_out_known(const MetasdPull *pull, const MetasdExplainFacts *facts, float *scores)
{
    uint32 n = pull->image->plan.entities; /* newcomers are not among them */

    if (pull->tail < n)
        scores[pull->tail] = METASD_LEFT_OUT;
    for (uint32 i = 0; i < facts->count; i++)
        if (facts->list[i].id[METASD_EXPLAIN_TAIL] < n &&
            facts->list[i].id[METASD_EXPLAIN_RELATION] == pull->relation &&
            facts->list[i].id[METASD_EXPLAIN_HEAD] == pull->head)
            scores[facts->list[i].id[METASD_EXPLAIN_TAIL]] = METASD_LEFT_OUT;
}

/* row[width] += part x an entity. */
static void
add_entity(const MetasdImage *image, uint32 entity, double part, float *row, float *scratch)
{
    metasd_query_embedding(image, entity, scratch);
    for (uint32 j = 0; j < image->plan.width; j++)
        row[j] += (float)(part * scratch[j]);
}

/* rival[width] = the mean of the rivals, each as probable as the softmax of its score says. */
static void
find_rival(const MetasdPull *pull, const MetasdExplainFacts *facts, float *rival)
{
    const MetasdImage *image = pull->image;
    uint32 n = image->plan.entities, id[RIVALS], count = 0;
    float *scores = palloc_extended((size_t)n * sizeof(*scores), MCXT_ALLOC_HUGE), score[RIVALS];
    uint32 *ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    float *scratch = palloc(metasd_query_scratch_bytes(image->plan.width));
    double sum = 0;
    MetasdTopk topk;

    metasd_query_scores_tails_of(image, pull->given[METASD_PULL_HEAD],
                                 pull->given[METASD_PULL_RELATION], scores, scratch);
    leave_out_known(pull, facts, scores);
    metasd_topk_start(&topk, n, scores, ids);
    while (count < RIVALS && metasd_topk_next(&topk, &id[count], &score[count]) &&
           score[count] > METASD_IMPOSSIBLE)
        sum += exp((double)score[count++] - score[0]);
    memset(rival, 0, image->plan.width * sizeof(*rival));
    for (uint32 i = 0; i < count; i++)
        add_entity(image, id[i], exp((double)score[i] - score[0]) / sum, rival, scratch);
    pfree(scores);
    pfree(ids);
    pfree(scratch);
}

/* The mean entity of the version that was asked last; kept for the session. */
static const float *
find_mean(const MetasdQuestion *question)
{
    static float *mean = NULL;
    static pg_uuid_t version;
    const MetasdImage *image = question->image;
    uint32 count = Min(image->plan.entities, SAMPLE);
    float *scratch;

    if (mean && memcmp(&version, &question->model->uuid, sizeof(version)) == 0)
        return mean;
    if (mean)
        pfree(mean);
    mean = NULL;
    mean = MemoryContextAllocZero(TopMemoryContext, image->plan.width * sizeof(*mean));
    scratch = palloc(image->plan.width * sizeof(*scratch));
    for (uint64 i = 0; i < count; i++)
        add_entity(image, (uint32)(i * image->plan.entities / count), 1.0 / count, mean, scratch);
    pfree(scratch);
    version = question->model->uuid;
    return mean;
}

/* ---- pulls through rows ---- */

typedef struct Weighing {
    MetasdPull *pull;
    MetasdExplainFacts *facts;
    uint32 *others, *places; /* of the facts that share a query */
    float *pulls;
} Weighing;

/* The squared norm of a row. */
static double
square_row(const MetasdPull *pull, MetasdPullRow which)
{
    float *row = palloc(pull->image->plan.width * sizeof(*row));
    double sum = 0;

    metasd_pull_read_row(pull, which, row);
    for (uint32 j = 0; j < pull->image->plan.width; j++)
        sum += (double)row[j] * row[j];
    pfree(row);
    return sum;
}

/*
 * factor[3] = the squared norms of the rows of the triple / the numbers of facts that they were
 * trained on, or made of: what makes the pull of a fact a weight.
 */
static void
find_factors(const MetasdQuestion *question, const MetasdPull *pull, double factor[3])
{
    static MetasdStatement look = {
        "SELECT (SELECT degree FROM metasd.entity WHERE run = $1 AND id = $2), "
        "(SELECT count FROM metasd.relation WHERE run = $1 AND id = $3), "
        "(SELECT degree FROM metasd.entity WHERE run = $1 AND id = $4)",
        4,
        {INT8OID, INT4OID, INT4OID, INT4OID},
        NULL};
    Datum values[4] = {Int64GetDatum(question->model->serving), Int32GetDatum((int32)pull->head),
                       Int32GetDatum((int32)pull->relation), Int32GetDatum((int32)pull->tail)};

    const uint32 id[3] = {pull->head, pull->relation, pull->tail};
    const MetasdPullRow row[3] = {METASD_PULL_HEAD, METASD_PULL_RELATION, METASD_PULL_TAIL};

    metasd_subscription_check_copied(question->model->serving);
    SPI_connect();
    if (metasd_statement_execute(&look, values, NULL, true) != 1)
        elog(ERROR, "could not look up how often an entity occurs");
    for (int i = 0; i < 3; i++) {
        bool isnull;
        Datum value = metasd_statement_value(0, i + 1, &isnull);
        double facts = isnull ? 1 : Max(1, (double)DatumGetInt64(value));

        if (metasd_question_is_new(question, i == METASD_EXPLAIN_RELATION, id[i]))
            facts = metasd_newcomer_facts(question, i == METASD_EXPLAIN_RELATION, id[i]);
        factor[i] = square_row(pull, row[i]) / facts;
    }
    SPI_finish();
}

static void
add_weights(const Weighing *weighing, uint32 n, double factor)
{
    for (uint32 i = 0; i < n; i++)
        weighing->facts->list[weighing->places[i]].weight += weighing->pulls[i] * factor;
}

/*
 * Adds the pulls of facts that have the entity at PLACE, through its row. One query serves all of a
 * relation, and facts are in the order of relations.
 */
static void
add_entity_pulls(const Weighing *weighing, MetasdPullRow row, int place, double factor)
{
    const MetasdPull *pull = weighing->pull;
    const MetasdExplainFact *list = weighing->facts->list;
    uint32 entity = row == METASD_PULL_HEAD ? pull->head : pull->tail;
    bool is_head = place == METASD_EXPLAIN_HEAD;

    for (uint32 i = 0, count = weighing->facts->count; i < count;) {
        uint32 relation = list[i].id[METASD_EXPLAIN_RELATION], n = 0;

        for (; i < count && list[i].id[METASD_EXPLAIN_RELATION] == relation; i++)
            if (list[i].id[place] == entity) {
                weighing->places[n] = i;
                weighing->others[n++] =
                    list[i].id[is_head ? METASD_EXPLAIN_TAIL : METASD_EXPLAIN_HEAD];
            }
        if (n == 0)
            continue;
        metasd_pull_entity(weighing->pull, row, relation, is_head, weighing->others, n,
                           weighing->pulls);
        add_weights(weighing, n, factor);
        CHECK_FOR_INTERRUPTS();
    }
}

/* Adds the pulls of N facts of the relation that share an entity, through its rows. */
static void
add_relation_query(const Weighing *weighing, uint32 entity, bool is_head, uint32 n, double factor)
{
    for (uint32 i = 0; i < n; i++)
        weighing->others[i] = weighing->facts->list[weighing->places[i]]
                                  .id[is_head ? METASD_EXPLAIN_TAIL : METASD_EXPLAIN_HEAD];
    metasd_pull_relation(weighing->pull, entity, is_head, weighing->others, n, weighing->pulls);
    add_weights(weighing, n, factor);
    CHECK_FOR_INTERRUPTS();
}

/*
 * The same for all facts of the relation. One query serves those of the triple's tail, which may be
 * most of them, and one serves those of any other head: facts are in the order of heads.
 */
static void
add_relation_pulls(const Weighing *weighing, double factor)
{
    const MetasdExplainFact *list = weighing->facts->list;
    const MetasdPull *pull = weighing->pull;
    uint32 first = 0, end, n = 0;

    while (first < weighing->facts->count &&
           list[first].id[METASD_EXPLAIN_RELATION] != pull->relation)
        first++;
    for (end = first;
         end < weighing->facts->count && list[end].id[METASD_EXPLAIN_RELATION] == pull->relation;
         end++)
        if (list[end].id[METASD_EXPLAIN_TAIL] == pull->tail)
            weighing->places[n++] = end;
    if (n > 0)
        add_relation_query(weighing, pull->tail, false, n, factor);
    while (first < end) {
        uint32 head = list[first].id[METASD_EXPLAIN_HEAD];

        for (n = 0; first < end && list[first].id[METASD_EXPLAIN_HEAD] == head; first++)
            if (list[first].id[METASD_EXPLAIN_TAIL] != pull->tail)
                weighing->places[n++] = first;
        if (n > 0)
            add_relation_query(weighing, head, true, n, factor);
    }
}

/* The weight that the triple itself would have. */
static double
weigh_triple(MetasdPull *pull, const double factor[3])
{
    float own[3];

    metasd_pull_entity(pull, METASD_PULL_HEAD, pull->relation, true, &pull->tail, 1, &own[0]);
    metasd_pull_relation(pull, pull->head, true, &pull->tail, 1, &own[1]);
    metasd_pull_entity(pull, METASD_PULL_TAIL, pull->relation, false, &pull->head, 1, &own[2]);
    return own[0] * factor[0] + own[1] * factor[1] + own[2] * factor[2];
}

double
metasd_explain_weights(const MetasdQuestion *question, MetasdPull *pull, MetasdExplainFacts *facts)
{
    float *rival = palloc(pull->image->plan.width * sizeof(*rival));
    Weighing weighing = {.pull = pull,
                         .facts = facts,
                         .others = palloc((facts->count + 1) * sizeof(uint32)),
                         .places = palloc((facts->count + 1) * sizeof(uint32)),
                         .pulls = palloc((facts->count + 1) * sizeof(float))};
    double factor[3];

    find_factors(question, pull, factor);
    find_rival(pull, facts, rival);
    metasd_pull_center(pull, rival, find_mean(question));
    add_entity_pulls(&weighing, METASD_PULL_HEAD, METASD_EXPLAIN_HEAD, factor[0]);
    add_entity_pulls(&weighing, METASD_PULL_HEAD, METASD_EXPLAIN_TAIL, factor[0]);
    if (pull->tail != pull->head) {
        add_entity_pulls(&weighing, METASD_PULL_TAIL, METASD_EXPLAIN_HEAD, factor[2]);
        add_entity_pulls(&weighing, METASD_PULL_TAIL, METASD_EXPLAIN_TAIL, factor[2]);
    }
    add_relation_pulls(&weighing, factor[1]);
    for (uint32 i = 0; i < facts->count; i++)
        if (!isfinite(facts->list[i].weight)) /* of weights that are all but infinite */
            facts->list[i].weight = 0;
    pfree(rival);
    pfree(weighing.others);
    pfree(weighing.places);
    pfree(weighing.pulls);
    return weigh_triple(pull, factor);
}
