/*
 * discover.c - kg_discover: the most probable facts that the source does not hold.
 *
 * The source is read once, and its questions are swept (sweep.h): first to turn keys of triples
 * into probabilities, on a sample if the graph is large (calibration.h), then for the triples of
 * the highest keys. The second pass needs a key that about k triples reach, or it would look at
 * all of them: the sample tells it, or it is tried. If fewer than k reach it, a lower one is.
 */
#include "pg/base/compat.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "core/ranking/ties.h"
#include "pg/serve/call_site.h"
#include "pg/serve/candidates.h"
#include "pg/serve/predictor.h"
#include "pg/serve/question.h"
#include "pg/survey/calibration.h"
#include "pg/survey/discover_visitor.h"
#include "pg/survey/newcomer_search.h"
#include "pg/survey/subjects.h"
#include "pg/survey/sweep.h"

PG_FUNCTION_INFO_V1(metasd_kg_discover);

/* The arguments. */
enum { MODEL, K, RELATION, HEAD, TAIL, CANDIDATES, MIN_PROBABILITY, SUBJECTS };

/* The columns of the result. */
enum { RANK, FIRST_LABEL, SCORE = 4, PROBABILITY, COLUMNS };

/* How much lower the second key is; then twice as much, and so on; and how many are tried. */
#define FIRST_STEP 2.0f
#define MOST_TRIES 4

typedef struct Discovery {
    MetasdQuestion question;
    uint32 k;
    float least_probability;
    MetasdSubjectChoice choice;
    MetasdCandidates candidates;
    MetasdCalibration calibration;
    MetasdNewcomerSearch newcomers;
    MetasdSweep *sweep;
    MetasdBestTriples best;
} Discovery;

/* ---- arguments ---- */

/* Argument N as the number of an entity or relation. False if nothing is known of it. */
static bool
read_name(const Discovery *discovery, int n, uint32 *id)
{
    FunctionCallInfo fcinfo = discovery->question.fcinfo;
    text *name;

    *id = METASD_ANY;
    if (PG_ARGISNULL(n))
        return true;
    name = PG_GETARG_TEXT_PP(n);
    return metasd_newcomer_list_name(
        discovery->newcomers.newcomers,
        (MetasdLabel){.data = VARDATA_ANY(name), .len = (uint32)VARSIZE_ANY_EXHDR(name)},
        n == RELATION, id);
}

/* Those candidates that are newcomers. */
static void
list_newcomers(Discovery *discovery)
{
    const MetasdCandidates *candidates = &discovery->candidates;
    uint32 *ids = palloc(Max(candidates->newcomers, 1) * sizeof(*ids));

    for (uint32 i = 0; i < candidates->newcomers; i++)
        ids[i] = metasd_newcomer_list_add(discovery->newcomers.newcomers, &candidates->list[i]);
    discovery->newcomers.ids = ids;
    discovery->newcomers.count = candidates->newcomers;
    discovery->newcomers.candidates = *candidates;
}

/* The entities that may be answers: the tail if the head is given, too. */
static void
read_candidates(Discovery *discovery)
{
    FunctionCallInfo fcinfo = discovery->question.fcinfo;
    const MetasdSubjectChoice *choice = &discovery->choice;
    bool both = choice->head != METASD_ANY && choice->tail != METASD_ANY;

    if (both && !PG_ARGISNULL(CANDIDATES))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("candidates cannot be given with both head and tail"),
                        errhint("Candidates take the place of the head or the tail.")));
    if (!PG_ARGISNULL(CANDIDATES)) {
        discovery->candidates =
            metasd_candidates_relation(&discovery->question, PG_GETARG_OID(CANDIDATES));
        list_newcomers(discovery);
    } else if (both && !metasd_question_is_new(&discovery->question, false, choice->tail))
        discovery->candidates = (MetasdCandidates){.given = true, .count = 1, .ids = &choice->tail};
}

