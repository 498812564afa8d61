/*
 * suspects.c - kg_suspects: the facts of the source that are least likely by its other facts.
 *
 * The source is read once for the energies of all rows (own_energies.h), and once for the sweep.
 * Passes over samples find how large a step of own_pull.h is right for the model, and then what is
 * usual for the relations. The last pass judges all facts.
 *
 * There is an order, and no probability that a fact is wrong. Which part of a source is wrong, the
 * source does not tell. Nor do triples that are made wrong: the model was not trained on them, so
 * it resists them more than wrong facts. (Of 260 wrong facts in UMLS a mixture with such triples,
 * fitted as in calibration.h, found 25.)
 */
#include "pg/base/compat.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/ranking/ties.h"
#include "core/serve/own_pull.h"
#include "pg/base/settings.h"
#include "pg/serve/call_site.h"
#include "pg/serve/newcomer.h"
#include "pg/serve/question.h"
#include "pg/survey/newcomer_suspects.h"
#include "pg/survey/own_energies.h"
#include "pg/survey/suspect_visitor.h"
#include "pg/survey/sweep.h"
#include "pg/survey/unseen.h"

PG_FUNCTION_INFO_V1(metasd_kg_suspects);

/* The arguments, and the columns of the result. */
enum { MODEL, K, RELATION };
enum { RANK, FIRST_LABEL, BEST_TAIL = 4, TAIL_RANK, BEST_HEAD, HEAD_RANK, DEVIATION, COLUMNS };

/* Facts to sample: of a relation, and of all, if there are not very many relations. */
#define SAMPLED_OF_RELATION 100.0
#define SAMPLED 20000.0
#define MOST_SAMPLES ((uint64)1 << 15)

#define SAMPLED_OF_ONE 2000.0 /* if facts of one relation are asked for */

/*
 * With the right step, facts that the training has seen are on average as likely as those that it
 * has not: log odds fall evenly with the step. But a wrong fact has pulled more than others, and
 * wrong facts count. With 1.5 to 2 of these steps most wrong facts were found, in all of UMLS,
 * Kinship and two models of a part of FB15k-237.
 */
#define STEPS 1.5
#define LEAST_STEP 0.05
#define MOST_STEP 1.0
#define SAMPLED_FOR_STEP 1500.0 /* facts that it has seen, and others */
#define LEAST_UNSEEN 50         /* fewer tell too little */

/* What is usual for a relation has a prior of so many facts: what is usual for all. */
#define PRIOR 5.0

typedef struct Suspicion {
    MetasdQuestion question;
    uint32 k, relation; /* METASD_ANY: all relations */
    MetasdLabel name;   /* of the relation; data are NULL: all */
    bool is_new;        /* the relation is a newcomer */
    MetasdNewcomerSuspects *newcomers;
    MetasdUsual others; /* what is usual for a new relation */
    uint64 *counts;     /* facts of each relation */
    MetasdSuspectParameters *parameters;
    Size parameter_bytes;
    MetasdSweep *sweep;
    MetasdBestTriples best;
} Suspicion;

/* False if nothing is known of the relation. */
static bool
read_relation(Suspicion *suspicion)
{
    const MetasdQuestion *question = &suspicion->question;
    uint32 id;

    /* Of a newcomer the NOTICE comes later: it tells how many facts are judged. */
    suspicion->is_new = !metasd_label_find(metasd_question_labels(question, true),
                                           suspicion->name.data, suspicion->name.len, &id) &&
                        metasd_newcomer_find(question, suspicion->name, true).facts > 0;
    return suspicion->is_new ||
           metasd_question_find(question, suspicion->name, true, &suspicion->relation);
}

/* False if there is nothing to find. */
static bool
read_arguments(Suspicion *suspicion, FunctionCallInfo fcinfo)
{
    text *name;

    if (PG_ARGISNULL(K))
        return false;
    suspicion->k = metasd_call_limit(fcinfo, K);
    suspicion->question = metasd_question_open(fcinfo, MODEL);
    suspicion->relation = METASD_ANY;
    if (!PG_ARGISNULL(RELATION)) {
        name = PG_GETARG_TEXT_PP(RELATION);
        suspicion->name =
            (MetasdLabel){.data = VARDATA_ANY(name), .len = (uint32)VARSIZE_ANY_EXHDR(name)};
        if (!read_relation(suspicion))
            return false;
    }
    return suspicion->k > 0 && metasd_question_has_source(&suspicion->question);
}

