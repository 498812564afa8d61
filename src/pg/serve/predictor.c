#include "pg/serve/predictor.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "core/ranking/best_first.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/ties.h"
#include "core/serve/query.h"
#include "pg/serve/identifier.h"
#include "pg/serve/known_answers.h"

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

static MetasdKnownAnswers
start_facts(const MetasdPredictor *predictor, const uint32 id[2])
{
    MetasdKnownAsk ask = {.question = predictor->question,
                          .asked = predictor->asked,
                          .given = predictor->given,
                          .candidates = &predictor->candidates,
                          .batch = predictor->facts,
                          .n = predictor->n,
                          .matters = predictor->mode != METASD_KNOWN_INCLUDE};

    return metasd_known_answers_start(&ask, id);
}

/* ---- candidates, best first ---- */

/* The number of candidates that are taken at once: the first time, and its growth. */
#define FIRST_PROBE 32
#define PROBE_GROWTH 4

/* More candidates than that are not looked up one by one: then the whole group is read. */
#define MOST_LOOKED_UP 100000

typedef struct Iterator {
    MetasdBestFirst best;
    const uint32 *placed; /* candidates come by their places; NULL: by their ids */
    uint32 *ids;          /* of the candidates taken so far */
    float *scores;        /* of these */
    uint32 taken;         /* their number */
    uint64 probe;         /* the number to take next */
} Iterator;

/* Memory for N candidates. */
typedef struct Buffers {
    uint32 *ids, *scratch;
    float *scores;
} Buffers;

static Buffers
allocate_buffers(size_t n)
{
    n = Max(n, 1);
    return (Buffers){.ids = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE),
                     .scratch = palloc_extended(2 * n * sizeof(uint32), MCXT_ALLOC_HUGE),
                     .scores = palloc_extended(n * sizeof(float), MCXT_ALLOC_HUGE)};
}

static void
free_buffers(const Buffers *buffers)
{
    pfree(buffers->ids);
    pfree(buffers->scratch);
    pfree(buffers->scores);
}

/*
 * Starts with N candidates of these scores, and takes at least PROBE of them at first. NUMBERS are
 * their ids; NULL: all compete.
 */
static Iterator
start_candidates(const float *scores, const uint32 *numbers, uint32 n, uint64 probe,
                 const Buffers *buffers)
{
    Iterator iterator = {
        .ids = buffers->ids, .scores = buffers->scores, .probe = Max(FIRST_PROBE, probe)};

    metasd_best_first_start(&iterator.best, n, scores, numbers, buffers->scratch);
    return iterator;
}

/* Takes more candidates and looks up their facts; false if there are no more. */
static bool
take_candidates(Iterator *iterator, MetasdKnownAnswers *facts)
{
    uint32 first = iterator->taken, id;
    float score;

    while (iterator->taken - first < iterator->probe &&
           metasd_best_first_next(&iterator->best, &id, &score)) {
        iterator->scores[iterator->taken] = score;
        iterator->ids[iterator->taken++] = iterator->placed ? iterator->placed[id] : id;
        CHECK_FOR_INTERRUPTS();
    }
    if (iterator->taken == first)
        return false;
    metasd_known_answers_look_up(
        facts, first == 0 && iterator->taken <= MOST_LOOKED_UP ? iterator->ids : NULL,
        iterator->taken);
    iterator->probe *= PROBE_GROWTH;
    return true;
}

/* ---- answers ---- */

static float
probability_of(const MetasdPredictor *predictor, float score)
{
    return (float)metasd_probability(predictor->sigmoid,
                                     metasd_probability_odds(&predictor->odds, score));
}

static MetasdLabel
label_of(const MetasdPredictor *predictor, uint32 id)
{
    return id < predictor->n ? metasd_question_label(predictor->question,
                                                     predictor->asked == METASD_ASKED_RELATION, id)
                             : predictor->candidates.list[id - predictor->n].label;
}

