/*
 * source.h - the relation that triples come from.
 */
#ifndef METASD_PG_SOURCE_SOURCE_H
#define METASD_PG_SOURCE_SOURCE_H

#include "pg/base/compat.h"

#include "pg/source/reading.h"

typedef struct MetasdSource {
    Oid relation;
    char *column[3];       /* head, relation, tail */
    Oid type[3];           /* their types, domains looked through */
    bool by_bytes[3];      /* the column's collation tells all strings apart */
    char *quoted;          /* schema.name, quoted for SQL */
    char *name;            /* for messages */
    bool to_query;         /* named by a caller for a query of his, who need not own a model */
    MetasdReading reading; /* as whom; valid until the transaction ends */
} MetasdSource;

/*
 * Locks a source until the transaction ends, and checks that USER may read triples from it: its
 * kind, its three columns and their types, the right to SELECT them, and that no code in it would
 * run with rights that it must not have (reading.h). Errors name what is allowed.
 */
extern MetasdSource *metasd_source_open(Oid relation, char *const column[3], Oid user);

/* The source or validation source that a MODEL remembers; an error names it if it is gone. */
extern MetasdSource *metasd_source_open_remembered(const MetasdRemembered *source, bool validation,
                                                   const char *model, char *const column[3],
                                                   Oid user);

/* The same of a relation that the current user has named for a query; it may be temporary. */
extern MetasdSource *metasd_source_open_to_query(Oid relation, char *const column[3]);

/*
 * Why a model's source is no longer what it was for the model's owner: it, a column, the role or
 * the right to read it is gone. A whole sentence; NULL if nothing has become of it.
 */
extern char *metasd_source_objection(const MetasdRemembered *source, char *const column[3],
                                     Oid owner);

/* Is it there, but not for the owner to read? */
extern bool metasd_source_is_denied(const MetasdRemembered *source, char *const column[3],
                                    Oid owner);

/*
 * May USER see the triples of this source, so that he may ask a model made of them? That takes
 * USAGE of its schema and SELECT on its columns.
 * Only tables (partitioned or not) count, without row security for him: a view runs its
 * owner's functions, and row security would hide facts that the model knows.
 */
extern bool metasd_source_is_readable(Oid relation, char *const column[3], Oid user);

/* One row of a source; lengths in bytes, data not terminated, valid during the call. */
typedef struct MetasdTripleLabels {
    const char *data[3];
    size_t len[3];
} MetasdTripleLabels;

typedef void (*MetasdRowFunction)(void *context, const MetasdTripleLabels *row);

/*
 * Reads all rows through a cursor on behalf of USER, and returns how many were left out: NULL or
 * empty in one of the three columns. Looks at the source anew: it may have been opened in an
 * earlier transaction. Needs SPI_connect and an active snapshot; serves interrupts.
 */
extern uint64 metasd_source_read(const MetasdSource *source, Oid user, MetasdRowFunction row,
                                 void *context);

/* Does the source, opened in this transaction, have a row without NULLs? */
extern bool metasd_source_has_rows(MetasdSource *source);

#endif
