#include "pg/worker/compare.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/math/blas.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/catalog/model.h"
#include "pg/catalog/statement.h"
#include "pg/image/image_build.h"
#include "pg/image/image_cache.h"
#include "pg/image/image_file.h"
#include "pg/worker/limits.h"
#include "pg/worker/new_image.h"

/* The most answers that are ranked, and scores of each version. */
#define MOST_ANSWERS 20000
#define MOST_SCORES 5e9

#define TOP 10
#define MOST_TOPS 200 /* queries whose best answers are compared */

#define NOT_KNOWN UINT32_MAX

/* One of the two. */
typedef struct Version {
    MetasdImage image;
    double reciprocal; /* sum of 1 / rank */
    float *z;          /* N: scores, in the new version's order of entities */
} Version;

/* The facts that the old version was not trained on. */
typedef struct OldFacts {
    MetasdHeldFromBoth held;
    MetasdSplit split; /* it drew, and so held out, these facts, */
    bool *single[2];   /* but for entities and relations that had but one fact then */
} OldFacts;

typedef struct Comparing {
    MetasdProcess *process;
    MetasdReporter *reporter;
    const MetasdInput *input;
    const MetasdTraining *training;
    MemoryContext context;
    MetasdComparison *result;
    MetasdTeam team; /* of this worker alone */
    OldFacts old_facts;
    Version old, new;
    uint32 *old_entity;   /* N: its number in the old version */
    uint32 *new_entity;   /* of the old version's entities: in the new one */
    uint32 *old_relation; /* R */
    void *scratch;        /* for the larger width */
    float *old_scores;    /* in the old version's order of entities */
    uint32 *order;        /* N */
    MetasdRankCounts *answers;
    uint32 *tails;  /* those that count */
    size_t queries; /* answers ranked so far */
    size_t tops;    /* queries whose best answers were compared, and */
    double overlap; /* the sum of their overlaps */
} Comparing;

static void *
take_array(size_t n, size_t size)
{
    return palloc_extended(mul_size(Max(n, 1), size), MCXT_ALLOC_HUGE);
}

size_t
metasd_compare_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                     MetasdStorage storage, size_t validation, bool lean)
{
    size_t entities = metasd_labelset_count(input->entities);
    MetasdNewImageBytes served = metasd_new_image_served_bytes(input, options, storage);
    size_t image = lean ? 0 : metasd_new_image_bytes(input, options);
    /* Arrays of take_scratch, match_labels and read_singles, and those that store.c takes. */
    size_t each_entity = 6 * sizeof(uint32) + sizeof(int64) + sizeof(bool);
    size_t each_answer = sizeof(MetasdRankCounts) + sizeof(uint32);

    if (!metasd_image_file_may_share(served.image, metasd_limits_cache_size()) &&
        __builtin_add_overflow(image, served.building, &image))
        return SIZE_MAX;
    if (image >= SIZE_MAX / 4)
        return SIZE_MAX;
    return image + entities * each_entity + validation * each_answer;
}

/* ---- the old version ---- */

static void
share_serving(void *context)
{
    metasd_image_cache_publish(context, metasd_limits_cache_size());
}

static void
share_in_transaction(void *context)
{
    const MetasdReporter *reporter = context;

    metasd_transaction_run(reporter->transactions, share_serving, (void *)reporter->model);
}

