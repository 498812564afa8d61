#include "pg/serve/predictor.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/ranking/rank_counts.h"
#include "core/ranking/ties.h"
#include "core/ranking/topk.h"
#include "core/serve/query.h"
#include "pg/serve/identifier.h"
#include "pg/serve/known_whole.h"

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
 * At first facts are looked up for a few candidates: a group may have thousands of facts, and a few
 * candidates suffice for most questions. If they do not suffice, most of them are known, and the
 * whole group is read, once.
 */
typedef struct Facts {
    bool missing; /* not all have been looked up */
    MetasdKnown known;
    const MetasdLabelTable *labels;
    bool *ids; /* n: the id completes a fact, as far as facts were looked up */
} Facts;

/* Is one of the given places a newcomer? Facts that were read at once are not about these. */
static bool
gives_newcomer(const MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdQuestion *question = predictor->question;

    return metasd_question_is_new(question, predictor->asked == METASD_ASKED_HEAD, id[0]) ||
           metasd_question_is_new(question, predictor->asked == METASD_ASKED_TAIL, id[1]);
}

static Facts
start_facts(const MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdQuestion *question = predictor->question;
    Facts facts = {.missing = predictor->mode != METASD_KNOWN_INCLUDE,
                   .labels =
                       metasd_question_labels(question, predictor->asked == METASD_ASKED_RELATION),
                   .ids = palloc_extended(predictor->n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO)};

    if (!facts.missing)
        return facts;
    if (gives_newcomer(predictor, id))
        metasd_known_start(&facts.known, question->model, predictor->asked, predictor->given);
    else if (predictor->facts) {
        metasd_known_batch_mark(predictor->facts, id, facts.ids);
        facts.missing = false;
    } else if (metasd_known_whole_prepare(question, predictor->asked)) {
        metasd_known_whole_mark(question, predictor->asked, id, facts.ids);
        facts.missing = false;
    } else
        metasd_known_start(&facts.known, question->model, predictor->asked, predictor->given);
    return facts;
}

/* Looks up the facts of N ids, or all facts if ids is NULL. */
static void
look_up_facts(Facts *facts, const uint32 *ids, uint32 n)
{
    if (!facts->missing)
        return;
    if (ids)
        metasd_known_mark(&facts->known, facts->labels, ids, n, facts->ids);
    else
        metasd_known_mark_all(&facts->known, facts->labels, facts->ids);
    facts->missing = ids != NULL;
}

/* ---- candidates, best first ---- */

/* The number of candidates that are taken at once: the first time, and its growth. */
#define FIRST_PROBE 32
#define PROBE_GROWTH 4

typedef struct Iterator {
    MetasdTopk topk;
    const uint32 *numbers; /* the ids of the candidates; NULL: all compete */
    uint32 *ids;           /* of the candidates taken so far */
    uint32 taken;          /* their number */
    uint64 probe;          /* the number to take next */
} Iterator;

/*
 * Starts with N candidates of these scores, and takes at least PROBE of them at first; ids and
 * scratch have N elements.
 */
static Iterator
start_candidates(const float *scores, const uint32 *numbers, uint32 n, uint64 probe, uint32 *ids,
                 uint32 *scratch)
{
    Iterator iterator = {.numbers = numbers, .ids = ids, .probe = Max(FIRST_PROBE, probe)};

    metasd_topk_start(&iterator.topk, n, scores, scratch);
    return iterator;
}

/* Takes more candidates and looks up their facts; false if there are no more. */
static bool
take_candidates(Iterator *iterator, Facts *facts)
{
    uint32 first = iterator->taken, id;
    float score;

    while (iterator->taken - first < iterator->probe &&
           metasd_topk_next(&iterator->topk, &id, &score))
        iterator->ids[iterator->taken++] = iterator->numbers ? iterator->numbers[id] : id;
    if (iterator->taken == first)
        return false;
    look_up_facts(facts, first == 0 ? iterator->ids : NULL, iterator->taken);
    iterator->probe *= PROBE_GROWTH;
    CHECK_FOR_INTERRUPTS();
    return true;
}

/* ---- answers ---- */

