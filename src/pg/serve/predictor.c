#include "pg/serve/predictor.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "pg/serve/known_whole.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"

/* ---- arguments ---- */

MetasdKnownMode
metasd_predictor_known_argument(FunctionCallInfo fcinfo, int n)
{
    char *mode = text_to_cstring(PG_GETARG_TEXT_PP(n));

    if (strcmp(mode, "exclude") == 0)
        return METASD_KNOWN_EXCLUDE;
    if (strcmp(mode, "mark") == 0)
        return METASD_KNOWN_MARK;
    if (strcmp(mode, "include") == 0)
        return METASD_KNOWN_INCLUDE;
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for known: \"%s\"", mode),
         errhint("It must be \"exclude\" (the default: answers that are facts of the source are "
                 "left out), \"mark\" or \"include\".")));
}

float
metasd_predictor_least_argument(FunctionCallInfo fcinfo, int n)
{
    float least = PG_ARGISNULL(n) ? 0 : PG_GETARG_FLOAT4(n);

    if (!(least >= 0 && least <= 1))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("min_probability must be between 0 and 1"),
                 errhint("Give a probability, such as 0.5: less probable answers are left out.")));
    return least;
}

/* ---- known facts ---- */

/*
 * Facts are looked up for a few candidates at first: a group may have thousands, and most questions
 * are answered by these. Where they do not suffice most of them are known, and the whole group is
 * read, once.
 */
typedef struct Facts {
    bool missing; /* or have all been looked up */
    MetasdKnown known;
    const MetasdLabelTable *labels;
    bool *ids; /* which of all ids make one, as far as they were looked up */
} Facts;

static Facts
start_facts(const MetasdPredictor *prediction, const uint32 id[2])
{
    const MetasdQuestion *question = prediction->question;
    Facts facts = {.missing = prediction->mode != METASD_KNOWN_INCLUDE,
                   .labels =
                       metasd_question_labels(question, prediction->asked == METASD_ASKED_RELATION),
                   .ids = palloc_extended(prediction->n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO)};

    if (facts.missing && prediction->facts) {
        metasd_known_batch_mark(prediction->facts, id, facts.ids);
        facts.missing = false;
    } else if (facts.missing && metasd_known_whole(question, prediction->asked)) {
        metasd_known_whole_mark(question, prediction->asked, id, facts.ids);
        facts.missing = false;
    } else if (facts.missing)
        metasd_known_start(&facts.known, question->model, prediction->asked, prediction->given);
    return facts;
}

/* Looks N ids up, or all where ids is NULL. */
static void
look_up(Facts *facts, const uint32 *ids, uint32 n)
{
    if (!facts->missing)
        return;
    if (ids)
        metasd_known_mark(&facts->known, facts->labels, ids, n, facts->ids);
    else
        metasd_known_mark_all(&facts->known, facts->labels, facts->ids);
    facts->missing = ids != NULL;
}

/* ---- candidates, from the best on ---- */

/* Candidates taken at once: at first, and how that grows. */
#define FIRST_PROBE 32
#define PROBE_GROWTH 4

typedef struct Walk {
    MetasdTopk topk;
    const uint32 *numbers; /* ids of the candidates; NULL: their places */
    uint32 *ids;           /* those taken so far, */
    uint32 taken;          /* so many */
    uint64 probe;          /* to take next */
} Walk;

/*
 * Starts among N candidates of these scores, who are wanted by the PROBE; ids and scratch have room
 * for all.
 */
static Walk
start_walk(const float *scores, const uint32 *numbers, uint32 n, uint64 probe, uint32 *ids,
           uint32 *scratch)
{
    Walk walk = {.numbers = numbers, .ids = ids, .probe = Max(FIRST_PROBE, probe)};

    metasd_topk_start(&walk.topk, n, scores, scratch);
    return walk;
}

/* Takes some more and looks them up; false if there are no more. */
static bool
take(Walk *walk, Facts *facts)
{
    uint32 first = walk->taken, id;
    float score;

    while (walk->taken - first < walk->probe && metasd_topk_next(&walk->topk, &id, &score))
        walk->ids[walk->taken++] = walk->numbers ? walk->numbers[id] : id;
    if (walk->taken == first)
        return false;
    look_up(facts, first == 0 ? walk->ids : NULL, walk->taken);
    walk->probe *= PROBE_GROWTH;
    CHECK_FOR_INTERRUPTS();
    return true;
}

/* ---- answers ---- */

static float
probability_of(const MetasdPredictor *prediction, float score)
{
    return (float)metasd_probability(prediction->sigmoid,
                                     metasd_probability_odds(&prediction->field, score));
}

