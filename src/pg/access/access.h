/*
 * access.h - who owns a model, who may ask it, and which model a call means.
 */
#ifndef METASD_PG_ACCESS_ACCESS_H
#define METASD_PG_ACCESS_ACCESS_H

#include "pg/base/compat.h"

#include "pg/catalog/model.h"

/* Is the current user the owner, or a member of that role? If the owner is gone: a superuser? */
extern bool metasd_access_is_mine(const MetasdModel *model);

/* The role that owns the model; an error if that role does not exist any more. */
extern Oid metasd_access_owner(const MetasdModel *model);

/* May the current user ask this model? */
extern bool metasd_access_may_ask(const MetasdModel *model);

/*
 * The model to ask: NAME; if that is NULL, the setting metasd.model; if that is empty, the only
 * model that the current user may ask. Errors list the models.
 */
extern MetasdModel *metasd_access_model_to_ask(const char *name);

/*
 * The model of that name, locked, for its owner to change in a call of FUNCTION. Errors: on a
 * standby or in a transaction that may not write; if the model does not exist, with HINT or, if
 * that is NULL, with the names of the models; if the model does not belong to the current user.
 */
extern MetasdModel *metasd_access_model_to_change(const char *function, const char *name,
                                                  const char *hint);

/*
 * The model of a run, which must belong to the current user; *STATUS is the one in the run's row.
 */
extern MetasdModel *metasd_access_model_of_run(int64 run, char **status);

/* The same for a call of FUNCTION that starts the run again: metasd_access_model_to_change. */
extern MetasdModel *metasd_access_run_to_change(const char *function, int64 run);

/*
 * May the current user know the run? The rights are those on a model that this run serves. *WHY:
 * and why it has failed? The message may show what is in any of its relations.
 */
extern bool metasd_access_may_know_run(int64 run, bool *why);

/* An error on a standby, for a function that needs a primary. */
extern void metasd_access_check_primary(const char *function);

/* The same, and an error in a transaction that may not write. */
extern void metasd_access_check_writable(const char *function);

#endif
