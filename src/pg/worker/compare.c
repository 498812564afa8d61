/*
 * compare.c - the version about to be stored beside the one that serves: both rank the same facts.
 *
 * Their embeddings differ in shape and in numbers, so both are asked by their serving images,
 * entities and relations matched by label. Ranks are among the entities of the new version, its
 * known facts left out. What the old version does not know counts as in kg_evaluate: an answer
 * comes after all that it knows, and for a query all candidates tie. A version that has learnt more
 * so is the better one.
 *
 * Neither may have been trained on a fact that counts: held_out.c says which the old version held
 * out, too. Where that is not known nothing counts, and the new version is promoted.
 *
 * The worker reads the old version in one short transaction and compares outside any. Who promotes
 * another version meanwhile makes it compare again (store.c).
 */
#include "pg/worker/job.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"

/* Of images to share: that of the old version is this worker's alone. */
#define CACHE_SIZE 0

/* How much is compared at most: answers, and scores of both versions each. */
#define MOST_ANSWERS 20000
#define MOST_SCORES 5e9

#define TOP 10
#define MOST_TOPS 200 /* queries whose best answers are compared */

#define NOT_KNOWN UINT32_MAX

/* One of the two. */
typedef struct Version {
    MetasdImage index;
    double reciprocal; /* sum of 1 / rank */
    float *z;          /* N: scores by the new version's numbers */
} Version;

typedef struct Comparing {
    MetasdJob *job;
    MemoryContext context;
    MetasdComparison *result;
    MetasdTeam team; /* of this worker alone */
    const MetasdGraph *graph;
    MetasdHeldFromBoth held; /* which facts count */
    MetasdSplit old_split;   /* what the old version drew, and so held out, */
    bool *single[2];         /* but for entities and relations that had but one fact then */
    Version old, new;
    uint32 *old_entity;   /* N: its number in the old version */
    uint32 *new_entity;   /* of the old version's entities: in the new one */
    uint32 *old_relation; /* R */
    void *scratch;        /* for the larger width */
    float *old_scores;    /* by the old version's numbers */
    uint32 *order;        /* N */
    MetasdRankCounts *answers;
    uint32 *tails;  /* those that count */
    size_t queries; /* answers ranked so far */
    size_t tops;    /* queries whose best answers were compared, and */
    double overlap; /* the sum of their overlaps */
} Comparing;

static void *
take(size_t n, size_t size)
{
    return palloc_extended(mul_size(Max(n, 1), size), MCXT_ALLOC_HUGE);
}

/* ---- how much memory it takes ---- */

static void
add_labels(const MetasdLabelSet *labels, uint64_t *bytes)
{
    for (uint32 i = 0; i < metasd_labelset_count(labels); i++)
        *bytes += metasd_labelset_get(labels, i).len;
}

size_t
metasd_compare_bytes(const MetasdInput *input, const MetasdTrainOptions *options, size_t validation)
{
    size_t width = options->rank * (size_t)options->family->reals_per_rank;
    MetasdImagePlan plan = {.family = options->family,
                            .entities = metasd_labelset_count(input->entities),
                            .relations = metasd_labelset_count(input->relations),
                            .width = (uint32)width};
    double rows = (double)plan.entities + 2.0 * plan.relations;
    double kept = ceil(rows * (double)width * (1 - options->sparsity));
    /* As take_scratch, match, read_singles and store do. */
    size_t each_entity = 6 * sizeof(uint32) + sizeof(int64) + sizeof(bool);
    size_t each_answer = sizeof(MetasdRankCounts) + sizeof(uint32), image;

    plan.entity_kept = (uint64)Min(kept, (double)plan.entities * (double)width);
    plan.relation_kept = (uint64)Min(kept, 2.0 * plan.relations * (double)width);
    add_labels(input->entities, &plan.entity_label_bytes);
    add_labels(input->relations, &plan.relation_label_bytes);
    image = metasd_image_bytes(&plan);
    if (image >= SIZE_MAX / 4)
        return SIZE_MAX;
    return 2 * image + plan.entities * each_entity + validation * each_answer;
}

/* ---- the old version ---- */

/* Ids that are looked at together. */
#define IDS_PER_LOOK 100000

