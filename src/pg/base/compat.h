/*
 * compat.h - what differs between PostgreSQL 13 and 18.
 *
 * Included first by every file of src/pg, in the place of postgres.h.
 */
#ifndef METASD_PG_BASE_COMPAT_H
#define METASD_PG_BASE_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 130000
#error "metasd needs PostgreSQL 13 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 14: wait events have a header of their own. */
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif

/* 15: the names of an extension's settings can be kept from being misspelt. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/*
 * Prepares a set-returning function's tuplestore. 15 has InitMaterializedSRF, which leaves what it
 * works the row type out with in the query's memory: some 600 bytes a call.
 */
extern void metasd_compat_init_materialized_srf(FunctionCallInfo fcinfo);

/* 16: one function checks rights on objects of any kind but relations and their columns. */
#if PG_VERSION_NUM < 160000
#define metasd_schema_aclcheck(schema, role, mode) pg_namespace_aclcheck((schema), (role), (mode))
#else
#define metasd_schema_aclcheck(schema, role, mode)                                                 \
    object_aclcheck(NamespaceRelationId, (schema), (role), (mode))
#endif

#if PG_VERSION_NUM < 160000
#define metasd_owns_relation(relation, role) pg_class_ownercheck((relation), (role))
#else
#define metasd_owns_relation(relation, role)                                                       \
    object_ownercheck(RelationRelationId, (relation), (role))
#endif

/* 16: to be a member of a role is not all that it takes to become it. */
#if PG_VERSION_NUM < 160000
#define metasd_check_may_become(role) check_is_member_of_role(GetUserId(), (role))
#else
#define metasd_check_may_become(role) check_can_set_role(GetUserId(), (role))
#endif

/* 16: who reads sorted values says whether to copy them. */
#if PG_VERSION_NUM < 160000
#define metasd_tuplesort_getdatum(sort, value, isnull)                                             \
    tuplesort_getdatum((sort), true, (value), (isnull), NULL)
#else
#define metasd_tuplesort_getdatum(sort, value, isnull)                                             \
    tuplesort_getdatum((sort), true, false, (value), (isnull), NULL)
#endif

/* 17: a worker may connect as a role that has no LOGIN. */
#if PG_VERSION_NUM >= 170000
#define METASD_WORKER_NEEDS_LOGIN false
#define METASD_CONNECT_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define METASD_WORKER_NEEDS_LOGIN true
#define METASD_CONNECT_FLAGS 0
#endif

/* 17: a stronger lock may count, too. */
#if PG_VERSION_NUM < 170000
#define metasd_lock_is_held(tag, mode) LockHeldByMe((tag), (mode))
#else
#define metasd_lock_is_held(tag, mode) LockHeldByMe((tag), (mode), false)
#endif

/* 17: an extension can name what it waits for. */
#if PG_VERSION_NUM >= 170000
#define metasd_wait_event(name) WaitEventExtensionNew(name)
#else
#define metasd_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 17: what temporary files are called is said elsewhere. */
#if PG_VERSION_NUM >= 170000
#include "common/file_utils.h"
#endif

/* 14: whether there is an interrupt to serve. */
#ifndef INTERRUPTS_PENDING_CONDITION
#define INTERRUPTS_PENDING_CONDITION() (InterruptPending)
#endif

#endif
