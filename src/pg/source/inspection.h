/*
 * inspection.h - whether an expression calls code that must not run as a reader.
 *
 * It is about one node at a time: its functions, operators, types, and what these call in turn.
 * What holds the expressions, relations and queries, is for trust.h.
 */
#ifndef METASD_PG_SOURCE_INSPECTION_H
#define METASD_PG_SOURCE_INSPECTION_H

#include "pg/base/compat.h"

#include "nodes/pg_list.h"

/* May code of role OWNER run with the rights of READER? */
extern bool metasd_inspection_trusts(Oid reader, Oid owner);

/* An inspection of all code that reading a relation may run. It ends with the first objection. */
typedef struct MetasdInspection {
    Oid reader;
    List *reached; /* OIDs of relations */
    /* The relation whose expression is inspected, and its owner; InvalidOid: a query of our own. */
    Oid relation, chooser;
    bool met_others;  /* one whom the reader does not trust has chosen something, and may again */
    bool owners_read; /* a superuser does not read himself what another role owns */
    char *objection;  /* or NULL */
} MetasdInspection;

/* The name of a role for an objection. */
extern char *metasd_inspection_role(Oid role);

/* Does the reader trust the role that chose the expression? */
extern bool metasd_inspection_trusts_chooser(const MetasdInspection *inspection);

/* The others return true for an objection: code that making a value of the type runs; */
extern bool metasd_inspection_check_type(MetasdInspection *inspection, Oid type);

/* what the node itself runs, which is no query, without the nodes below it. */
extern bool metasd_inspection_check_node(MetasdInspection *inspection, Node *node);

#endif