static void
put_answer(const MetasdPredictor *predictor, const MetasdAnswer *answer)
{
    FunctionCallInfo fcinfo = predictor->question->fcinfo;
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    int at = predictor->answer_column, last = result->setDesc->natts - 1;
    Datum values[METASD_MOST_COLUMNS];
    bool nulls[METASD_MOST_COLUMNS] = {false};
    MetasdLabel label = label_of(predictor, answer->id);

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
    for (uint32 i = 0; i < n; i++) {
        CHECK_FOR_INTERRUPTS();
        put_answer(predictor, &answers[i]);
    }
}

/* Shows the odds all entities or relations, best first, until the odds are known. */
static void
find_odds(MetasdPredictor *predictor, Iterator *iterator, MetasdKnownAnswers *facts)
{
    MetasdOdds *odds = &predictor->odds;

    metasd_probability_start(odds, predictor->scored, predictor->scores);
    while (!odds->found && take_candidates(iterator, facts))
        for (uint32 i = (uint32)odds->seen; i < iterator->taken; i++)
            metasd_probability_show(odds, iterator->scores[i], facts->ids[iterator->ids[i]]);
    if (odds->found && predictor->search_entities > 0)
        odds->sum += metasd_search_rest(&predictor->search, odds->first);
}

/*
 * Writes the best candidates that are possible, with or without known facts according to the mode.
 * Probabilities fall with the scores, so the first one that is too low ends the answers. Candidates
 * that tie come in the order of their ids, which is the order of the labels' bytes.
 */
