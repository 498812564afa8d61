/*
 * call_site.h - what the functions that ask a model share: its image, and identifiers as labels.
 */
#ifndef METASD_PG_SERVE_CALL_SITE_H
#define METASD_PG_SERVE_CALL_SITE_H

#include "pg/base/compat.h"

#include "pg/image/image_cache.h"
#include "pg/catalog/catalog.h"
#include "pg/source/labelset.h"

#define METASD_MOST_IDENTIFIERS 4

/* A type of identifiers that are given. */
typedef struct MetasdIdentifier {
    Oid type;        /* its domain looked through; InvalidOid before it is prepared */
    FmgrInfo output; /* what it writes is the label */
} MetasdIdentifier;

/* A type that labels become values of. */
typedef struct MetasdWritten {
    Oid type; /* InvalidOid before it is prepared */
    Oid parameter;
    FmgrInfo input;
} MetasdWritten;

/* Kept in fn_extra for one call site of one query. */
typedef struct MetasdCallSite {
    MetasdIdentifier given[METASD_MOST_IDENTIFIERS]; /* a place of its own for each argument */
    MetasdWritten written[2];                        /* of entities, and of relations */
    bool noticed;     /* a NOTICE about what is not there has been given */
    bool source_seen; /* it has been seen whether another relation has its name */
    /* of which run the source was as it should be, and when; trust.h */
    uint64 source_fine;
    int64 source_of;
    struct MetasdCandidateList *chosen; /* candidates.c */
    struct MetasdKnownWhole *whole;     /* known_whole.c */
} MetasdCallSite;

extern MetasdCallSite *metasd_call_site(FunctionCallInfo fcinfo);

/* Prepares place N of a call site for identifiers of that type. */
extern MetasdIdentifier *metasd_identifier(FunctionCallInfo fcinfo, int n, Oid type);

/* The label of an identifier; in the current memory context, or the value's own bytes. */
extern MetasdLabel metasd_identifier_label(MetasdIdentifier *identifier, Datum value);

/* The label that argument N stands for. */
extern MetasdLabel metasd_identifier_argument(FunctionCallInfo fcinfo, int n);

/* An answer as a value of TYPE; an error that says how to ask, if it cannot be one. */
extern Datum metasd_identifier_answer(FunctionCallInfo fcinfo, Oid type, MetasdLabel label);

/* The same of an identifier that a question gave as a label. */
extern Datum metasd_identifier_given(FunctionCallInfo fcinfo, Oid type, MetasdLabel label,
                                     bool relation);

/* ---- questions ---- */

typedef struct MetasdQuestion {
    FunctionCallInfo fcinfo;
    MetasdModel *model;
    const MetasdImage *image;
} MetasdQuestion;

/* The model that argument MODEL_ARGUMENT names, or the one to ask without a name. */
extern MetasdQuestion metasd_question_open(FunctionCallInfo fcinfo, int model_argument);

static inline const MetasdLabelTable *
metasd_question_labels(const MetasdQuestion *question, bool relation)
{
    return relation ? &question->image->relation_labels : &question->image->entity_labels;
}

/*
 * The number of an entity or relation; a NOTICE, one a statement, and false if the model does not
 * know it.
 */
extern bool metasd_question_find(const MetasdQuestion *question, MetasdLabel label, bool relation,
                                 uint32 *id);

/* Has this statement given no NOTICE yet? To be followed by one. */
extern bool metasd_question_may_notice(const MetasdQuestion *question);

/* A hint about a label that the model does not know as that: what may have been meant. */
extern char *metasd_question_hint(const MetasdQuestion *question, MetasdLabel label, bool relation);

/* Is there a source to look known facts up in? If not: a NOTICE, one a statement. */
extern bool metasd_question_has_source(const MetasdQuestion *question);

/* ---- arguments ---- */

extern bool metasd_call_any_null(FunctionCallInfo fcinfo, int first, int end);

/* Argument N as a number of answers. */
extern uint32 metasd_call_limit(FunctionCallInfo fcinfo, int n);

#endif
