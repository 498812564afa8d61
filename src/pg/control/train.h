/*
 * train.h - what all functions share that train a model or import a version of it: a change of the
 * model's row, and a run.
 */
#ifndef METASD_PG_CONTROL_TRAIN_H
#define METASD_PG_CONTROL_TRAIN_H

#include "pg/catalog/model.h"

/* The arguments of a call; an argument that was not given is NULL or false. */
typedef struct MetasdRequest {
    const char *function; /* its name, for messages */
    const char *hint;     /* what to do if the model does not exist */
    char *name;
    bool source_given, validation_given;
    Oid source, validation; /* validation: InvalidOid, the regclass '-', means none */
    char *column[3];
    Jsonb *params;
} MetasdRequest;

/* Argument N of type text, or NULL. */
extern char *metasd_train_text(FunctionCallInfo fcinfo, int n);

/*
 * Returns the model, locked and changed as requested; what the request does not name is unchanged.
 * A model that does not exist is created if the request has a source. An error if a run of it is
 * alive.
 */
extern MetasdModel *metasd_train_request(const MetasdRequest *request);

/* B over A, member by member. */
extern Jsonb *metasd_train_merge(Jsonb *a, Jsonb *b);

/*
 * Remembers the changed model and starts a run of it. PARAMS are those of the run, if it has others
 * than the model remembers, or NULL; METRICS as in metasd_launch_run.
 */
extern int64 metasd_train_start(const MetasdModel *model, Jsonb *params, Jsonb *metrics);

#endif
