/*
 * trust.h - whether reading a relation runs code of somebody who must not act as the reader.
 *
 * The planner and the executor run functions that owners of relations have chosen: in views, in
 * expressions and predicates of indexes, in policies, in statistics, in partition keys and in
 * generated columns. They run with the rights of the role that reads. So a role reads only what it
 * may be trusted with: each function must be chosen and owned by that role itself, by a superuser,
 * or by a member of that role, who could act as it in any case. What others chose is allowed
 * only where it can do nothing but compute: functions of PostgreSQL's own that are immutable, or
 * stable and of plain types.
 */
#ifndef METASD_PG_SOURCE_TRUST_H
#define METASD_PG_SOURCE_TRUST_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"

/* May code of role OWNER run with the rights of READER? */
extern bool metasd_trusts(Oid reader, Oid owner);

/*
 * Why READER must not read the relation: a whole sentence, palloc'd; NULL if it may. All that is
 * reached gets locked, and is added to *REACHED, a list of OIDs. A superuser reads only relations
 * of superusers: whatever could be added to another's between this look and the planner's.
 */
extern char *metasd_trust_objection(Oid reader, Oid relation, List **reached);

/* The same for the query QUERY itself, not for the relations that it reads. */
extern char *metasd_trust_query_objection(Oid reader, Node *query);

/*
 * A number that changes whenever a relation, a schema, a role, a type or a function may have
 * changed: what was found before that has to be looked at again.
 */
extern uint64 metasd_trust_generation(void);

#endif