/*
 * The entities, or relations, that had one fact when the old version was trained. The last one is
 * not held out, though it be drawn.
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

/* Finds the version that serves, and its image; a copy of it, as that says where things are. */
static void
open_serving(MetasdJob *job, const void *what)
{
    Comparing *c = *(Comparing *const *)what;
    MetasdModel *model = metasd_model_find(job->model, false);
    MetasdHeldOut old_held, new_held = metasd_held_out(job, job->split.validation_fraction);

    if (!model) {
        job->gone = true;
        return;
    }
    c->result->serving = model->serving;
    if (model->serving == 0)
        return;
    old_held = metasd_held_out_of(model->serving);
    c->held = metasd_held_from_both(&old_held, &new_held);
    c->old_split.validation_fraction = old_held.fraction;
    c->old.index = *metasd_image_cache_get(model, CACHE_SIZE);
    if (c->held == METASD_HELD_DRAWN) {
        c->single[0] = read_singles(c, false, c->old.index.plan.entities);
        c->single[1] = read_singles(c, true, c->old.index.plan.relations);
    }
}

static void
open_in_transaction(MetasdJob *job, const void *what)
{
    metasd_transaction_run(job, open_serving, what);
}

/*
 * False where there is nothing to compare with. A version that cannot be read is one that should be
 * replaced, whatever it was worth.
 */
static bool
find_old(Comparing *c)
{
    MetasdJob *job = c->job;

    if (metasd_transaction_guard(job, open_in_transaction, &c) == METASD_OK)
        return c->result->serving != 0;
    if (job->error->sqlerrcode != ERRCODE_DATA_CORRUPTED)
        ReThrowError(job->error);
    c->result->note = psprintf("It was not compared with version " INT64_FORMAT ": %s.",
                               c->result->serving, job->error->message);
    job->error = NULL;
    return false;
}

/* ---- the new version ---- */

/* What is kept of a row of the trainer's best weights; returns its number. */
static size_t
kept_of(const float *row, size_t width, uint32 *positions, float *values)
{
    size_t kept = 0;

    for (size_t i = 0; i < width; i++)
        if (row[i] != 0) {
            positions[kept] = (uint32)i;
            values[kept++] = row[i];
        }
    return kept;
}

static MetasdStatus
plan_image(const Comparing *c, MetasdImagePlan *plan)
{
    const MetasdJob *job = c->job;
    const MetasdState *step = &job->trainer.step;
    size_t width = step->width, rows = (size_t)step->entities + step->relation_rows;
    MetasdTeam team = c->team;

    *plan = (MetasdImagePlan){.family = step->family,
                              .entities = job->graph.entities,
                              .relations = job->graph.relations,
                              .width = (uint32)width};
    for (size_t i = 0; i < rows; i++) {
        const float *row = job->trainer.best + i * width;
        uint64_t *kept = i < plan->entities ? &plan->entity_kept : &plan->relation_kept;

        for (size_t k = 0; k < width; k++)
            *kept += row[k] != 0;
        METASD_TRY(metasd_team_work(&team, METASD_FAR_WORK + width));
    }
    add_labels(job->input.entities, &plan->entity_label_bytes);
    add_labels(job->input.relations, &plan->relation_label_bytes);
    return METASD_OK;
}

/* The image that the version will have. */
static MetasdStatus
build_new(Comparing *c)
{
    const MetasdJob *job = c->job;
    size_t width = job->trainer.step.width, bytes;
    const float *relations = job->trainer.best + job->graph.entities * width;
    uint32 *positions = take(2 * width, sizeof(*positions));
    float *values = take(2 * width, sizeof(*values));
    MetasdImageWriter writer;
    MetasdImagePlan plan;

    METASD_TRY(plan_image(c, &plan));
    bytes = metasd_image_bytes(&plan);
    if (bytes == SIZE_MAX)
        return METASD_INVALID;
    METASD_TRY(metasd_image_begin(&writer, &plan, take(bytes, 1)));
    for (uint32 i = 0; i < plan.entities + plan.relations; i++) {
        bool entity = i < plan.entities;
        uint32 id = entity ? i : i - plan.entities;
        MetasdLabel label =
            metasd_labelset_get(entity ? job->input.entities : job->input.relations, id);
        const float *row = entity ? job->trainer.best + id * width : relations + id * width;
        MetasdSparseRow first = {positions, values, kept_of(row, width, positions, values)}, second;

        if (entity)
            METASD_TRY(metasd_image_add_entity(&writer, id, label.data, label.len, first));
        else {
            row += plan.relations * width;
            second = (MetasdSparseRow){positions + width, values + width,
                                       kept_of(row, width, positions + width, values + width)};
            METASD_TRY(
                metasd_image_add_relation(&writer, id, label.data, label.len, first, second));
            if (job->graph.irreflexive[id])
                METASD_TRY(metasd_image_set_irreflexive(&writer, id));
        }
        METASD_TRY(metasd_team_work(&c->team, METASD_FAR_WORK + width));
    }
    METASD_TRY(metasd_image_finish(&writer, &c->team));
    c->new.index = writer.image;
    return METASD_OK;
}