/* False if nothing can be found: an argument is NULL that must not be, or a name is unknown. */
static bool
read_arguments(Discovery *discovery, FunctionCallInfo fcinfo)
{
    MetasdSubjectChoice *choice = &discovery->choice;

    if (PG_ARGISNULL(K) || PG_ARGISNULL(SUBJECTS))
        return false;
    discovery->k = metasd_call_limit(fcinfo, K);
    discovery->least_probability = metasd_predictor_least_argument(fcinfo, MIN_PROBABILITY);
    choice->kind = metasd_subjects_argument(fcinfo, SUBJECTS);
    discovery->question = metasd_question_open(fcinfo, MODEL);
    discovery->newcomers.question = &discovery->question;
    discovery->newcomers.newcomers = metasd_newcomer_list_create(&discovery->question);
    if (!read_name(discovery, RELATION, &choice->relation) ||
        !read_name(discovery, HEAD, &choice->head) || !read_name(discovery, TAIL, &choice->tail))
        return false;
    read_candidates(discovery);
    return discovery->k > 0 && metasd_question_has_source(&discovery->question);
}

/* ---- the search ---- */

/* Reads the source. Probabilities are the same whatever is named, so all of it matters. */
static void
prepare_sweep(Discovery *discovery)
{
    MetasdNewcomerList *newcomers = discovery->newcomers.newcomers;
    bool any = metasd_newcomer_list_count(newcomers, false) > 0 ||
               metasd_newcomer_list_count(newcomers, true) > 0;
    MetasdFactChoice choice = {.tails = true,
                               .heads = true,
                               .relation = METASD_ANY,
                               .unknown = any ? metasd_newcomer_list_keep : NULL,
                               .context = newcomers};
    MetasdSortedFacts *heads =
        discovery->choice.kind == METASD_SUBJECTS_LIKE ? metasd_sorted_facts_create() : NULL;

    discovery->sweep = metasd_sweep_begin(&discovery->question, &choice, heads);
    metasd_subjects_add(&discovery->question, discovery->sweep, &discovery->choice, heads,
                        newcomers);
    metasd_sweep_sort(discovery->sweep);
    metasd_newcomer_list_sort(newcomers);
    discovery->newcomers.file = metasd_sweep_file(discovery->sweep);
    discovery->newcomers.choice = discovery->choice;
}

