/*
 * source.h - the relation of facts: checks, rights, and reading its triples.
 */
#ifndef METASD_PG_SOURCE_SOURCE_H
#define METASD_PG_SOURCE_SOURCE_H

#include "pg/base/compat.h"

#include "pg/catalog/reference.h"
#include "pg/source/fetch.h"
#include "pg/source/reading.h"

typedef struct MetasdSource {
    Oid relation;
    char *column[3];       /* head, relation, tail */
    Oid type[3];           /* their types; of a domain, its base type */
    bool by_bytes[3];      /* the column's collation tells all strings apart */
    char *quoted;          /* schema.name, quoted for SQL */
    char *name;            /* for messages */
    bool to_query;         /* a caller has named it for a query, not for a model */
    MetasdReading reading; /* valid until the transaction ends */
} MetasdSource;

/*
 * Locks a source until the transaction ends, and checks that USER may read triples from it: the
 * relation's kind, the three columns and their types, the right to SELECT them, and that a role may
 * read it (reading.h). Errors say what is allowed.
 */
extern MetasdSource *metasd_source_open(Oid relation, char *const column[3], Oid user);

/* Opens the source or validation source that MODEL remembers. An error names it if it is gone. */
extern MetasdSource *metasd_source_open_remembered(const MetasdRemembered *source, bool validation,
                                                   const char *model, char *const column[3],
                                                   Oid user);

/* Opens a relation that the user has named for a query, or to filter it. It may be temporary. */
extern MetasdSource *metasd_source_open_to_query(Oid relation, char *const column[3], bool filter);

/*
 * Says why OWNER, the model's owner, cannot read the model's source any more: the relation, a
 * column, the role or the right is gone. A whole sentence; NULL if he can.
 */
extern char *metasd_source_objection(const MetasdRemembered *source, char *const column[3],
                                     Oid owner);

/* Do the relation and its columns exist, but OWNER may not read them? */
extern bool metasd_source_is_denied(const MetasdRemembered *source, char *const column[3],
                                    Oid owner);

/*
 * May USER read all triples of this source, so that he may ask a model trained from it? He needs
 * USAGE of its schema and SELECT on its columns. The source must be a table (partitioned or not)
 * without row security for him: a view runs functions of its owner, and row security would hide
 * facts that the model knows.
 */
extern bool metasd_source_is_readable(Oid relation, char *const column[3], Oid user);

/* Can a column of that type, of a domain its base type, hold identifiers? */
extern bool metasd_source_is_identifier(Oid type);

/* The names of a relation's columns, for messages. */
extern char *metasd_source_columns(Oid relation);

/* One row of a source; lengths in bytes, data not terminated. It is valid during the call. */
typedef struct MetasdTripleLabels {
    const char *data[3];
    size_t len[3];
} MetasdTripleLabels;

typedef void (*MetasdRowFunction)(void *context, const MetasdTripleLabels *row);

/*
 * Reads all rows on behalf of USER, and returns the number of rows that it left out, because one of
 * the three columns was NULL or empty. It checks the source again, which an earlier transaction may
 * have opened. SPI must be connected, and a snapshot be active. Serves interrupts.
 */
extern uint64 metasd_source_read(const MetasdSource *source, Oid user, MetasdRowFunction row,
                                 void *context);

/* The same of the rows for which a condition holds; all if it is NULL. */
extern uint64 metasd_source_read_some(const MetasdSource *source, Oid user,
                                      const MetasdFetchCondition *condition, MetasdRowFunction row,
                                      void *context);

/* Does the source, opened in this transaction, have a row without NULLs? */
extern bool metasd_source_has_rows(MetasdSource *source);

#endif
