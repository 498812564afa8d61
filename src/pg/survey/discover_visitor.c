#include "pg/survey/discover_visitor.h"

#include <math.h>

#include "core/serve/query.h"
#include "pg/survey/both_sides.h"

typedef struct Discoverer {
    const MetasdDiscoverParameters *parameters;
    MetasdBothSides *both;
    const float *shift; /* of each relation */
    bool *chosen;       /* entities that may be answers; NULL: all */
    void *scratch;
} Discoverer;

void
metasd_discover_visitor_start(MetasdVisitor *visitor)
{
    const MetasdImagePlan *plan = &visitor->image->plan;
    const MetasdDiscoverParameters *parameters = visitor->parameters;
    Discoverer *discoverer = palloc0(sizeof(*discoverer));

    discoverer->parameters = parameters;
    discoverer->shift = (const float *)parameters->rest;
    discoverer->both = metasd_both_sides_create(visitor->image, visitor->file, NULL);
    discoverer->scratch = palloc(metasd_query_scratch_bytes(plan->width));
    if (parameters->chosen) {
        discoverer->chosen = palloc_extended(plan->entities, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
        for (uint32 i = 0; i < parameters->count; i++)
            discoverer->chosen[parameters->rest[plan->relations + i]] = true;
    }
    visitor->state = discoverer;
}

static bool
counts(const MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    const Discoverer *discoverer = visitor->state;
    const MetasdDiscoverParameters *parameters = discoverer->parameters;
    uint32 relation = question->row % visitor->image->plan.relations;

    return (parameters->relation == METASD_ANY || parameters->relation == relation) &&
           (parameters->entity == METASD_ANY || parameters->entity == question->entity);
}

/* Offers the triple with answer ID, whose probability is given. */
static void
offer_answer(MetasdVisitor *visitor, const MetasdAsking *asking, uint32 id, double probability,
             float shift)
{
    Discoverer *discoverer = visitor->state;
    const MetasdSweepQuestion *question = asking->question;
    uint32 relations = visitor->image->plan.relations;
    MetasdScoredTriple triple = {.id = {question->entity, question->row, id}};
    float score = asking->scores[id];

    triple.key = metasd_both_sides_key(discoverer->both, probability, id) + shift;
    if (triple.key < metasd_best_triples_least(&visitor->best) || triple.key == -INFINITY)
        return;
    if (question->row >= relations) { /* heads have been asked for */
        triple.id[0] = id;
        triple.id[1] = question->row - relations;
        triple.id[2] = question->entity;
        score = metasd_query_score(visitor->image, triple.id[0], triple.id[1], triple.id[2],
                                   discoverer->scratch);
    }
    triple.value[METASD_DISCOVERED_SCORE] = score;
    metasd_best_triples_offer(&visitor->best, &triple);
}

/* Answers whose probability is too low for the least key are not looked at. */
void
metasd_discover_visitor_visit(MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    Discoverer *discoverer = visitor->state;
    MetasdBothSides *both = discoverer->both;
    bool heads = question->row >= visitor->image->plan.relations;
    float shift = discoverer->shift[question->row % visitor->image->plan.relations];
    MetasdAsking *asking;
    uint32 n;

    if (!counts(visitor, question) || !(asking = metasd_both_sides_ask(both, question)))
        return;
    n = metasd_asking_select(
        asking, metasd_both_sides_least(both, metasd_best_triples_least(&visitor->best) - shift));
    for (uint32 i = 0; i < n; i++) {
        uint32 id = asking->ids[i];
        double probability;

        if ((discoverer->chosen && !discoverer->chosen[id]) ||
            (heads && discoverer->parameters->subjects && !metasd_both_sides_asks(both, id)))
            continue;
        probability = metasd_asking_probability(asking, id);
        if (metasd_both_sides_bound(both, probability, id) + shift <
            metasd_best_triples_least(&visitor->best))
            continue;
        CHECK_FOR_INTERRUPTS();
        offer_answer(visitor, asking, id, probability, shift);
    }
}