static MetasdDiscoverParameters *
write_parameters(const Discovery *discovery, bool by_tail, Size *bytes)
{
    const MetasdCandidates *candidates = &discovery->candidates;
    const MetasdSubjectChoice *choice = &discovery->choice;
    uint32 relations = discovery->question.image->plan.relations;
    MetasdDiscoverParameters *parameters;

    *bytes = offsetof(MetasdDiscoverParameters, rest) +
             ((Size)relations + candidates->count) * sizeof(uint32);
    parameters = palloc_extended(*bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    parameters->relation = choice->relation;
    parameters->entity = by_tail ? choice->tail : choice->head;
    parameters->subjects = choice->kind != METASD_SUBJECTS_ALL;
    parameters->chosen = candidates->given;
    parameters->count = candidates->count;
    memcpy(parameters->rest, discovery->calibration.shift, (Size)relations * sizeof(float));
    if (candidates->count > 0)
        memcpy(parameters->rest + relations, candidates->ids,
               (Size)candidates->count * sizeof(uint32));
    return parameters;
}

/* The lowest key that an answer may have. */
static float
find_floor(const Discovery *discovery)
{
    float least = discovery->least_probability;

    if (least <= 0)
        return -INFINITY;
    return least < 1 ? (float)metasd_unlabelled_key(&discovery->calibration.fit, least) : INFINITY;
}

/* The key to begin with: that of k triples of the whole graph, or of a half in a part of it. */
static float
find_first_key(const Discovery *discovery)
{
    const MetasdSubjectChoice *choice = &discovery->choice;

    if (choice->relation == METASD_ANY && choice->head == METASD_ANY &&
        choice->tail == METASD_ANY && !discovery->candidates.given)
        return metasd_calibration_key_of(&discovery->calibration, discovery->k);
    return (float)metasd_unlabelled_key(&discovery->calibration.fit, 0.5);
}

/* Adds the triples with newcomers to those that the sweep has found. */
static void
search_newcomers(Discovery *discovery, float least)
{
    MetasdBestTriples *found = &discovery->best, all;
    MetasdSharedLeast shared;

    if (discovery->newcomers.count == 0 && !metasd_newcomer_search_names_one(&discovery->newcomers))
        return;
    metasd_best_triples_init_shared(&shared, least);
    metasd_best_triples_start(&all, discovery->k, &shared, least);
    for (uint32 i = 0; i < found->count; i++)
        metasd_best_triples_offer(&all, &found->heap[i]);
    if (found->heap)
        pfree(found->heap);
    metasd_newcomer_search_run(&discovery->newcomers, &all);
    metasd_best_triples_sort(&all);
    all.shared = NULL;
    *found = all;
}

static void
search(Discovery *discovery)
{
    const MetasdSubjectChoice *choice = &discovery->choice;
    bool by_tail = choice->head == METASD_ANY && choice->tail != METASD_ANY;
    MetasdSweepPass pass = {.kind = METASD_VISIT_TO_DISCOVER,
                            .sides = by_tail ? METASD_SIDE_HEADS : METASD_SIDE_TAILS,
                            .k = discovery->k};
    float floor = find_floor(discovery), key = find_first_key(discovery), step = FIRST_STEP;

    pass.parameters = write_parameters(discovery, by_tail, &pass.parameter_bytes);
    for (int tries = 1;; tries++) {
        pass.least = tries < MOST_TRIES ? Max(floor, key) : floor;
        discovery->best = (MetasdBestTriples){.count = 0};
        if (!metasd_newcomer_search_names_one(&discovery->newcomers))
            metasd_sweep_pass(discovery->sweep, &pass, &discovery->best);
        search_newcomers(discovery, pass.least);
        if (discovery->best.count == discovery->k || pass.least == floor)
            return;
        if (discovery->best.heap)
            pfree(discovery->best.heap);
        key -= step;
        step *= 2;
    }
}

/* ---- the result ---- */

static void
put_triple(const Discovery *discovery, MetasdTies *ties, const MetasdScoredTriple *triple)
{
    const MetasdQuestion *question = &discovery->question;
    ReturnSetInfo *result = (ReturnSetInfo *)question->fcinfo->resultinfo;
    const MetasdUnlabelledFit *fit = &discovery->calibration.fit;
    Datum values[COLUMNS];
    bool nulls[COLUMNS] = {false};

    values[RANK] = Int32GetDatum((int32)metasd_ties_rank(ties, triple->key));
    for (int i = 0; i < 3; i++) {
        MetasdLabel label =
            metasd_newcomer_list_label(discovery->newcomers.newcomers, i == 1, triple->id[i]);

        values[FIRST_LABEL + i] =
            PointerGetDatum(cstring_to_text_with_len(label.data, (int)label.len));
    }
    values[SCORE] = Float4GetDatum(triple->value[METASD_DISCOVERED_SCORE]);
    values[PROBABILITY] =
        Float4GetDatum((float)metasd_unlabelled_probability(fit, (double)triple->key));
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    for (int i = 0; i < 3; i++)
        pfree(DatumGetPointer(values[FIRST_LABEL + i]));
    CHECK_FOR_INTERRUPTS();
}

/* Does the work, in memory that the caller frees. */
static void
discover(FunctionCallInfo fcinfo)
{
    Discovery discovery = {.k = 0};
    MetasdTies ties = {0};

    if (!read_arguments(&discovery, fcinfo))
        return;
    prepare_sweep(&discovery);
    discovery.calibration = metasd_calibration_fit(&discovery.question, discovery.sweep);
    discovery.newcomers.shift = discovery.calibration.shift;
    search(&discovery);
    metasd_newcomer_list_end(discovery.newcomers.newcomers);
    metasd_sweep_end(discovery.sweep);
    for (uint32 i = 0; i < discovery.best.count; i++)
        put_triple(&discovery, &ties, &discovery.best.heap[i]);
}

/* kg_discover(model, k, relation, head, tail, candidates, min_probability, subjects) */
Datum
metasd_kg_discover(PG_FUNCTION_ARGS)
{
    MemoryContext context, before;

    metasd_compat_init_materialized_srf(fcinfo);
    context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd discover", ALLOCSET_DEFAULT_SIZES);
    before = MemoryContextSwitchTo(context);
    discover(fcinfo);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    return (Datum)0;
}
