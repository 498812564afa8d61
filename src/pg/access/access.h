/*
 * access.h - whose a model is, who may ask it, and which one is meant.
 */
#ifndef METASD_PG_ACCESS_ACCESS_H
#define METASD_PG_ACCESS_ACCESS_H

#include "pg/base/compat.h"

#include "pg/catalog/catalog.h"

/* Owner, or a member of the owner's role; a superuser where the owner is gone. */
extern bool metasd_access_is_mine(const MetasdModel *model);

/* An error unless it is the current user's. */
extern void metasd_access_check_mine(const MetasdModel *model);

/* The role that owns it; an error if that does not exist any more. */
extern Oid metasd_access_owner(const MetasdModel *model);

/* May the current user ask this model? */
extern bool metasd_access_may_ask(const MetasdModel *model);

/*
 * The model to ask: NAME, else the setting metasd.model, else the only one the
 * current user may ask. Errors name the models there are.
 */
extern MetasdModel *metasd_access_model_to_ask(const char *name);

/*
 * The model of that name, locked, for its owner to change; errors where it is not there, with HINT
 * or else the names of those that are, or where it is not the current user's.
 */
extern MetasdModel *metasd_access_model_to_change(const char *name, const char *hint);

/* Refuses what needs a primary, on a standby; and what writes, in a transaction that must not. */
extern void metasd_access_check_primary(const char *function);
extern void metasd_access_check_writable(const char *function);

/* Raises the error for a model that is not there, naming those there are. */
extern _Noreturn void metasd_access_unknown_model(const char *name);

#endif
