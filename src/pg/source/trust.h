/*
 * trust.h - whether reading a relation runs code of a role that must not act as the reader.
 *
 * The planner and the executor run functions that owners of relations have chosen: in views, in
 * expressions and predicates of indexes, in policies, in statistics, in partition keys and in
 * generated columns. These functions run with the rights of the role that reads. So a role reads a
 * relation only if it trusts whoever chose and whoever owns each function: the role itself, a
 * superuser, or a member of the role, who can act as the role in any case. Functions that other
 * roles chose are allowed only if they can do nothing but compute: functions of PostgreSQL that are
 * immutable, or stable and of plain types.
 */
#ifndef METASD_PG_SOURCE_TRUST_H
#define METASD_PG_SOURCE_TRUST_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"

/* May code of role OWNER run with the rights of READER? */
extern bool metasd_trusts(Oid reader, Oid owner);

/*
 * Returns the reason why READER must not read the relation, a whole sentence, palloc'd; NULL if it
 * may. Locks all relations that reading it reaches, and adds their OIDs to the list *REACHED. A
 * superuser reads only relations of superusers: an owner without these rights could add code
 * between this inspection and the planner's.
 */
extern char *metasd_trust_objection(Oid reader, Oid relation, List **reached);

/*
 * Does reading a relation run code that USER need not trust, whoever reads it? Locks what
 * it reaches.
 */
extern bool metasd_trust_meets_code(Oid user, Oid relation);

/* The same as metasd_trust_objection for a query, without the relations that it reads. */
extern char *metasd_trust_query_objection(Oid reader, Node *query);

/*
 * A number that changes whenever a relation, a schema, a role, a type, a function, an operator or a
 * user mapping may have changed. An older inspection is then out of date.
 */
extern uint64 metasd_trust_generation(void);

#endif