/* ---- preparations ---- */

/* Chooses which part of each relation's facts is sampled. */
static void
choose_sample(Suspicion *suspicion)
{
    MetasdSuspectParameters *parameters = suspicion->parameters;
    double each = SAMPLED_OF_ONE;
    uint32 used = 0;

    parameters->sampled_unseen = 0;
    for (uint32 r = 0; r < parameters->relations; r++)
        used += suspicion->counts[r] > 0;
    if (suspicion->relation == METASD_ANY)
        each = Min(SAMPLED_OF_RELATION, SAMPLED / Max(used, 1));
    for (uint32 r = 0; r < parameters->relations; r++)
        parameters->usual[r].sampled = Min(each / (double)Max(suspicion->counts[r], 1), 1);
}

static void
prepare(Suspicion *suspicion)
{
    const MetasdQuestion *question = &suspicion->question;
    uint32 relations = question->image->plan.relations;
    Size energies = metasd_own_energies_bytes(question->image);

    suspicion->newcomers = metasd_newcomer_suspects_create(question, suspicion->name);
    suspicion->parameter_bytes = metasd_suspect_parameters_bytes(relations, energies);
    suspicion->parameters =
        palloc_extended(suspicion->parameter_bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    suspicion->parameters->relations = relations;
    suspicion->parameters->unseen = metasd_unseen_fraction(question->model);
    suspicion->counts =
        palloc_extended(mul_size(Max(relations, 1), sizeof(uint64)), MCXT_ALLOC_HUGE);
    metasd_own_energies_fill(question, suspicion->parameters->unseen,
                             metasd_suspect_energies(suspicion->parameters), suspicion->counts);
}

/* Begins to visit the facts of that relation, or of all; newcomers if these are to be judged. */
static void
begin_sweep(Suspicion *suspicion, uint32 relation)
{
    MetasdFactChoice choice = {.tails = true, .heads = true, .relation = relation};
    bool newcomers = metasd_fold_in && relation == suspicion->relation;

    if (newcomers) {
        choice.unknown = metasd_newcomer_suspects_keep;
        choice.context = suspicion->newcomers;
    }
    suspicion->sweep = metasd_sweep_begin(&suspicion->question, &choice, NULL);
    metasd_sweep_sort(suspicion->sweep);
    if (newcomers)
        metasd_newcomer_suspects_sort(suspicion->newcomers);
}

static void
run_pass(Suspicion *suspicion, MetasdVisitorKind kind, uint32 k, MetasdBestTriples *best)
{
    MetasdSweepPass pass = {.kind = kind,
                            .sides = METASD_SIDE_TAILS,
                            .k = k,
                            .least = -INFINITY,
                            .parameters = suspicion->parameters,
                            .parameter_bytes = suspicion->parameter_bytes,
                            .quiet = kind == METASD_VISIT_TO_SAMPLE};

    metasd_sweep_pass(suspicion->sweep, &pass, best);
}

/* ---- what is usual ---- */

/* Sums over samples, in both directions. */
typedef struct Sums {
    double weight, odds[2], squares[2];
} Sums;

static double
odds_of(const MetasdScoredTriple *sample, int side)
{
    return (double)sample->value[METASD_SUSPECT_ODDS + side];
}

/* Mean log odds of each relation's facts. */
static void
find_means(const MetasdBestTriples *samples, MetasdUsual *usual, uint32 relations, Sums *of,
           Sums *all)
{
    for (uint32 i = 0; i < samples->count; i++) {
        const MetasdScoredTriple *sample = &samples->heap[i];
        uint32 r = sample->id[1];

        of[r].weight += 1;
        all->weight += 1 / usual[r].sampled;
        for (int side = 0; side < 2; side++) {
            of[r].odds[side] += odds_of(sample, side);
            all->odds[side] += odds_of(sample, side) / usual[r].sampled;
        }
    }
    for (uint32 r = 0; r < relations; r++)
        for (int side = 0; side < 2; side++)
            usual[r].mean[side] =
                (of[r].odds[side] + PRIOR * all->odds[side] / Max(all->weight, 1)) /
                (of[r].weight + PRIOR);
}

/* Their standard deviations. */
static void
find_deviations(const MetasdBestTriples *samples, MetasdUsual *usual, uint32 relations, Sums *of,
                Sums *all)
{
    for (uint32 i = 0; i < samples->count; i++) {
        const MetasdScoredTriple *sample = &samples->heap[i];
        uint32 r = sample->id[1];

        for (int side = 0; side < 2; side++) {
            double off = odds_of(sample, side) - usual[r].mean[side];

            of[r].squares[side] += off * off;
            all->squares[side] += off * off / usual[r].sampled;
        }
    }
    for (uint32 r = 0; r < relations; r++)
        for (int side = 0; side < 2; side++)
            usual[r].deviation[side] =
                sqrt((of[r].squares[side] + PRIOR * all->squares[side] / Max(all->weight, 1)) /
                     (of[r].weight + PRIOR));
}

static void
find_usual(MetasdSuspectParameters *parameters, const MetasdBestTriples *samples,
           MetasdUsual *others)
{
    uint32 relations = parameters->relations;
    Sums *of = palloc_extended(mul_size(Max(relations, 1), sizeof(*of)),
                               MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    Sums all = {0};

    find_means(samples, parameters->usual, relations, of, &all);
    find_deviations(samples, parameters->usual, relations, of, &all);
    for (int side = 0; side < 2; side++) {
        others->mean[side] = all.odds[side] / Max(all.weight, 1);
        others->deviation[side] = all.weight > 0 ? sqrt(all.squares[side] / all.weight) : 1;
        for (uint32 r = 0; r < relations && all.weight == 0; r++)
            parameters->usual[r].deviation[side] = 1; /* there are only facts of newcomers */
    }
    pfree(of);
}

static void
sample_facts(Suspicion *suspicion, MetasdBestTriples *samples)
{
    uint64 room = (uint64)work_mem * 1024 / sizeof(MetasdScoredTriple);

    run_pass(suspicion, METASD_VISIT_TO_SAMPLE, (uint32)Min(MOST_SAMPLES, room), samples);
}

static void
sample_usual(Suspicion *suspicion)
{
    MetasdBestTriples samples;

    choose_sample(suspicion);
    sample_facts(suspicion, &samples);
    find_usual(suspicion->parameters, &samples, &suspicion->others);
    if (samples.heap)
        pfree(samples.heap);
}

/* ---- the step ---- */

/* Mean log odds of both directions: of facts that the training has seen, and of others. */
typedef struct Means {
    double count[2], mean[2];
} Means;

static Means
sample_means(Suspicion *suspicion, float step)
{
    Means means = {{0}, {0}};
    MetasdBestTriples samples;

    suspicion->parameters->step = step;
    sample_facts(suspicion, &samples);
    for (uint32 i = 0; i < samples.count; i++) {
        const MetasdScoredTriple *sample = &samples.heap[i];
        int unseen = sample->value[METASD_SUSPECT_UNSEEN] != 0;

        means.count[unseen]++;
        means.mean[unseen] += odds_of(sample, 0) + odds_of(sample, 1);
    }
    for (int unseen = 0; unseen < 2; unseen++)
        means.mean[unseen] /= Max(means.count[unseen], 1);
    if (samples.heap)
        pfree(samples.heap);
    return means;
}

static void
measure_step(Suspicion *suspicion)
{
    MetasdSuspectParameters *parameters = suspicion->parameters;
    double facts = (double)metasd_sweep_facts(suspicion->sweep) / 2, fall, step;
    Means before, after;

    for (uint32 r = 0; r < parameters->relations; r++)
        parameters->usual[r].sampled = Min(SAMPLED_FOR_STEP / Max(facts, 1), 1);
    parameters->sampled_unseen = Min(SAMPLED_FOR_STEP / Max(facts * parameters->unseen, 1), 1);
    after = sample_means(suspicion, METASD_OWN_STEP);
    if (after.count[true] < LEAST_UNSEEN || after.count[false] == 0)
        return;
    before = sample_means(suspicion, 0);
    fall = before.mean[false] - after.mean[false];
    step = STEPS * (double)METASD_OWN_STEP * (before.mean[false] - before.mean[true]) /
           Max(fall, 1e-6);
    parameters->step = (float)Min(Max(step, LEAST_STEP), MOST_STEP);
    ereport(DEBUG1, (errmsg_internal("own pulls are taken out with step %g", parameters->step)));
}

/*
 * Finds the step, and begins the sweep of the facts to judge. The step belongs to the model: it is
 * that of a sample of all facts, so that a fact is judged alike whatever relation is asked for.
 */
static void
find_step(Suspicion *suspicion)
{
    suspicion->parameters->step = METASD_OWN_STEP;
    if (suspicion->parameters->unseen > 0) {
        begin_sweep(suspicion, METASD_ANY);
        measure_step(suspicion);
        if (suspicion->relation == METASD_ANY)
            return;
        metasd_sweep_end(suspicion->sweep);
    }
    begin_sweep(suspicion, suspicion->relation);
}

/* ---- all facts ---- */

static void
judge_facts(Suspicion *suspicion)
{
    MetasdUsualForAll usual = {.of = suspicion->parameters->usual, .others = suspicion->others};
    MetasdBestTriples trained = {.count = 0};
    MetasdSharedLeast shared;

    if (!suspicion->is_new)
        run_pass(suspicion, METASD_VISIT_TO_SUSPECT, suspicion->k, &trained);
    metasd_best_triples_init_shared(&shared, -INFINITY);
    metasd_best_triples_start(&suspicion->best, suspicion->k, &shared, -INFINITY);
    for (uint32 i = 0; i < trained.count; i++)
        metasd_best_triples_offer(&suspicion->best, &trained.heap[i]);
    if (trained.heap)
        pfree(trained.heap);
    metasd_newcomer_suspects_judge(suspicion->newcomers, metasd_sweep_file(suspicion->sweep),
                                   &usual, &suspicion->best);
    metasd_best_triples_sort(&suspicion->best);
    suspicion->best.shared = NULL;
}

/* ---- the result ---- */

static Datum
label_of(const Suspicion *suspicion, bool relation, uint32 id)
{
    MetasdLabel label = metasd_newcomer_suspects_label(suspicion->newcomers, relation, id);

    return PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
}

static void
put_suspect(const Suspicion *suspicion, MetasdTies *ties, const MetasdScoredTriple *triple)
{
    const MetasdQuestion *question = &suspicion->question;
    ReturnSetInfo *result = (ReturnSetInfo *)question->fcinfo->resultinfo;
    Datum values[COLUMNS];
    bool nulls[COLUMNS] = {false};

    values[RANK] = Int32GetDatum((int32)metasd_ties_rank(ties, triple->key));
    for (int i = 0; i < 3; i++)
        values[FIRST_LABEL + i] = label_of(suspicion, i == 1, triple->id[i]);
    for (int side = 0; side < 2; side++) {
        int column = side == 0 ? BEST_TAIL : BEST_HEAD;
        uint32 best = triple->number[METASD_SUSPECT_BEST_TAIL + side];

        nulls[column] = best == METASD_ANY;
        if (best != METASD_ANY)
            values[column] = label_of(suspicion, false, best);
        values[column + 1] = Int32GetDatum((int32)triple->number[METASD_SUSPECT_TAIL_RANK + side]);
    }
    values[DEVIATION] = Float4GetDatum(triple->key);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* kg_suspects(model, k, relation) */
Datum
metasd_kg_suspects(PG_FUNCTION_ARGS)
{
    Suspicion suspicion = {.k = 0};
    MetasdTies ties = {0};

    metasd_compat_init_materialized_srf(fcinfo);
    if (!read_arguments(&suspicion, fcinfo))
        return (Datum)0;
    prepare(&suspicion);
    find_step(&suspicion);
    sample_usual(&suspicion);
    judge_facts(&suspicion);
    metasd_sweep_end(suspicion.sweep);
    for (uint32 i = 0; i < suspicion.best.count; i++)
        put_suspect(&suspicion, &ties, &suspicion.best.heap[i]);
    metasd_newcomer_suspects_end(suspicion.newcomers);
    return (Datum)0;
}
