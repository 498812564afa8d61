/*
 * model.h - the rows of metasd.model, with the run that answers each model's questions.
 *
 * The functions that find models connect to SPI by themselves and return copies in the caller's
 * memory context. They see the snapshot of the caller's query, so all of an answer comes from one
 * version.
 */
#ifndef METASD_PG_CATALOG_MODEL_H
#define METASD_PG_CATALOG_MODEL_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "pg/catalog/reference.h"

/* The columns that kg_predict and the others need. */
typedef struct MetasdModel {
    char *name;
    Oid owner;        /* InvalidOid: the role has been dropped */
    char *owner_name; /* for messages */
    /* The relations and columns of its last training: */
    MetasdRemembered source, validation;
    char *column[3]; /* head, relation, tail */
    /* Those of the run that answers, if there is one. Roles that may read its source may ask. */
    MetasdRemembered serving_source, serving_validation;
    char *serving_column[3];
    /* Only if the model is locked: relations that have the remembered names now, or InvalidOid. */
    Oid source_named, validation_named;
    Jsonb *params; /* as the owner gave them */
    int64 serving; /* the run that answers, or 0 */
    int64 absent;  /* the run that should answer, but is not here as a version of the model; or 0 */
    pg_uuid_t uuid; /* of that run */
} MetasdModel;

/* The model of that name, or NULL. LOCK: its newest row, locked until the transaction ends. */
extern MetasdModel *metasd_model_find(const char *name, bool lock);

/* All models, in no order. */
extern List *metasd_model_all(void);

/*
 * Lets a version of the model serve after the transaction commits. The version that served before
 * becomes the one that kg_rollback returns to. The model's row must be locked, and SPI connected.
 */
extern void metasd_model_serve(const char *name, int64 run);

#endif
