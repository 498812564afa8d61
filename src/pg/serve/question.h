/*
 * question.h - the model that a function asks, its image, and notices about the question.
 */
#ifndef METASD_PG_SERVE_QUESTION_H
#define METASD_PG_SERVE_QUESTION_H

#include "pg/base/compat.h"

#include "core/serve/query.h"
#include "pg/catalog/model.h"
#include "pg/image/image_cache.h"
#include "pg/source/labelset.h"

typedef struct MetasdQuestion {
    FunctionCallInfo fcinfo;
    MetasdModel *model;
    const MetasdImage *image;
} MetasdQuestion;

/* Opens the model that argument MODEL_ARGUMENT names, or for NULL the default model. */
extern MetasdQuestion metasd_question_open(FunctionCallInfo fcinfo, int model_argument);

static inline const MetasdLabelTable *
metasd_question_labels(const MetasdQuestion *question, bool relation)
{
    return relation ? &question->image->relation_labels : &question->image->entity_labels;
}

/*
 * The number of an entity or relation. One that is not in the image may be a newcomer (newcomer.h),
 * whose number is above those of the image; a NOTICE says so, one per statement. If the model does
 * not know the label: false, and a NOTICE.
 */
extern bool metasd_question_find(const MetasdQuestion *question, MetasdLabel label, bool relation,
                                 uint32 *id);

static inline bool
metasd_question_is_new(const MetasdQuestion *question, bool relation, uint32 id)
{
    return id >= metasd_question_labels(question, relation)->count;
}

/* The label of an entity or relation, inside the image or of a newcomer. */
extern MetasdLabel metasd_question_label(const MetasdQuestion *question, bool relation, uint32 id);

/* An entity, or a relation or its reciprocal, as queries take it. */
extern MetasdGiven metasd_question_entity(const MetasdQuestion *question, uint32 id);
extern MetasdGiven metasd_question_relation(const MetasdQuestion *question, uint32 id,
                                            bool reciprocal);

/* The sigmoid of a relation or its reciprocal. */
extern MetasdSigmoid metasd_question_sigmoid(const MetasdQuestion *question, uint32 id,
                                             bool reciprocal);

/*
 * The number of entities that an approximate answer scores, at least; 0: all, the answer is exact.
 * That is so unless the setting metasd.search_entities says less and the image has clusters.
 */
extern uint32 metasd_question_searched(const MetasdQuestion *question);

/* May this statement give a NOTICE? True once, so the caller must give it. */
extern bool metasd_question_may_notice(const MetasdQuestion *question);

/* A hint about a label that the model does not know as an entity or relation. */
extern char *metasd_question_hint(const MetasdQuestion *question, MetasdLabel label, bool relation);

/* Can known facts be looked up in the source? If not: a NOTICE, one per statement. */
extern bool metasd_question_has_source(const MetasdQuestion *question);

#endif
