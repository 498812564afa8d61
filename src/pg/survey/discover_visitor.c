#include "pg/survey/discover_visitor.h"

#include "pg/survey/asking.h"

void
metasd_discover_visitor_start(MetasdVisitor *visitor)
{
    visitor->state = metasd_asking_create(visitor->image);
}

/* The triple of a question and its answer. */
static MetasdScoredTriple
make_triple(const MetasdVisitor *visitor, const MetasdSweepQuestion *question, uint32 answer)
{
    uint32 relations = visitor->image->plan.relations;

    if (question->row < relations)
        return (MetasdScoredTriple){.id = {question->entity, question->row, answer}};
    return (MetasdScoredTriple){.id = {answer, question->row - relations, question->entity}};
}

/* Probabilities fall with the scores, so the first one that is too low ends the candidates. */
void
metasd_discover_visitor_visit(MetasdVisitor *visitor, const MetasdSweepQuestion *question)
{
    MetasdAsking *asking = visitor->state;
    uint32 id;

    if (metasd_asking_begin(asking, question))
        while (metasd_asking_next(asking, &id)) {
            MetasdScoredTriple triple = make_triple(visitor, question, id);

            triple.key = metasd_asking_probability(asking, asking->scores[id]);
            triple.value[METASD_DISCOVERED_SCORE] = asking->scores[id];
            if (triple.key < metasd_best_triples_least(&visitor->best))
                break;
            metasd_best_triples_offer(&visitor->best, &triple);
        }
    metasd_asking_finish(asking);
}
