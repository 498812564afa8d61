#include "pg/survey/suspect_visitor.h"

#include <math.h>

#include "core/base/exp.h"
#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "core/serve/own_pull.h"
#include "pg/survey/unseen.h"

/* Log odds are within these bounds: of what the model rules out, or if nothing competes. */
#define MOST_ODDS 100.0

/* Usual deviations are at least this, so that one can divide by them. */
#define LEAST_DEVIATION 1e-3

/* Uses of random numbers. */
enum { DRAW_SAMPLE = 1, DRAW_ORDER };

typedef struct State {
    MetasdOwnPull own;
    float *scores; /* N */
} State;

void
metasd_suspect_visitor_start(MetasdVisitor *visitor)
{
    const MetasdImagePlan *plan = &visitor->image->plan;
    const MetasdSuspectParameters *parameters = visitor->parameters;
    State *state = palloc(sizeof(*state));

    state->scores = palloc_extended((Size)plan->entities * sizeof(float), MCXT_ALLOC_HUGE);
    metasd_own_pull_start(&state->own, visitor->image, metasd_suspect_energies(visitor->parameters),
                          parameters->step, palloc(metasd_own_pull_bytes(plan->width)));
    visitor->state = state;
}

/* A random number, 0 to 1, of a triple. */
static double
draw(uint64 use, const uint32 id[3])
{
    return (double)(metasd_random(use, (uint64)id[0] << 32 | id[1], id[2]) >> 11) * 0x1p-53;
}

/* ---- judging a triple ---- */

/* The candidate of the highest score, or METASD_ANY. */
static uint32
find_best(const float *scores, uint32 n)
{
    uint32 best = 0;

    for (uint32 i = 1; i < n; i++)
        if (scores[i] > scores[best])
            best = i;
    return scores[best] > METASD_IMPOSSIBLE ? best : METASD_ANY;
}

MetasdSuspectPlace
metasd_suspect_visitor_place(float *scores, uint32 n, const MetasdSweepQuestion *known, uint32 own,
                             float score)
{
    MetasdRankCounts counts = {.score = score};
    MetasdSuspectPlace place = {.rank = 1, .odds = MOST_ODDS};

    if (own != METASD_ANY && scores[own] == METASD_IMPOSSIBLE)
        counts.score = METASD_IMPOSSIBLE;
    if (own != METASD_ANY)
        scores[own] = METASD_LEFT_OUT;
    for (uint32 i = 0; known && i < known->count; i++)
        scores[known->answers[i]] = METASD_LEFT_OUT;
    place.best = find_best(scores, n);
    if (place.best == METASD_ANY)
        return place;
    metasd_rank_counts(n, scores, 1, &counts);
    place.rank = 1 + (uint32)counts.higher;
    place.odds = (double)counts.score - (double)scores[place.best] -
                 log(metasd_exp_sum(n, scores, scores[place.best]));
    place.odds = Min(Max(place.odds, -MOST_ODDS), MOST_ODDS);
    return place;
}

/* The place of the triple that has been read among the answers that are not known. */
static MetasdSuspectPlace
find_place(MetasdVisitor *visitor, MetasdPullSides side)
{
    State *state = visitor->state;
    const uint32 *id = state->own.id;
    bool tails = side == METASD_PULL_TAILS;
    uint32 row = tails ? id[1] : id[1] + visitor->image->plan.relations;
    const MetasdSweepQuestion *known =
        metasd_question_file_find(visitor->file, row, id[tails ? 0 : 2]);
    float score = metasd_own_pull_scores(&state->own, side, state->scores);

    return metasd_suspect_visitor_place(state->scores, visitor->image->plan.entities, known,
                                        id[tails ? 2 : 0], score);
}

static bool
is_unseen(const MetasdVisitor *visitor, const uint32 id[3])
{
    const MetasdSuspectParameters *parameters = visitor->parameters;

    return metasd_unseen_is(visitor->image, parameters->unseen, id);
}

/* Judges a fact in both questions. */
static void
judge(MetasdVisitor *visitor, const uint32 id[3], bool unseen, MetasdSuspectPlace places[2])
{
    State *state = visitor->state;

    metasd_own_pull_read(&state->own, id[0], id[1], id[2]);
    if (!unseen)
        metasd_own_pull_take_out(&state->own);
    places[0] = find_place(visitor, METASD_PULL_TAILS);
    CHECK_FOR_INTERRUPTS();
    places[1] = find_place(visitor, METASD_PULL_HEADS);
    CHECK_FOR_INTERRUPTS();
}

/* ---- the sample ---- */

static void
offer_sample(MetasdVisitor *visitor, const uint32 id[3], bool unseen)
{
    MetasdScoredTriple triple = {.id = {id[0], id[1], id[2]}};
    MetasdSuspectPlace places[2];

    triple.key = (float)draw(DRAW_ORDER, id);
    if (triple.key < metasd_best_triples_least(&visitor->best))
        return;
    judge(visitor, id, unseen, places);
    for (int side = 0; side < 2; side++)
        triple.value[METASD_SUSPECT_ODDS + side] = (float)places[side].odds;
    triple.value[METASD_SUSPECT_UNSEEN] = unseen;
    metasd_best_triples_offer(&visitor->best, &triple);
}

void
metasd_suspect_visitor_sample(MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    const MetasdSuspectParameters *parameters = visitor->parameters;
    double sampled = parameters->usual[question->row].sampled;

    for (uint32 i = 0; i < question->count; i++) {
        uint32 id[3] = {question->entity, question->row, question->answers[i]};
        double drawn = draw(DRAW_SAMPLE, id);
        bool unseen;

        if (drawn >= Max(sampled, parameters->sampled_unseen))
            continue;
        unseen = is_unseen(visitor, id);
        if (drawn < (unseen ? Max(sampled, parameters->sampled_unseen) : sampled))
            offer_sample(visitor, id, unseen);
    }
}

/* ---- all facts ---- */

/* The deviation of these log odds, as a tail and as a head. */
static float
find_deviation(const MetasdUsual *usual, const double odds[2])
{
    double off[2], most;

    for (int side = 0; side < 2; side++)
        off[side] = (usual->mean[side] - odds[side]) / Max(usual->deviation[side], LEAST_DEVIATION);
    most = Max(off[0], off[1]);
    return (float)(most + log((exp(off[0] - most) + exp(off[1] - most)) / 2));
}

void
metasd_suspect_visitor_complete(MetasdScoredTriple *triple, const MetasdUsual *usual,
                                const MetasdSuspectPlace places[2])
{
    triple->key = find_deviation(usual, (const double[2]){places[0].odds, places[1].odds});
    for (int side = 0; side < 2; side++) {
        triple->number[METASD_SUSPECT_TAIL_RANK + side] = places[side].rank;
        triple->number[METASD_SUSPECT_BEST_TAIL + side] = places[side].best;
    }
}

void
metasd_suspect_visitor_visit(MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    const MetasdSuspectParameters *parameters = visitor->parameters;

    for (uint32 i = 0; i < question->count; i++) {
        MetasdScoredTriple triple = {.id = {question->entity, question->row, question->answers[i]}};
        MetasdSuspectPlace places[2];

        judge(visitor, triple.id, is_unseen(visitor, triple.id), places);
        metasd_suspect_visitor_complete(&triple, &parameters->usual[question->row], places);
        metasd_best_triples_offer(&visitor->best, &triple);
    }
}
