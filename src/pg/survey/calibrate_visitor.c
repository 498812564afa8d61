#include "pg/survey/calibrate_visitor.h"

#include <math.h>

#include "core/base/random.h"
#include "pg/survey/both_sides.h"
#include "pg/survey/unseen.h"

/* A candidate whose key is at most x is taken with probability this x e^x. */
#define CANDIDATE_RATE 2.0f

/* Uses of random numbers. */
enum { DRAW_QUESTION = 1, DRAW_TRIPLE, DRAW_ORDER };

/* A random number, 0 to 1, of three numbers. */
static double
draw(uint64 use, uint32 a, uint32 b, uint32 c)
{
    uint64 bits = metasd_random(use, (uint64)a << 32 | b, c);

    return (double)(bits >> 11) * 0x1p-53;
}

void
metasd_calibrate_visitor_start(MetasdVisitor *visitor)
{
    visitor->state = metasd_both_sides_create(visitor->image, visitor->file, NULL);
}

/* Offers a sample that stands for WEIGHT triples. */
static void
offer_sample(MetasdVisitor *visitor, const uint32 id[3], float key, double weight, bool fact)
{
    MetasdScoredTriple triple = {.id = {id[0], id[1], id[2]}};

    if (key < METASD_LEAST_SAMPLED_KEY)
        return;
    triple.key = (float)draw(DRAW_ORDER, id[0], id[1], id[2]);
    triple.value[METASD_SAMPLED_KEY] = key;
    triple.value[METASD_SAMPLED_WEIGHT] = (float)weight;
    triple.value[METASD_SAMPLED_FACT] = fact;
    metasd_best_triples_offer(&visitor->best, &triple);
}

/* Is a fact taken? */
static bool
takes_fact(const MetasdVisitor *visitor, const uint32 id[3])
{
    const MetasdCalibrateParameters *parameters = visitor->parameters;

    return draw(DRAW_TRIPLE, id[0], id[1], id[2]) < parameters->facts &&
           metasd_unseen_is(visitor->image, parameters->fraction, id);
}

static void
sample_candidates(MetasdVisitor *visitor, MetasdAsking *asking)
{
    const MetasdCalibrateParameters *parameters = visitor->parameters;
    MetasdBothSides *both = visitor->state;
    uint32 id[3] = {asking->question->entity, asking->question->row};
    uint32 n =
        metasd_asking_select(asking, metasd_both_sides_least(both, METASD_LEAST_SAMPLED_KEY));

    for (uint32 i = 0; i < n; i++) {
        double probability = metasd_asking_probability(asking, asking->ids[i]);
        double bound = (double)metasd_both_sides_bound(both, probability, asking->ids[i]);
        double rate = Min(CANDIDATE_RATE * exp(bound), 1);

        id[2] = asking->ids[i];
        if (bound < (double)METASD_LEAST_SAMPLED_KEY ||
            draw(DRAW_TRIPLE, id[0], id[1], id[2]) >= rate)
            continue;
        offer_sample(visitor, id, metasd_both_sides_key(both, probability, id[2]),
                     1 / (rate * parameters->questions), false);
        CHECK_FOR_INTERRUPTS();
    }
}

/* Without its last fact a question would not be asked, so that does not count. */
static void
sample_facts(MetasdVisitor *visitor, const MetasdSweepQuestion *question, MetasdAsking **asking)
{
    const MetasdCalibrateParameters *parameters = visitor->parameters;
    MetasdBothSides *both = visitor->state;

    for (uint32 i = 0; i < question->count && question->count > 1; i++) {
        uint32 id[3] = {question->entity, question->row, question->answers[i]};

        if (!takes_fact(visitor, id))
            continue;
        if (!*asking && !(*asking = metasd_both_sides_ask(both, question)))
            return;
        offer_sample(visitor, id, metasd_both_sides_key_of_known(both, i), 1 / parameters->facts,
                     true);
        CHECK_FOR_INTERRUPTS();
    }
}

void
metasd_calibrate_visitor_visit(MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    const MetasdCalibrateParameters *parameters = visitor->parameters;
    MetasdAsking *asking = NULL;

    if (question->count == 0)
        return;
    sample_facts(visitor, question, &asking);
    if (draw(DRAW_QUESTION, question->entity, question->row, 0) >= parameters->questions)
        return;
    if (!asking)
        asking = metasd_both_sides_ask(visitor->state, question);
    if (asking)
        sample_candidates(visitor, asking);
}
