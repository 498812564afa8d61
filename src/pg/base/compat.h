/*
 * compat.h - the differences between PostgreSQL 13 and 18.
 *
 * Every file of src/pg includes it first, in the place of postgres.h.
 */
#ifndef METASD_PG_BASE_COMPAT_H
#define METASD_PG_BASE_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/shmem.h" /* add_size and mul_size, which utils/palloc.h has since 2026 */
#include "utils/guc.h"

#if PG_VERSION_NUM < 130000
#error "metasd needs PostgreSQL 13 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "varatt.h"
#endif

/* 14: wait events have a header of their own. */
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif

/* 15: MarkGUCPrefixReserved refuses misspelt names of an extension's settings. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/*
 * Prepares the tuplestore of a set-returning function. InitMaterializedSRF of version 15 would
 * leave about 600 bytes per call in the query's memory, which it needs to find the row type.
 */
extern void metasd_compat_init_materialized_srf(FunctionCallInfo fcinfo);

/* 16: one function checks rights on all kinds of objects except relations and columns. */
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

/* 16: a member of a role needs an option of the membership to SET ROLE to it. */
#if PG_VERSION_NUM < 160000
#define metasd_check_may_become(role) check_is_member_of_role(GetUserId(), (role))
#else
#define metasd_check_may_become(role) check_can_set_role(GetUserId(), (role))
#endif

/* 16: an argument tells whether to copy sorted values. */
#if PG_VERSION_NUM < 160000
#define metasd_tuplesort_getdatum(sort, value, isnull)                                             \
    tuplesort_getdatum((sort), true, (value), (isnull), NULL)
#define metasd_tuplesort_free(value) pfree(DatumGetPointer(value)) /* one that is a pointer */
#else
#define metasd_tuplesort_free(value) ((void)(value))
#define metasd_tuplesort_getdatum(sort, value, isnull)                                             \
    tuplesort_getdatum((sort), true, false, (value), (isnull), NULL)
#endif

/* 17: a worker may connect as a role without LOGIN. */
#if PG_VERSION_NUM >= 170000
#define METASD_WORKER_NEEDS_LOGIN false
#define METASD_CONNECT_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define METASD_WORKER_NEEDS_LOGIN true
#define METASD_CONNECT_FLAGS 0
#endif

/* 17: an argument tells whether a stronger lock counts, too. */
#if PG_VERSION_NUM < 170000
#define metasd_lock_is_held(tag, mode) LockHeldByMe((tag), (mode))
#else
#define metasd_lock_is_held(tag, mode) LockHeldByMe((tag), (mode), false)
#endif

/* 17: an extension can name its wait events. */
#if PG_VERSION_NUM >= 170000
#define metasd_wait_event(name) WaitEventExtensionNew(name)
#else
#define metasd_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 17: another header has the names of temporary files. */
#if PG_VERSION_NUM >= 170000
#include "common/file_utils.h"
#endif

/* 15: temporary files have other names, for a set of files without shared memory, too. */
#if PG_VERSION_NUM >= 150000
#define metasd_buffile_create(set, name) BufFileCreateFileSet(&(set)->fs, (name))
#define metasd_buffile_open(set, name) BufFileOpenFileSet(&(set)->fs, (name), O_RDONLY, false)
#define metasd_buffile_export(file) BufFileExportFileSet(file)
#define metasd_buffile_delete(set, name) BufFileDeleteFileSet(&(set)->fs, (name), false)
#else
#define metasd_buffile_create(set, name) BufFileCreateShared((set), (name))
#define metasd_buffile_export(file) BufFileExportShared(file)
#define metasd_buffile_delete(set, name) BufFileDeleteShared((set), (name))
#if PG_VERSION_NUM >= 140000
#define metasd_buffile_open(set, name) BufFileOpenShared((set), (name), O_RDONLY)
#else
#define metasd_buffile_open(set, name) BufFileOpenShared((set), (name))
#endif
#endif

/* 14: hints have plurals. */
#if PG_VERSION_NUM < 140000
#define errhint_plural(one, many, n, ...)                                                          \
    ((n) == 1 ? errhint((one), __VA_ARGS__) : errhint((many), __VA_ARGS__))
#endif

/* 14: INTERRUPTS_PENDING_CONDITION is new. */
#ifndef INTERRUPTS_PENDING_CONDITION
#define INTERRUPTS_PENDING_CONDITION() (InterruptPending)
#endif

#endif
