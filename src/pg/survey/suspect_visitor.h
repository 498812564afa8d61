/*
 * suspect_visitor.h - how far facts are below what is usual for their relation, each by what the
 * other facts say.
 *
 * A fact's own pull is taken out of the rows that it reads (core/serve/own_pull.h), unless the
 * training held it out. Then it competes in both of its questions with all answers that are not
 * known: its log odds are those against all of them together. Some relations have many answers that
 * are as likely, others one; so log odds are compared with those of a sample of the relation's
 * facts, in the same direction: by how many of their standard deviations they are lower. The
 * deviation of the fact is a soft maximum of both: mostly one direction tells that a fact is wrong.
 */
#ifndef METASD_PG_SURVEY_SUSPECT_VISITOR_H
#define METASD_PG_SURVEY_SUSPECT_VISITOR_H

#include "pg/base/compat.h"

#include "pg/survey/visitor.h"

/* What is usual for a relation. */
typedef struct MetasdUsual {
    double sampled; /* the part of its facts to sample */
    /* Of the log odds of its facts, as tails and as heads; once they have been sampled: */
    double mean[2], deviation[2];
} MetasdUsual;

/* The parameters of all passes; the energies (own_energies.h) follow the relations. */
typedef struct MetasdSuspectParameters {
    double unseen;         /* the part of the facts that the training held out: unseen.h */
    double sampled_unseen; /* the part of these to sample, whatever their relation */
    float step;            /* of own_pull.h */
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
 * Offers sampled facts. The values are the log odds as a tail and as a head, and 1 for a fact that
 * the training held out.
 */
enum { METASD_SUSPECT_ODDS, METASD_SUSPECT_UNSEEN = 2 };

extern void metasd_suspect_visitor_sample(MetasdVisitor *visitor,
                                          const MetasdSweepQuestion *question);

/*
 * Offers all facts. The key is the deviation; the numbers are the places of the tail and the head
 * among what could stand there, and the best of those, or METASD_ANY if there is none.
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

/* ---- for facts that are not in a sweep ---- */

/* A triple in one of its questions. */
typedef struct MetasdSuspectPlace {
    double odds;
    uint32 rank;
    uint32 best; /* METASD_ANY: nothing competes */
} MetasdSuspectPlace;

/*
 * The place of an answer of that score among N entities, whose scores are set aside where they are
 * KNOWN; OWN is the answer's number, or METASD_ANY if it is none of these.
 */
extern MetasdSuspectPlace metasd_suspect_visitor_place(float *scores, uint32 n,
                                                       const MetasdSweepQuestion *known, uint32 own,
                                                       float score);

/* Fills in the key and the numbers of a triple, from its places as a tail and as a head. */
extern void metasd_suspect_visitor_complete(MetasdScoredTriple *triple, const MetasdUsual *usual,
                                            const MetasdSuspectPlace places[2]);

#endif