/* ---- the same thing in both ---- */

/* For each label of a set its number among those of an image. */
static uint32 *
numbers_in(const MetasdLabelTable *labels, const MetasdLabelSet *set)
{
    uint32 n = metasd_labelset_count(set), *number = take(n, sizeof(*number));

    for (uint32 i = 0; i < n; i++) {
        MetasdLabel label = metasd_labelset_get(set, i);

        if (!metasd_label_find(labels, label.data, label.len, &number[i]))
            number[i] = NOT_KNOWN;
        CHECK_FOR_INTERRUPTS();
    }
    return number;
}

static void
match(Comparing *c)
{
    uint32 olds = c->old.index.plan.entities;

    c->old_entity = numbers_in(&c->old.index.entity_labels, c->job->input.entities);
    c->old_relation = numbers_in(&c->old.index.relation_labels, c->job->input.relations);
    c->new_entity = take(olds, sizeof(*c->new_entity));
    for (uint32 e = 0; e < olds; e++)
        c->new_entity[e] = NOT_KNOWN;
    for (uint32 e = 0; e < c->graph->entities; e++)
        if (c->old_entity[e] != NOT_KNOWN)
            c->new_entity[c->old_entity[e]] = e;
}

static void
take_scratch(Comparing *c)
{
    uint32 width = Max(c->old.index.plan.width, c->new.index.plan.width);
    uint32 entities = c->graph->entities;

    c->scratch = take(metasd_query_scratch_bytes(width), 1);
    c->old_scores = take(c->old.index.plan.entities, sizeof(*c->old_scores));
    c->old.z = take(entities, sizeof(*c->old.z));
    c->new.z = take(entities, sizeof(*c->new.z));
    c->order = take(entities, sizeof(*c->order));
    c->answers = take(c->graph->part[METASD_VALIDATION].examples, sizeof(*c->answers));
    c->tails = take(c->graph->part[METASD_VALIDATION].examples, sizeof(*c->tails));
}

/* Scores by both; false if the old version does not know the query. */
static bool
score(Comparing *c, uint32 head, uint32 relation)
{
    uint32 relations = c->graph->relations, entities = c->graph->entities;
    bool reciprocal = relation >= relations;
    uint32 forward = reciprocal ? relation - relations : relation;
    uint32 old_head = c->old_entity[head], old_relation = c->old_relation[forward];
    bool known = old_head != NOT_KNOWN && old_relation != NOT_KNOWN;

    metasd_query_scores_tails(&c->new.index, head, relation, c->new.z, c->scratch);
    for (uint32 e = 0; e < entities; e++)
        c->old.z[e] = known ? METASD_IMPOSSIBLE : 0;
    if (!known)
        return false;
    if (reciprocal)
        old_relation += c->old.index.plan.relations;
    metasd_query_scores_tails(&c->old.index, old_head, old_relation, c->old_scores, c->scratch);
    for (uint32 e = 0; e < c->old.index.plan.entities; e++)
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
    return metasd_split_draws(&c->old_split, fact) && !c->single[0][head] && !c->single[0][tail] &&
           !c->single[1][relation];
}