static void
put_answer(const MetasdPredictor *prediction, const MetasdAnswer *answer)
{
    FunctionCallInfo fcinfo = prediction->question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    int at = prediction->answer_column, last = result->setDesc->natts - 1;
    Datum values[METASD_MOST_COLUMNS];
    bool nulls[METASD_MOST_COLUMNS] = {false};
    MetasdLabel label;
    size_t len;

    label.data = metasd_label_get(
        metasd_question_labels(prediction->question, prediction->asked == METASD_ASKED_RELATION),
        answer->id, &len);
    label.len = (uint32)len;
    for (int i = 0; i < prediction->given_columns; i++)
        values[i] = prediction->given_values[i];
    values[prediction->given_columns] = Int32GetDatum((int32)answer->rank);
    values[at] =
        metasd_identifier_answer(fcinfo, TupleDescAttr(result->setDesc, at)->atttypid, label);
    values[last - 2] = Float4GetDatum(answer->score);
    values[last - 1] = Float4GetDatum(answer->probability);
    nulls[last - 1] = answer->known; /* no prediction */
    values[last] = BoolGetDatum(answer->known);
    nulls[last] = prediction->mode == METASD_KNOWN_INCLUDE;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
keep_answer(MetasdAnswers *kept, const MetasdAnswer *answer)
{
    if (kept->count < kept->room)
        kept->list[kept->count++] = *answer;
    else
        kept->whole = false;
}

void
metasd_predictor_repeat(const MetasdPredictor *prediction, const MetasdAnswer *answers, uint32 n)
{
    for (uint32 i = 0; i < n; i++)
        put_answer(prediction, &answers[i]);
}

/* Shows the field all that there are, whoever the candidates be, until it knows the odds. */
static void
survey(MetasdPredictor *prediction, Walk *walk, Facts *facts)
{
    MetasdOdds *field = &prediction->field;

    metasd_probability_start(field, prediction->n, prediction->scores);
    while (!field->found && take(walk, facts))
        for (uint32 i = (uint32)field->seen; i < walk->taken; i++)
            metasd_probability_show(field, prediction->scores[walk->ids[i]],
                                    facts->ids[walk->ids[i]]);
}

/*
 * Writes the best of a walk that are not known facts (or all, by mode), nor impossible.
 * Probabilities fall with the scores, so the first that is too low ends it. Those that tie come by
 * their ids, which have the order of the labels' bytes.
 */
static void
write_answers(MetasdPredictor *prediction, Walk *walk, Facts *facts)
{
    MetasdTies ties = {0};

    for (uint32 i = 0; ties.count < prediction->k && (i < walk->taken || take(walk, facts)); i++) {
        uint32 id = walk->ids[i];
        MetasdAnswer one = {.id = id, .score = prediction->scores[id], .known = facts->ids[id]};

        if (one.score == METASD_IMPOSSIBLE)
            return;
        if (!one.known) {
            one.probability = probability_of(prediction, one.score);
            if (one.probability < prediction->least)
                return;
        } else if (prediction->mode == METASD_KNOWN_EXCLUDE)
            continue;
        one.rank = metasd_ties_rank(&ties, one.score);
        put_answer(prediction, &one);
        if (prediction->kept)
            keep_answer(prediction->kept, &one);
    }
}

/*
 * Ranks are among the candidates. Odds are against all entities: an answer is no more likely to
 * hold because others were not asked about.
 */
static void
answer(MetasdPredictor *prediction, const uint32 id[2])
{
    const MetasdCandidates *candidates = &prediction->candidates;
    uint32 n = prediction->n;
    uint32 *ids, *scratch;
    Facts facts;
    Walk walk;

    if (prediction->k == 0)
        return;
    ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    scratch = palloc_extended((size_t)n * sizeof(*scratch), MCXT_ALLOC_HUGE);
    facts = start_facts(prediction, id);
    walk = start_walk(prediction->scores, NULL, n,
                      candidates->given ? 0 : 2 * (uint64)prediction->k, ids, scratch);
    survey(prediction, &walk, &facts);
    if (candidates->given) {
        float *scores = metasd_candidates_scores(candidates, prediction->scores);

        walk = start_walk(scores, candidates->ids, candidates->count, 2 * (uint64)prediction->k,
                          ids, scratch);
        write_answers(prediction, &walk, &facts);
        pfree(scores);
    } else
        write_answers(prediction, &walk, &facts);
    pfree(ids);
    pfree(scratch);
    pfree(facts.ids);
}

/* ---- questions ---- */

void
metasd_predictor_start(MetasdPredictor *prediction)
{
    const MetasdImagePlan *plan = &prediction->question->image->plan;

    if (prediction->mode != METASD_KNOWN_INCLUDE &&
        !metasd_question_has_source(prediction->question))
        prediction->mode = METASD_KNOWN_INCLUDE;
    prediction->n = prediction->asked == METASD_ASKED_RELATION ? plan->relations : plan->entities;
    prediction->scores = palloc_extended((size_t)prediction->n * sizeof(float), MCXT_ALLOC_HUGE);
    prediction->scratch = palloc(3 * (size_t)plan->width * sizeof(float));
}

void
metasd_predictor_answer(MetasdPredictor *prediction, const uint32 id[2])
{
    const MetasdImage *image = prediction->question->image;
    float *scores = prediction->scores, *scratch = prediction->scratch;
    uint32 relations = image->plan.relations, row;

    if (prediction->asked == METASD_ASKED_RELATION) {
        row = 2 * relations;
        metasd_query_scores_relations(image, id[0], id[1], scores, scratch);
    } else {
        bool tail = prediction->asked == METASD_ASKED_TAIL;

        row = tail ? id[1] : relations + id[0]; /* heads are tails of the reciprocal relation */
        metasd_query_scores_tails(image, id[!tail], row, scores, scratch);
    }
    prediction->sigmoid = metasd_query_sigmoid(image, row);
    answer(prediction, id);
}

void
metasd_predictor_end(MetasdPredictor *prediction)
{
    pfree(prediction->scores);
    pfree(prediction->scratch);
}
