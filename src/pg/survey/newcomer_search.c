#include "pg/survey/newcomer_search.h"

#include <math.h>

#include "utils/memutils.h"

#include "core/serve/query.h"
#include "pg/survey/both_sides.h"
#include "pg/survey/discover_visitor.h"

typedef struct State {
    const MetasdNewcomerSearch *search;
    const MetasdImage *image;
    uint32 entities;
    MetasdBothSides *both;
    MetasdBestTriples *best;
    bool *chosen; /* candidates of the image; NULL: all entities are */
    void *scratch;
    /* Of the relation that is asked for: */
    uint32 relation, tails, heads; /* its number and its rows */
    uint32 *degree;                /* of its questions for tails, newcomers included: above 0 if
                                      the entity is a subject */
    bool *like;                    /* the same of entities that are similar to subjects; or NULL */
    float shift;
} State;

bool
metasd_newcomer_search_names_one(const MetasdNewcomerSearch *search)
{
    const MetasdSubjectChoice *choice = &search->choice;
    const MetasdQuestion *question = search->question;

    return (choice->relation != METASD_ANY &&
            metasd_question_is_new(question, true, choice->relation)) ||
           (choice->head != METASD_ANY && metasd_question_is_new(question, false, choice->head)) ||
           (choice->tail != METASD_ANY && metasd_question_is_new(question, false, choice->tail));
}

/* ---- which triples count ---- */

/* Are the candidates heads? They are tails unless the tail is named. */
static bool
chooses_heads(const State *state)
{
    return state->search->choice.tail != METASD_ANY;
}

/* May an entity of the image be the head, or the tail? */
static bool
may_be(const State *state, bool head, uint32 id)
{
    const MetasdSubjectChoice *choice = &state->search->choice;
    uint32 named = head ? choice->head : choice->tail;

    if (named != METASD_ANY)
        return named == id;
    return !state->chosen || head != chooses_heads(state) || state->chosen[id];
}

/* The newcomers that may be the head, or the tail; returns their number. */
static uint32
list_newcomers(const State *state, bool head, const uint32 **ids)
{
    const MetasdSubjectChoice *choice = &state->search->choice;
    const uint32 *named = head ? &choice->head : &choice->tail;

    if (*named != METASD_ANY) {
        *ids = named;
        return *named >= state->entities;
    }
    *ids = state->search->ids;
    return head == chooses_heads(state) ? state->search->count : 0;
}

static bool
is_subject(const State *state, uint32 id)
{
    MetasdSweepQuestion question;

    if (state->search->choice.kind == METASD_SUBJECTS_ALL || state->degree[id] > 0 ||
        (state->like && state->like[id]))
        return true;
    /* A newcomer whose only answers are newcomers. */
    return id >= state->entities &&
           metasd_newcomer_list_find(state->search->newcomers, state->tails, id, &question);
}

/* ---- offering ---- */

static void
offer(State *state, const uint32 id[3], float key)
{
    const MetasdNewcomerList *newcomers = state->search->newcomers;
    MetasdScoredTriple triple = {.id = {id[0], id[1], id[2]}, .key = key};

    if (key < metasd_best_triples_least(state->best) || key == -INFINITY)
        return;
    triple.value[METASD_DISCOVERED_SCORE] = metasd_query_score_of(
        state->image, metasd_newcomer_list_entity(newcomers, state->image, id[0]),
        metasd_newcomer_list_row(newcomers, state->image, state->tails),
        metasd_newcomer_list_entity(newcomers, state->image, id[2]), state->scratch);
    metasd_best_triples_offer(state->best, &triple);
}

/* Offers the triples with an answer of the image that is not known. */
static void
offer_trained(State *state, MetasdAsking *asking, bool heads)
{
    uint32 given = asking->question->entity;
    uint32 n = metasd_asking_select(
        asking, metasd_both_sides_least(state->both,
                                        metasd_best_triples_least(state->best) - state->shift));

    for (uint32 i = 0; i < n; i++) {
        uint32 id = asking->ids[i];
        uint32 triple[3] = {heads ? id : given, state->relation, heads ? given : id};
        double probability;

        if (!may_be(state, heads, id) || (heads && !is_subject(state, id)))
            continue;
        probability = metasd_asking_probability(asking, id);
        if (metasd_both_sides_bound(state->both, probability, id) + state->shift <
            metasd_best_triples_least(state->best))
            continue;
        CHECK_FOR_INTERRUPTS();
        offer(state, triple, metasd_both_sides_key(state->both, probability, id) + state->shift);
    }
}