/* Was the old version not trained on it? */
static bool
was_held_out(const Comparing *c, const MetasdTriple *fact)
{
    switch (c->held) {
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
facts_that_count(Comparing *c, size_t g)
{
    const MetasdGroups *groups = &c->graph->part[METASD_VALIDATION];
    uint32 head = groups->heads[g], relation = groups->relations[g];
    uint32 relations = c->graph->relations;
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

/* Leaves what is known out of a version's scores, and ranks N answers among the others. */
static void
rank_answers(Comparing *c, Version *version, size_t n, size_t known, const uint32 *known_tails)
{
    for (size_t i = 0; i < n; i++)
        c->answers[i] = (MetasdRankCounts){.score = version->z[c->tails[i]]};
    for (size_t k = 0; k < known; k++)
        version->z[known_tails[k]] = METASD_LEFT_OUT;
    qsort(c->answers, n, sizeof(*c->answers), by_score);
    metasd_rank_counts(c->graph->entities, version->z, n, c->answers);
    for (size_t i = 0; i < n; i++)
        version->reciprocal += 1 / (1.0 + c->answers[i].higher + 0.5 * c->answers[i].same);
}

/* The best candidates, at most TOP; those that the version knows. */
static int
best_of(Comparing *c, const Version *version, uint32 best[TOP])
{
    MetasdTopk topk;
    float z;
    int n = 0;

    metasd_topk_start(&topk, c->graph->entities, version->z, c->order);
    while (n < TOP && metasd_topk_next(&topk, &best[n], &z) && z > METASD_IMPOSSIBLE)
        n++;
    return n;
}

/* How many of the best answers are the same: of those of both together, the part that both have. */
static void
compare_tops(Comparing *c)
{
    uint32 old[TOP + 1], new[TOP + 1];
    int olds = best_of(c, &c->old, old), news = best_of(c, &c->new, new), same = 0;

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
    const MetasdGroups *groups = &c->graph->part[METASD_VALIDATION];
    MetasdHeartbeat beat = {.phase = "comparing"};
    size_t n = facts_that_count(c, g), known;
    const uint32 *known_tails;
    bool old_knows;

    if (n > 0 || c->tops < MOST_TOPS) {
        old_knows = score(c, groups->heads[g], groups->relations[g]);
        known = metasd_graph_find_group(&c->graph->known, groups->heads[g], groups->relations[g],
                                        &known_tails);
        rank_answers(c, &c->old, n, known, known_tails);
        rank_answers(c, &c->new, n, known, known_tails);
        c->queries += n;
        if (old_knows && c->tops < MOST_TOPS)
            compare_tops(c);
    }
    METASD_TRY(metasd_progress_heartbeat(c->job, &beat));
    return metasd_team_work(&c->team, 8 * (size_t)c->graph->entities);
}

/* All groups, or where there are too many as many as there is time for, evenly chosen. */
static MetasdStatus
compare_groups(Comparing *c)
{
    const MetasdGroups *groups = &c->graph->part[METASD_VALIDATION];
    double scores = (double)groups->count * c->graph->entities;
    double times = Max((double)groups->examples / MOST_ANSWERS, scores / MOST_SCORES);
    size_t step = (size_t)ceil(Max(times, 1));

    for (size_t g = 0; g < groups->count; g += step)
        METASD_TRY(compare_group(c, g));
    return METASD_OK;
}

/* ---- the verdict ---- */

static void
decide(const Comparing *c)
{
    MetasdComparison *result = c->result;
    double tolerance = c->job->params.value[METASD_P_PROMOTE_TOLERANCE];

    result->queries = c->queries;
    result->overlap = c->tops > 0 ? c->overlap / (double)c->tops : NAN;
    if (c->held == METASD_HELD_UNKNOWN) {
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

void
metasd_compare(MetasdJob *job)
{
    Comparing c = {.job = job,
                   .result = &job->comparison,
                   .team = job->team,
                   .graph = &job->graph,
                   .old_split = job->split};
    MemoryContext context =
        AllocSetContextCreate(job->context, "metasd comparison", ALLOCSET_DEFAULT_SIZES);

    c.context = context;
    job->comparison = (MetasdComparison){.promoted = true, .overlap = NAN};
    if (!find_old(&c)) {
        MemoryContextDelete(context);
        return;
    }
    c.team.rank = 0; /* the other members have left */
    c.team.size = 1;
    c.team.barrier = c.team.poll;
    MemoryContextSwitchTo(context);
    metasd_process_check_status(job, build_new(&c));
    match(&c);
    take_scratch(&c);
    metasd_process_check_status(job, compare_groups(&c));
    MemoryContextSwitchTo(job->context);
    decide(&c);
    MemoryContextDelete(context);
}

void
metasd_compare_append(MetasdJson *json, const MetasdJob *job)
{
    const MetasdComparison *comparison = &job->comparison;
    MetasdHeldOut held = metasd_held_out(job, job->split.validation_fraction);

    metasd_json_bool(json, "promoted", comparison->promoted);
    if (!OidIsValid(held.validation)) /* the next one wants to know */
        metasd_json_number(json, "held_out", held.fraction, 9);
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