static void
write_answers(MetasdPredictor *predictor, Iterator *iterator, MetasdKnownAnswers *facts)
{
    MetasdTies ties = {0};

    for (uint32 i = 0;
         ties.count < predictor->k && (i < iterator->taken || take_candidates(iterator, facts));
         i++) {
        uint32 id = iterator->ids[i];
        MetasdAnswer one = {.id = id, .score = iterator->scores[i], .known = facts->ids[id]};

        CHECK_FOR_INTERRUPTS();
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

/* The entity and the relation of a question about tails; heads are tails of the reciprocal. */
static MetasdAsk
ask_for_tails(const MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdQuestion *question = predictor->question;
    bool tail = predictor->asked == METASD_ASKED_TAIL;

    return (MetasdAsk){.head = metasd_question_entity(question, id[!tail]),
                       .relation = metasd_question_relation(question, id[tail], !tail)};
}

static size_t
count_candidates(const MetasdCandidates *candidates)
{
    return (size_t)candidates->count + candidates->newcomers;
}

/* The scores of the newcomers among the candidates. */
static void
score_newcomers(const MetasdPredictor *predictor, const uint32 id[2], float *scores)
{
    const MetasdCandidates *candidates = &predictor->candidates;
    const MetasdImage *image = predictor->question->image;
    MetasdAsk ask = ask_for_tails(predictor, id);
    int entity = predictor->asked == METASD_ASKED_HEAD;
    MetasdLabel given = predictor->given[entity];
    void *scratch = palloc(metasd_query_scratch_bytes(image->plan.width));

    for (uint32 i = 0; i < candidates->newcomers; i++) {
        MetasdGiven answer = {.row = candidates->list[i].row};
        MetasdLabel label = candidates->list[i].label;

        if (ask.head.row && label.len == given.len &&
            memcmp(label.data, given.data, given.len) == 0)
            answer.row = ask.head.row; /* the same one */
        scores[i] = metasd_query_score_of(image, ask.head, ask.relation, answer, scratch);
        CHECK_FOR_INTERRUPTS();
    }
    pfree(scratch);
}

/* The scores of the candidates that are given: exact, whichever entities were found. */
static float *
score_given(const MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdCandidates *candidates = &predictor->candidates;
    float *scores;

    if (predictor->search_entities == 0)
        scores = metasd_candidates_scores(candidates, predictor->scores);
    else {
        scores = palloc_extended(Max(count_candidates(candidates), 1) * sizeof(*scores),
                                 MCXT_ALLOC_HUGE);
        metasd_search_scores_of(&predictor->search, candidates->ids, candidates->count, scores);
    }
    if (candidates->newcomers > 0)
        score_newcomers(predictor, id, scores + candidates->count);
    return scores;
}

/* Adds newcomers that are no facts to what the odds are against, of all candidates. */
static void
add_odds_of_newcomers(MetasdPredictor *predictor, const MetasdKnownAnswers *facts,
                      const float *scores)
{
    MetasdOdds *odds = &predictor->odds;

    for (uint32 i = 0; i < predictor->candidates.newcomers; i++) {
        if (facts->newcomers[i] || scores[i] == METASD_IMPOSSIBLE)
            continue;
        if (!odds->found || scores[i] > odds->first) {
            odds->sum *= odds->found ? exp((double)odds->first - (double)scores[i]) : 0;
            odds->first = scores[i];
            odds->found = true;
        }
        odds->sum += exp((double)scores[i] - (double)odds->first);
    }
}

/* Writes the answers among the candidates that are given. */
static void
write_given(MetasdPredictor *predictor, const uint32 id[2], MetasdKnownAnswers *facts,
            const Buffers *buffers)
{
    const MetasdCandidates *candidates = &predictor->candidates;
    float *scores = score_given(predictor, id);
    Iterator iterator;

    add_odds_of_newcomers(predictor, facts, scores + candidates->count);
    iterator =
        start_candidates(scores, predictor->places ? predictor->places : candidates->ids,
                         (uint32)count_candidates(candidates), 2 * (uint64)predictor->k, buffers);
    iterator.placed = predictor->placed;
    write_answers(predictor, &iterator, facts);
    pfree(scores);
}

/*
 * Answers are ranked among the candidates. But their odds are against all entities: that other
 * entities are no candidates makes no answer more probable. Newcomers that are candidates count
 * there, too.
 */
static void
write_best(MetasdPredictor *predictor, const uint32 id[2])
{
    const MetasdCandidates *candidates = &predictor->candidates;
    MetasdKnownAnswers facts;
    Iterator iterator;
    Buffers buffers;

    if (predictor->k == 0)
        return;
    buffers = allocate_buffers(Max(predictor->scored, count_candidates(candidates)));
    facts = start_facts(predictor, id);
    iterator = start_candidates(predictor->scores, predictor->found, predictor->scored,
                                candidates->given ? 0 : 2 * (uint64)predictor->k, &buffers);
    find_odds(predictor, &iterator, &facts);
    if (candidates->given)
        write_given(predictor, id, &facts, &buffers);
    else
        write_answers(predictor, &iterator, &facts);
    free_buffers(&buffers);
    MemoryContextDelete(facts.context);
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

/*
 * The number of entities to score; 0: all. All are, too, if so many are candidates that it is
 * faster than to score these one by one.
 */
static uint32
count_searched(const MetasdPredictor *predictor)
{
    const MetasdCandidates *candidates = &predictor->candidates;
    uint32 entities = predictor->question->image->plan.entities;

    if (predictor->asked == METASD_ASKED_RELATION ||
        (candidates->given && candidates->count > entities / 64))
        return 0;
    return metasd_question_searched(predictor->question);
}

/* Is candidate ID of the image before a newcomer, by the bytes of their labels? */
static bool
is_before(const MetasdPredictor *predictor, uint32 id, const MetasdNewcomerCopy *newcomer)
{
    MetasdLabel label = metasd_question_label(predictor->question, false, id);
    uint32 len = Min(label.len, newcomer->label.len);
    int order = memcmp(label.data, newcomer->label.data, len);

    return order != 0 ? order < 0 : label.len < newcomer->label.len;
}

/* Merges the candidates of the image and the newcomers, both in the order of their labels. */
static void
place_candidates(MetasdPredictor *predictor)
{
    const MetasdCandidates *candidates = &predictor->candidates;
    size_t n = count_candidates(candidates);
    uint32 trained = 0, newcomer = 0;

    predictor->places = predictor->placed = NULL;
    if (candidates->newcomers == 0)
        return;
    predictor->places = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
    predictor->placed = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
    for (uint32 place = 0; place < n; place++)
        if (newcomer == candidates->newcomers ||
            (trained < candidates->count &&
             is_before(predictor, candidates->ids[trained], &candidates->list[newcomer]))) {
            predictor->placed[place] = candidates->ids[trained];
            predictor->places[trained++] = place;
        } else {
            predictor->placed[place] = predictor->n + newcomer;
            predictor->places[candidates->count + newcomer++] = place;
        }
}

void
metasd_predictor_start(MetasdPredictor *predictor)
{
    const MetasdImage *image = predictor->question->image;
    const MetasdImagePlan *plan = &image->plan;

    if (predictor->mode != METASD_KNOWN_INCLUDE && !metasd_question_has_source(predictor->question))
        predictor->mode = METASD_KNOWN_INCLUDE;
    predictor->n = predictor->asked == METASD_ASKED_RELATION ? plan->relations : plan->entities;
    predictor->context = CurrentMemoryContext;
    predictor->search_entities = count_searched(predictor);
    predictor->found = NULL;
    predictor->found_scores = NULL;
    predictor->found_room = 0;
    predictor->room = NULL;
    place_candidates(predictor);
    if (predictor->search_entities > 0) {
        predictor->most = 1;
        predictor->scratch = palloc(metasd_search_bytes(plan));
        metasd_search_start(&predictor->search, image, predictor->scratch);
        return;
    }
    predictor->most = count_at_once(predictor);
    predictor->room =
        palloc_extended((size_t)predictor->n * predictor->most * sizeof(float), MCXT_ALLOC_HUGE);
    predictor->scratch =
        palloc_extended(metasd_query_batch_bytes(plan->width, predictor->most), MCXT_ALLOC_HUGE);
}

void
metasd_predictor_score(const MetasdPredictor *predictor, uint32 (*ids)[2], uint32 count)
{
    MetasdAsk asks[MOST_AT_ONCE];

    if (predictor->search_entities > 0)
        return; /* each question finds its own entities */
    for (uint32 i = 0; i < count; i++) {
        asks[i] = ask_for_tails(predictor, ids[i]);
        asks[i].scores = predictor->room + (size_t)i * predictor->n;
    }
    metasd_query_scores_tails_of_batch(predictor->question->image, asks, count, predictor->scratch);
}

/* Scores some entities, those that promise most. */
static void
score_found(MetasdPredictor *predictor, const MetasdAsk *ask)
{
    MetasdSearch *search = &predictor->search;
    size_t room =
        metasd_search_tails_of(search, ask->head, ask->relation, predictor->search_entities);

    if (room > predictor->found_room) {
        if (predictor->found) {
            pfree(predictor->found_scores);
            pfree(predictor->found);
        }
        predictor->found_room = room + room / 2;
        predictor->found_scores =
            MemoryContextAllocHuge(predictor->context, predictor->found_room * sizeof(float));
        predictor->found =
            MemoryContextAllocHuge(predictor->context, predictor->found_room * sizeof(uint32));
    }
    predictor->scored = metasd_search_scores(search, predictor->found_scores, predictor->found);
    predictor->scores = predictor->found_scores;
}

void
metasd_predictor_answer_scored(MetasdPredictor *predictor, const uint32 id[2], uint32 i)
{
    bool tail = predictor->asked == METASD_ASKED_TAIL;

    if (predictor->search_entities > 0) {
        MetasdAsk ask = ask_for_tails(predictor, id);

        score_found(predictor, &ask);
    } else {
        predictor->scores = predictor->room + (size_t)i * predictor->n;
        predictor->scored = predictor->n;
    }
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
    predictor->scored = predictor->n;
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
    if (predictor->room)
        pfree(predictor->room);
    if (predictor->found) {
        pfree(predictor->found_scores);
        pfree(predictor->found);
    }
    if (predictor->places) {
        pfree(predictor->places);
        pfree(predictor->placed);
    }
    pfree(predictor->scratch);
}