/* Whatever is wrong with that version, the comparison will find it, too. */
void
metasd_compare_prepare(MetasdProcess *process, MetasdReporter *reporter)
{
    MetasdTransactions *transactions = &process->transactions;

    if (metasd_transaction_guard(transactions, share_in_transaction, reporter) == METASD_OK)
        return;
    if (transactions->error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
        transactions->error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
        ReThrowError(transactions->error);
    transactions->error = NULL;
}

/* Ids that one statement looks at. */
#define IDS_PER_LOOK 100000

/*
 * The entities, or relations, that had one fact when the old version was trained: the last fact of
 * an entity or relation is not held out, even if it is drawn.
 */
static bool *
read_singles(const Comparing *c, bool relations, uint32 n)
{
    static MetasdStatement look[2] = {
        {"SELECT id FROM metasd.entity WHERE run = $1 AND id >= $2 AND id < $3 AND degree < 2",
         3,
         {INT8OID, INT8OID, INT8OID},
         NULL},
        {"SELECT id FROM metasd.relation WHERE run = $1 AND id >= $2 AND id < $3 AND count < 2",
         3,
         {INT8OID, INT8OID, INT8OID},
         NULL}};
    bool *single = MemoryContextAllocExtended(c->context, Max(n, 1) * sizeof(*single),
                                              MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

    for (int64 first = 0; first < n; first += IDS_PER_LOOK) {
        Datum values[3] = {Int64GetDatum(c->result->serving), Int64GetDatum(first),
                           Int64GetDatum(Min(first + IDS_PER_LOOK, (int64)n))};
        uint64 rows = metasd_statement_execute(&look[relations], values, NULL, true);

        for (uint64 i = 0; i < rows; i++) {
            bool isnull;

            single[DatumGetInt32(metasd_statement_value(i, 1, &isnull))] = true;
        }
        SPI_freetuptable(SPI_tuptable);
        CHECK_FOR_INTERRUPTS();
    }
    return single;
}

/* Finds the version that serves, and copies its image's descriptor, which says where things are. */
static void
open_serving(void *context)
{
    Comparing *c = context;
    OldFacts *facts = &c->old_facts;
    MetasdModel *model = metasd_model_find(c->reporter->model, false);
    MetasdHeldOut old_held;

    if (!model) {
        c->process->transactions.gone = true;
        return;
    }
    c->result->serving = model->serving;
    if (model->serving == 0)
        return;
    old_held = metasd_held_out_of(model->serving);
    facts->held = metasd_held_from_both(&old_held, &c->training->held_out);
    facts->split.validation_fraction = old_held.fraction;
    metasd_image_build_check(model->serving);
    c->old.image = *metasd_image_cache_get(model, metasd_limits_cache_size());
    if (facts->held == METASD_HELD_DRAWN) {
        facts->single[0] = read_singles(c, false, c->old.image.plan.entities);
        facts->single[1] = read_singles(c, true, c->old.image.plan.relations);
    }
}

static void
open_in_transaction(void *context)
{
    const Comparing *c = context;

    metasd_transaction_run(&c->process->transactions, open_serving, context);
}

/*
 * False where there is nothing to compare with. A version that cannot be read should be replaced,
 * however good it was.
 */
static bool
find_old(Comparing *c)
{
    MetasdTransactions *transactions = &c->process->transactions;

    if (metasd_transaction_guard(transactions, open_in_transaction, c) == METASD_OK)
        return c->result->serving != 0;
    if (transactions->error->sqlerrcode != ERRCODE_DATA_CORRUPTED)
        ReThrowError(transactions->error);
    c->result->note = psprintf("It was not compared with version " INT64_FORMAT ": %s.",
                               c->result->serving, transactions->error->message);
    transactions->error = NULL;
    return false;
}

/* ---- entities and relations of both ---- */

/* For each label of a set its number among those of an image. */
static uint32 *
find_numbers(const MetasdLabelTable *labels, const MetasdLabelSet *set)
{
    uint32 n = metasd_labelset_count(set), *number = take_array(n, sizeof(*number));

    for (uint32 i = 0; i < n; i++) {
        MetasdLabel label = metasd_labelset_get(set, i);

        if (!metasd_label_find(labels, label.data, label.len, &number[i]))
            number[i] = NOT_KNOWN;
        CHECK_FOR_INTERRUPTS();
    }
    return number;
}

static void
match_labels(Comparing *c)
{
    uint32 olds = c->old.image.plan.entities;

    c->old_entity = find_numbers(&c->old.image.entity_labels, c->input->entities);
    c->old_relation = find_numbers(&c->old.image.relation_labels, c->input->relations);
    c->new_entity = take_array(olds, sizeof(*c->new_entity));
    for (uint32 e = 0; e < olds; e++)
        c->new_entity[e] = NOT_KNOWN;
    for (uint32 e = 0; e < c->training->graph.entities; e++)
        if (c->old_entity[e] != NOT_KNOWN)
            c->new_entity[c->old_entity[e]] = e;
}

static void
take_scratch(Comparing *c)
{
    uint32 width = Max(c->old.image.plan.width, (uint32)c->training->trainer.state.width);
    uint32 entities = c->training->graph.entities;

    c->scratch = take_array(metasd_query_scratch_bytes(width), 1);
    c->old_scores = take_array(c->old.image.plan.entities, sizeof(*c->old_scores));
    c->old.z = take_array(entities, sizeof(*c->old.z));
    c->new.z = take_array(entities, sizeof(*c->new.z));
    c->order = take_array(entities, sizeof(*c->order));
    c->answers =
        take_array(c->training->graph.part[METASD_VALIDATION].examples, sizeof(*c->answers));
    c->tails = take_array(c->training->graph.part[METASD_VALIDATION].examples, sizeof(*c->tails));
}

/*
 * Scores all entities with the new version. Of a lean training there is no image, which would take
 * as much memory as the training: its weights are multiplied as they are.
 */
static void
score_new(Comparing *c, uint32 head, uint32 relation)
{
    const MetasdTrainer *trainer = &c->training->trainer;
    const MetasdState *state = &trainer->state;
    float *query = state->work.query[0];
    size_t width = state->width;

    if (!state->size.lean) {
        metasd_query_scores_tails(&c->new.image, head, relation, c->new.z, c->scratch);
        return;
    }
    state->family->compose(width, trainer->best + head * width,
                           metasd_state_relations(state, trainer->best) + relation * width, query);
    metasd_process_check_status(c->process,
                                metasd_blas_abt(&c->team, state->entities, 1, width, trainer->best,
                                                width, query, width, false, c->new.z, 1));
    if (metasd_graph_rules_out(&c->training->graph, head, relation, head))
        c->new.z[head] = METASD_IMPOSSIBLE;
}

/* Scores all entities with both versions; false if the old one does not know the query. */
static bool
score_query(Comparing *c, uint32 head, uint32 relation)
{
    uint32 relations = c->training->graph.relations, entities = c->training->graph.entities;
    bool reciprocal = relation >= relations;
    uint32 forward = reciprocal ? relation - relations : relation;
    uint32 old_head = c->old_entity[head], old_relation = c->old_relation[forward];
    bool known = old_head != NOT_KNOWN && old_relation != NOT_KNOWN;

    score_new(c, head, relation);
    for (uint32 e = 0; e < entities; e++)
        c->old.z[e] = known ? METASD_IMPOSSIBLE : 0;
    if (!known)
        return false;
    if (reciprocal)
        old_relation += c->old.image.plan.relations;
    metasd_query_scores_tails(&c->old.image, old_head, old_relation, c->old_scores, c->scratch);
    for (uint32 e = 0; e < c->old.image.plan.entities; e++)
        if (c->new_entity[e] != NOT_KNOWN)
            c->old.z[c->new_entity[e]] = c->old_scores[e];
    return true;
}

/* ---- ranks ---- */

/* Did the old version, which drew its validation facts, hold that one out, or not know of it? */
static bool
was_drawn(const Comparing *c, const MetasdTriple *fact)
{
    uint32 head = c->old_entity[fact->head], tail = c->old_entity[fact->tail];
    uint32 relation = c->old_relation[fact->relation];

    if (head == NOT_KNOWN || tail == NOT_KNOWN || relation == NOT_KNOWN)
        return true;
    return metasd_split_draws(&c->old_facts.split, fact) && !c->old_facts.single[0][head] &&
           !c->old_facts.single[0][tail] && !c->old_facts.single[1][relation];
}

/* Was the old version not trained on it? */
static bool
was_held_out(const Comparing *c, const MetasdTriple *fact)
{
    switch (c->old_facts.held) {
        case METASD_HELD_ALL:
            return true;
        case METASD_HELD_DRAWN:
            return was_drawn(c, fact);
        case METASD_HELD_UNKNOWN:
            break;
    }
    return false;
}

/* Of a group of validation facts those that were held out from both: their tails; how many. */
static size_t
find_counting_facts(Comparing *c, size_t g)
{
    const MetasdGroups *groups = &c->training->graph.part[METASD_VALIDATION];
    uint32 head = groups->heads[g], relation = groups->relations[g];
    uint32 relations = c->training->graph.relations;
    size_t n = 0;

    for (size_t i = groups->start[g]; i < groups->start[g + 1]; i++) {
        uint32 tail = groups->tails[i];
        MetasdTriple fact = {head, relation, tail};

        if (relation >= relations)
            fact = (MetasdTriple){tail, relation - relations, head};
        if (was_held_out(c, &fact))
            c->tails[n++] = tail;
    }
    return n;
}

static int
by_score(const void *a, const void *b)
{
    float x = ((const MetasdRankCounts *)a)->score, y = ((const MetasdRankCounts *)b)->score;

    return (x > y) - (x < y);
}

/* Leaves known tails out of a version's scores, and ranks N answers among the others. */
static void
rank_answers(Comparing *c, Version *version, size_t n, const MetasdKnown *known)
{
    for (size_t i = 0; i < n; i++)
        c->answers[i] = (MetasdRankCounts){.score = version->z[c->tails[i]]};
    for (int list = 0; list < METASD_PARTS; list++)
        for (size_t k = 0; k < known->n[list]; k++)
            version->z[known->tails[list][k]] = METASD_LEFT_OUT;
    qsort(c->answers, n, sizeof(*c->answers), by_score);
    metasd_rank_counts(c->training->graph.entities, version->z, n, c->answers);
    for (size_t i = 0; i < n; i++)
        version->reciprocal += 1 / (1.0 + c->answers[i].higher + 0.5 * c->answers[i].same);
}

/* The best candidates, at most TOP; those that the version knows. */
static int
find_best(Comparing *c, const Version *version, uint32 best[TOP])
{
    MetasdTopk topk;
    float z;
    int n = 0;

    metasd_topk_start(&topk, c->training->graph.entities, version->z, c->order);
    while (n < TOP && metasd_topk_next(&topk, &best[n], &z) && z > METASD_IMPOSSIBLE)
        n++;
    return n;
}

/* How many of the best answers are the same: of those of both together, the part that both have. */
static void
compare_tops(Comparing *c)
{
    uint32 old[TOP + 1], new[TOP + 1];
    int olds = find_best(c, &c->old, old), news = find_best(c, &c->new, new), same = 0;

    for (int i = 0; i < olds; i++)
        for (int j = 0; j < news; j++)
            same += old[i] == new[j];
    if (olds + news == 0)
        return;
    c->overlap += (double)same / (olds + news - same);
    c->tops++;
}

static MetasdStatus
compare_group(Comparing *c, size_t g)
{
    const MetasdGroups *groups = &c->training->graph.part[METASD_VALIDATION];
    MetasdHeartbeat heartbeat = {.phase = "comparing"};
    size_t n = find_counting_facts(c, g);
    MetasdKnown known;
    bool old_knows;

    if (n > 0 || c->tops < MOST_TOPS) {
        old_knows = score_query(c, groups->heads[g], groups->relations[g]);
        known = metasd_graph_known(&c->training->graph, groups->heads[g], groups->relations[g]);
        rank_answers(c, &c->old, n, &known);
        rank_answers(c, &c->new, n, &known);
        c->queries += n;
        if (old_knows && c->tops < MOST_TOPS)
            compare_tops(c);
    }
    METASD_TRY(metasd_progress_heartbeat(c->reporter, &heartbeat));
    return metasd_team_work(&c->team, 8 * (size_t)c->training->graph.entities);
}

/* All groups; of too many, as many as there is time for, evenly chosen. */
static MetasdStatus
compare_groups(Comparing *c)
{
    const MetasdGroups *groups = &c->training->graph.part[METASD_VALIDATION];
    double scores = (double)groups->count * c->training->graph.entities;
    double times = Max((double)groups->examples / MOST_ANSWERS, scores / MOST_SCORES);
    size_t step = (size_t)ceil(Max(times, 1));

    for (size_t g = 0; g < groups->count; g += step)
        METASD_TRY(compare_group(c, g));
    return METASD_OK;
}

/* ---- the verdict ---- */

static void
decide_promotion(const Comparing *c, double tolerance)
{
    MetasdComparison *result = c->result;

    result->queries = c->queries;
    result->overlap = c->tops > 0 ? c->overlap / (double)c->tops : NAN;
    if (c->old_facts.held == METASD_HELD_UNKNOWN) {
        result->note =
            psprintf("It was not compared with version " INT64_FORMAT ": that version had a "
                     "validation source of its own, so no fact is known to be held out from both.",
                     result->serving);
        return;
    }
    if (c->queries == 0) {
        result->note = psprintf("It was not compared with version " INT64_FORMAT
                                ": no fact was held out from both.",
                                result->serving);
        return;
    }
    result->mrr = c->new.reciprocal / (double)c->queries;
    result->mrr_before = c->old.reciprocal / (double)c->queries;
    result->promoted = !(result->mrr < result->mrr_before - tolerance);
    if (!result->promoted)
        result->note =
            psprintf("Its MRR on held-out facts is %.3f. Version " INT64_FORMAT ", which served, "
                     "has %.3f: the difference is more than promote_tolerance, %g.",
                     result->mrr, result->serving, result->mrr_before, tolerance);
}

MetasdComparison
metasd_compare(MetasdProcess *process, MetasdReporter *reporter, const MetasdInput *input,
               const MetasdTraining *training, double tolerance)
{
    MetasdComparison result = {.promoted = true, .overlap = NAN};
    Comparing c = {.process = process,
                   .reporter = reporter,
                   .input = input,
                   .training = training,
                   .result = &result,
                   .team = metasd_process_team_of_one(process),
                   .old_facts = {.split = training->split}};
    MemoryContext before = CurrentMemoryContext;

    c.context =
        AllocSetContextCreate(TopMemoryContext, "metasd comparison", ALLOCSET_DEFAULT_SIZES);
    if (find_old(&c)) {
        MemoryContextSwitchTo(c.context);
        if (!training->trainer.state.size.lean)
            metasd_process_check_status(
                process, metasd_new_image_build(&c.new.image, &c.team, input, training));
        match_labels(&c);
        take_scratch(&c);
        metasd_process_check_status(process, compare_groups(&c));
        MemoryContextSwitchTo(before);
        decide_promotion(&c, tolerance);
    }
    MemoryContextDelete(c.context);
    return result;
}

void
metasd_compare_append(MetasdJson *json, const MetasdComparison *comparison)
{
    metasd_json_bool(json, "promoted", comparison->promoted);
    if (comparison->queries == 0 && isnan(comparison->overlap))
        return;
    metasd_json_open(json, "drift");
    metasd_json_whole(json, "version", comparison->serving);
    metasd_json_whole(json, "queries", (int64)comparison->queries);
    if (comparison->queries > 0) {
        metasd_json_fixed(json, "mrr_before", comparison->mrr_before, 6);
        metasd_json_fixed(json, "mrr", comparison->mrr, 6);
    }
    if (!isnan(comparison->overlap))
        metasd_json_fixed(json, "top10_overlap", comparison->overlap, 6);
    metasd_json_close(json);
}