/* Offers the triples of HEAD whose tail is a newcomer, too. */
static void
offer_newcomers(State *state, uint32 head)
{
    const uint32 *ids;
    uint32 n = list_newcomers(state, false, &ids);

    for (uint32 i = 0; i < n; i++) {
        uint32 triple[3] = {head, state->relation, ids[i]};

        CHECK_FOR_INTERRUPTS();
        if (!metasd_newcomer_list_has(state->search->newcomers, state->tails, head, ids[i]))
            offer(state, triple,
                  metasd_both_sides_key_of_newcomer(state->both, ids[i]) + state->shift);
    }
}

/* ---- asking ---- */

/* Asks for the tails, or heads, of an entity. The relation or the entity is new. */
static void
ask(State *state, uint32 id, bool heads)
{
    MetasdSweepQuestion question;
    uint32 *answers; /* a copy: other questions are looked up meanwhile */
    MetasdAsking *asking;

    CHECK_FOR_INTERRUPTS();
    (void)metasd_newcomer_list_find(state->search->newcomers, heads ? state->heads : state->tails,
                                    id, &question);
    answers = palloc_extended(Max(question.count, 1) * sizeof(*answers), MCXT_ALLOC_HUGE);
    if (question.count > 0)
        memcpy(answers, question.answers, question.count * sizeof(*answers));
    question.answers = answers;
    asking = metasd_both_sides_ask(state->both, &question);
    if (asking)
        offer_trained(state, asking, heads);
    if (asking && !heads && id >= state->entities)
        offer_newcomers(state, id);
    pfree(answers);
}

/* Asks for the triples of one relation: each of these in one of its questions. */
static void
ask_relation(State *state)
{
    const uint32 *ids;
    uint32 n = list_newcomers(state, true, &ids);

    for (uint32 i = 0; i < n; i++)
        if (is_subject(state, ids[i]))
            ask(state, ids[i], false);
    n = list_newcomers(state, false, &ids);
    for (uint32 i = 0; i < n; i++)
        ask(state, ids[i], true);
    if (state->tails < 2 * state->image->plan.relations)
        return;
    for (uint32 id = 0; id < state->entities; id++)
        if (may_be(state, true, id) && is_subject(state, id))
            ask(state, id, false);
}

/* Marks what is similar to subjects of a new relation: those of others the sweep asks. */
static void
mark_like(State *state)
{
    const MetasdSubjectChoice *choice = &state->search->choice;
    uint32 relations = state->image->plan.relations;
    uint32 count = metasd_newcomer_list_count(state->search->newcomers, false);

    memset(state->like, 0, state->entities + count);
    if (state->relation >= relations)
        metasd_subjects_mark_like(state->search->question, state->degree, state->search->newcomers,
                                  state->like);
    for (uint32 i = 0; i < count && state->relation < relations; i++)
        state->like[state->entities + i] = choice->like[(Size)i * relations + state->relation];
}

static void
start_relation(State *state, uint32 relation)
{
    const MetasdNewcomerSearch *search = state->search;
    uint32 known = state->image->plan.relations;

    state->relation = relation;
    state->tails = metasd_newcomer_list_row_of(state->image, relation, false);
    state->heads = metasd_newcomer_list_row_of(state->image, relation, true);
    state->shift = relation < known ? search->shift[relation] : 0;
    memset(state->degree, 0,
           (Size)(state->entities + metasd_newcomer_list_count(search->newcomers, false)) *
               sizeof(*state->degree));
    if (relation < known)
        metasd_question_file_degrees(search->file, state->tails, state->degree);
    metasd_newcomer_list_degrees(search->newcomers, state->tails, state->degree);
    if (state->like)
        mark_like(state);
}

static State
create_state(const MetasdNewcomerSearch *search, MetasdBestTriples *best)
{
    const MetasdImage *image = search->question->image;
    Size n = (Size)image->plan.entities + metasd_newcomer_list_count(search->newcomers, false);
    State state = {.search = search,
                   .image = image,
                   .entities = image->plan.entities,
                   .best = best,
                   .both = metasd_both_sides_create(image, search->file, search->newcomers),
                   .scratch = palloc(metasd_query_scratch_bytes(image->plan.width)),
                   .degree = palloc_extended(n * sizeof(*state.degree), MCXT_ALLOC_HUGE)};

    if (search->choice.kind == METASD_SUBJECTS_LIKE)
        state.like = palloc_extended(n, MCXT_ALLOC_HUGE);
    if (search->candidates.given) {
        state.chosen = palloc_extended(n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
        for (uint32 i = 0; i < search->candidates.count; i++)
            state.chosen[search->candidates.ids[i]] = true;
    }
    return state;
}

void
metasd_newcomer_search_run(const MetasdNewcomerSearch *search, MetasdBestTriples *best)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd newcomers", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(context);
    State state = create_state(search, best);
    uint32 named = search->choice.relation;
    uint32 end = named == METASD_ANY ? state.image->plan.relations : named + 1;

    for (uint32 r = named == METASD_ANY ? 0 : named; r < end; r++) {
        start_relation(&state, r);
        ask_relation(&state);
    }
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
}