static float
probability_of(const MetasdPredictor *predictor, float score)
{
    return (float)metasd_probability(predictor->sigmoid,
                                     metasd_probability_odds(&predictor->odds, score));
}

static void
put_answer(const MetasdPredictor *predictor, const MetasdAnswer *answer)
{
    FunctionCallInfo fcinfo = predictor->question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    int at = predictor->answer_column, last = result->setDesc->natts - 1;
    Datum values[METASD_MOST_COLUMNS];
    bool nulls[METASD_MOST_COLUMNS] = {false};
    MetasdLabel label = metasd_question_label(
        predictor->question, predictor->asked == METASD_ASKED_RELATION, answer->id);

    for (int i = 0; i < predictor->given_columns; i++)
        values[i] = predictor->given_values[i];
    values[predictor->given_columns] = Int32GetDatum((int32)answer->rank);
    values[at] =
        metasd_identifier_answer(fcinfo, TupleDescAttr(result->setDesc, at)->atttypid, label);
    values[last - 2] = Float4GetDatum(answer->score);
    values[last - 1] = Float4GetDatum(answer->probability);
    nulls[last - 1] = answer->known; /* a fact is no predictor */
    values[last] = BoolGetDatum(answer->known);
    nulls[last] = predictor->mode == METASD_KNOWN_INCLUDE;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
copy_answer(MetasdAnswers *copy, const MetasdAnswer *answer)
{
    if (copy->count < copy->capacity)
        copy->list[copy->count++] = *answer;
    else
        copy->complete = false;
}

void
metasd_predictor_repeat(const MetasdPredictor *predictor, const MetasdAnswer *answers, uint32 n)
{
    for (uint32 i = 0; i < n; i++)
        put_answer(predictor, &answers[i]);
}

/* Shows the odds all entities or relations, best first, until the odds are known. */
static void
find_odds(MetasdPredictor *predictor, Iterator *iterator, Facts *facts)
{
    MetasdOdds *odds = &predictor->odds;

    metasd_probability_start(odds, predictor->n, predictor->scores);
    while (!odds->found && take_candidates(iterator, facts))
        for (uint32 i = (uint32)odds->seen; i < iterator->taken; i++)
            metasd_probability_show(odds, predictor->scores[iterator->ids[i]],
                                    facts->ids[iterator->ids[i]]);
}

/*
 * Writes the best candidates that are possible, with or without known facts according to the mode.
 * Probabilities fall with the scores, so the first one that is too low ends the answers. Candidates
 * that tie come in the order of their ids, which is the order of the labels' bytes.
 */
static void
write_answers(MetasdPredictor *predictor, Iterator *iterator, Facts *facts)
{
    MetasdTies ties = {0};

    for (uint32 i = 0;
         ties.count < predictor->k && (i < iterator->taken || take_candidates(iterator, facts));
         i++) {
        uint32 id = iterator->ids[i];
        MetasdAnswer one = {.id = id, .score = predictor->scores[id], .known = facts->ids[id]};

        if (one.score == METASD_IMPOSSIBLE)
            return;
        if (!one.known) {
            one.probability = probability_of(predictor, one.score);
            if (one.probability < predictor->least_probability)
                return;
        } else if (predictor->mode == METASD_KNOWN_EXCLUDE)
            continue;
        one.rank = metasd_ties_rank(&ties, one.score);
        put_answer(predictor, &one);
        if (predictor->copy)
            copy_answer(predictor->copy, &one);
    }
}

/*
 * Answers are ranked among the candidates. But their odds are against all entities: that other
 * entities are no candidates makes no answer more probable.
 */
static void
write_best(MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdCandidates *candidates = &predictor->candidates;
    uint32 n = predictor->n;
    uint32 *ids, *scratch;
    Facts facts;
    Iterator iterator;

    if (predictor->k == 0)
        return;
    ids = palloc_extended((size_t)n * sizeof(*ids), MCXT_ALLOC_HUGE);
    scratch = palloc_extended((size_t)n * sizeof(*scratch), MCXT_ALLOC_HUGE);
    facts = start_facts(predictor, id);
    iterator = start_candidates(predictor->scores, NULL, n,
                                candidates->given ? 0 : 2 * (uint64)predictor->k, ids, scratch);
    find_odds(predictor, &iterator, &facts);
    if (candidates->given) {
        float *scores = metasd_candidates_scores(candidates, predictor->scores);

        iterator = start_candidates(scores, candidates->ids, candidates->count,
                                    2 * (uint64)predictor->k, ids, scratch);
        write_answers(predictor, &iterator, &facts);
        pfree(scores);
    } else
        write_answers(predictor, &iterator, &facts);
    pfree(ids);
    pfree(scratch);
    pfree(facts.ids);
}

/* ---- the predictor ---- */

/*
 * Questions that are scored at once: so many that reading the image takes a small part of their
 * time. Their scores and queries have BYTES_AT_ONCE. So in a large graph there is one, and a check
 * for interrupts is no further away than it is there.
 */
#define MOST_AT_ONCE 32
#define BYTES_AT_ONCE ((size_t)4 << 20)

static uint32
count_at_once(const MetasdPredictor *predictor)
{
    uint32 width = predictor->question->image->plan.width;
    size_t bytes = predictor->n * sizeof(float) + metasd_query_batch_bytes(width, 1);

    return predictor->many ? (uint32)Max(Min(BYTES_AT_ONCE / bytes, MOST_AT_ONCE), 1) : 1;
}

void
metasd_predictor_start(MetasdPredictor *predictor)
{
    const MetasdImagePlan *plan = &predictor->question->image->plan;

    if (predictor->mode != METASD_KNOWN_INCLUDE && !metasd_question_has_source(predictor->question))
        predictor->mode = METASD_KNOWN_INCLUDE;
    predictor->n = predictor->asked == METASD_ASKED_RELATION ? plan->relations : plan->entities;
    predictor->most = count_at_once(predictor);
    predictor->room =
        palloc_extended((size_t)predictor->n * predictor->most * sizeof(float), MCXT_ALLOC_HUGE);
    predictor->scratch =
        palloc_extended(metasd_query_batch_bytes(plan->width, predictor->most), MCXT_ALLOC_HUGE);
}

void
metasd_predictor_score(const MetasdPredictor *predictor, uint32 (*ids)[2], uint32 count)
{
    const MetasdQuestion *question = predictor->question;
    bool tail = predictor->asked == METASD_ASKED_TAIL;
    MetasdAsk asks[MOST_AT_ONCE];

    for (uint32 i = 0; i < count; i++) /* heads are tails of the reciprocal relation */
        asks[i] = (MetasdAsk){.head = metasd_question_entity(question, ids[i][!tail]),
                              .relation = metasd_question_relation(question, ids[i][tail], !tail),
                              .scores = predictor->room + (size_t)i * predictor->n};
    metasd_query_scores_tails_of_batch(question->image, asks, count, predictor->scratch);
}

void
metasd_predictor_answer_scored(MetasdPredictor *predictor, const uint32 id[2], uint32 i)
{
    bool tail = predictor->asked == METASD_ASKED_TAIL;

    predictor->scores = predictor->room + (size_t)i * predictor->n;
    predictor->sigmoid = metasd_question_sigmoid(predictor->question, id[tail], !tail);
    write_best(predictor, id);
}

/* The scores of relations between two entities. */
static void
score_relations(MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdQuestion *question = predictor->question;
    const MetasdImage *image = question->image;

    predictor->scores = predictor->room;
    predictor->sigmoid = metasd_query_sigmoid(image, 2 * image->plan.relations);
    metasd_query_scores_relations_of(image, metasd_question_entity(question, id[0]),
                                     metasd_question_entity(question, id[1]), predictor->room,
                                     predictor->scratch);
}

void
metasd_predictor_answer(MetasdPredictor *predictor, const uint32 id[2])
{
    uint32 asked[1][2] = {{id[0], id[1]}};

    if (predictor->asked == METASD_ASKED_RELATION) {
        score_relations(predictor, id);
        write_best(predictor, id);
    } else {
        metasd_predictor_score(predictor, asked, 1);
        metasd_predictor_answer_scored(predictor, id, 0);
    }
}

void
metasd_predictor_end(MetasdPredictor *predictor)
{
    pfree(predictor->room);
    pfree(predictor->scratch);
}
