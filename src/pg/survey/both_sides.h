/*
 * both_sides.h - how probable a triple is that no fact states, from both of its questions.
 *
 * A triple answers (head, relation, ?) and (?, relation, tail), and has a probability as an answer
 * to each. A probability of kg_predict is that of an answer if the question has a missing answer,
 * but most questions of a graph have none. How many a question lacks depends on how many are known
 * (core/model/growth.h). So the key of a triple is
 *
 *     log p(tail) + log p(head) + 0.4 (log g(head, relation) + log g(relation, tail)),
 *
 * g being in proportion to what the question lacks; 0.4 did best on several graphs. calibration.h
 * turns keys into probabilities.
 */
#ifndef METASD_PG_SURVEY_BOTH_SIDES_H
#define METASD_PG_SURVEY_BOTH_SIDES_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/survey/asking.h"
#include "pg/survey/newcomer_list.h"
#include "pg/survey/question_file.h"

typedef struct MetasdBothSides MetasdBothSides;

/*
 * FILE has the questions of both sides. NEWCOMERS may be NULL; else a triple may have some of these
 * (newcomer_list.h), and all answers to a question may be given that are in the image.
 */
extern MetasdBothSides *metasd_both_sides_create(const MetasdImage *image, MetasdQuestionFile *file,
                                                 MetasdNewcomerList *newcomers);

/* Asks a question: metasd_asking_begin. NULL if no answer is possible and not known. */
extern MetasdAsking *metasd_both_sides_ask(MetasdBothSides *both,
                                           const MetasdSweepQuestion *question);

/* Is the other question of the triple with answer ID in the file? */
extern bool metasd_both_sides_asks(const MetasdBothSides *both, uint32 id);

/* An answer of a lower probability makes no triple with that key. */
extern double metasd_both_sides_least(const MetasdBothSides *both, float key);

/* The key of the triple with answer ID is not above this. PROBABILITY is that of the answer. */
extern float metasd_both_sides_bound(const MetasdBothSides *both, double probability, uint32 id);

/*
 * The key of the triple with answer ID, which is not known. May ask the other question. -INFINITY
 * if the triple is impossible.
 */
extern float metasd_both_sides_key(MetasdBothSides *both, double probability, uint32 id);

/*
 * The same of the triple whose answer ID is a newcomer. It is one more candidate, beside all of the
 * image, as in kg_predict.
 */
extern float metasd_both_sides_key_of_newcomer(MetasdBothSides *both, uint32 id);

/*
 * The key that the fact with known answer number I would have if it was not known: the training has
 * not seen it.
 */
extern float metasd_both_sides_key_of_known(MetasdBothSides *both, uint32 i);

#endif
