/*
 * suspect_visitor.h - how far facts are below what is usual for their relation, each by what the
 * other facts say.
 *
 * A fact's own pull is taken out of the rows that it reads (core/serve/own_pull.h), unless the
 * training held it out. Then it competes in both of its questions with all answers that are not
 * known: its log odds are those of a softmax over it and them, and both are added. Some relations
 * have many answers that are as likely, others one; so the sum is compared with those of a sample
 * of the relation's facts. The deviation is by how many of their standard deviations it is lower.
 */
#ifndef METASD_PG_SURVEY_SUSPECT_VISITOR_H
#define METASD_PG_SURVEY_SUSPECT_VISITOR_H

#include "pg/base/compat.h"

#include "pg/survey/visitor.h"

/* What is usual for a relation. */
typedef struct MetasdUsual {
    double sampled;         /* the part of its facts to sample */
    double mean, deviation; /* of the log odds of its facts; once they have been sampled */
} MetasdUsual;

/* The parameters of both passes; the energies (own_energies.h) follow the relations. */
typedef struct MetasdSuspectParameters {
    double unseen;   /* the part of the facts that the training held out: unseen.h */
    double replaced; /* the part of the sampled facts of which a wrong one is made */
    uint32 relations;
    MetasdUsual usual[FLEXIBLE_ARRAY_MEMBER];
} MetasdSuspectParameters;

static inline Size
metasd_suspect_parameters_bytes(uint32 relations, Size energies)
{
    return add_size(add_size(offsetof(MetasdSuspectParameters, usual),
                             mul_size(relations, sizeof(MetasdUsual))),
                    energies);
}

static inline uint8 *
metasd_suspect_energies(const MetasdSuspectParameters *parameters)
{
    return (uint8 *)&parameters->usual[parameters->relations];
}

/*
 * Offers sampled facts, and some that are made wrong: with an entity drawn at random in the place
 * of the tail or the head. The values are the log odds, and 1 for a wrong one.
 */
enum { METASD_SUSPECT_ODDS, METASD_SUSPECT_WRONG };

extern void metasd_suspect_visitor_sample(MetasdVisitor *visitor,
                                          const MetasdSweepQuestion *question);

/*
 * Offers all facts. The key is the deviation; the values are the places of the tail and the head
 * among what could stand there, and the best of those, as metasd_suspect_entity reads them.
 */
enum {
    METASD_SUSPECT_TAIL_RANK,
    METASD_SUSPECT_HEAD_RANK,
    METASD_SUSPECT_BEST_TAIL,
    METASD_SUSPECT_BEST_HEAD
};

extern void metasd_suspect_visitor_visit(MetasdVisitor *visitor,
                                         const MetasdSweepQuestion *question);

extern void metasd_suspect_visitor_start(MetasdVisitor *visitor);

/* The entity that a value stands for, or METASD_ANY if there is none. */
extern uint32 metasd_suspect_entity(float value);

/* By how many deviations these log odds are lower than what is usual. */
extern float metasd_suspect_deviation(const MetasdUsual *usual, double odds);

#endif
