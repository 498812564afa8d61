/*
 * reading.h - which role reads a relation, and under which settings.
 *
 * A user who names a relation to a function of metasd needs the right to read it: the owner of a
 * model for its source, the caller for the relations that a call names. Functions of views, indexes
 * and policies run with the rights of the role that reads. That role is
 *   - the user, if he trusts the relation and all that it reads (trust.h);
 *   - else the relation's owner, if the user has all rights of the owner (a superuser, or a member
 *     of the owner's role), or if the relation is a table without row security for the user. The
 *     owner then sees the same rows;
 *   - else nobody: an error.
 * The relation is locked by its OID before it is inspected, until the transaction ends. The query
 * names it, as SQL must, and the plan is checked to read only the inspected relations.
 */
#ifndef METASD_PG_SOURCE_READING_H
#define METASD_PG_SOURCE_READING_H

#include "pg/base/compat.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/portal.h"

#include "pg/catalog/security.h"

typedef struct MetasdReading {
    Oid relation;
    Oid user;        /* who needs the right to read it */
    Oid reader;      /* the role that reads */
    bool restricted; /* code of others may run, so it is a security-restricted operation */
    bool foreign;    /* code of others than the caller's may run, which must not see his session */
    bool pinned;     /* the rows depend on settings, so these are set as in a worker */
    List *reached;   /* OIDs of the relations that it reads, itself included */
    uint64 generation;
    char *quoted; /* schema.name, for SQL */
    MetasdSwitch saved;
    Portal own;                /* the cursor that reads, or NULL */
    List *hidden;              /* other cursors of the session, between begin and end */
    const char *query;         /* the client's, likewise */
    ErrorContextCallback hint; /* of errors between begin and end */
} MetasdReading;

/* Locks a relation until the transaction ends; false if it is gone. */
extern bool metasd_reading_lock(Oid relation);

/*
 * Settles how USER reads a relation that is locked and that he has the right to read; an error if
 * no role may read it for him. RESTRICTED: as a security-restricted operation in any case.
 */
extern void metasd_reading_open(MetasdReading *reading, Oid relation, Oid user, bool restricted);

/* The same, but returns the reason, a whole sentence, instead of the error; NULL if settled. */
extern char *metasd_reading_try(MetasdReading *reading, Oid relation, Oid user, bool restricted);

/*
 * The rights of the reader and these settings are in force between begin and end, which stand in
 * one block. Code that the caller need not trust cannot fetch from his cursors then. An error
 * between them gives the cursors back first.
 */
#define METASD_READING_BEGIN(reading_)                                                             \
    do {                                                                                           \
        MetasdReading *reading_begun = (reading_);                                                 \
                                                                                                   \
        metasd_reading_begin(reading_begun);                                                       \
        PG_TRY();                                                                                  \
        {                                                                                          \
            (void)0

#define METASD_READING_END()                                                                       \
    }                                                                                              \
    PG_CATCH();                                                                                    \
    {                                                                                              \
        metasd_reading_show_session(reading_begun);                                                \
        PG_RE_THROW();                                                                             \
    }                                                                                              \
    PG_END_TRY();                                                                                  \
    metasd_reading_end(reading_begun);                                                             \
    }                                                                                              \
    while (0)

extern void metasd_reading_begin(MetasdReading *reading);
extern void metasd_reading_end(MetasdReading *reading);
extern void metasd_reading_show_session(MetasdReading *reading);

/* Between begin and end: plans a query on the relation. An error if it reads other relations. */
extern SPIPlanPtr metasd_reading_prepare(const MetasdReading *reading, const char *sql, int nargs,
                                         Oid *types);

/* An error if the plan reads relations that are not LOCKED, or runs code that READER must not. */
extern void metasd_reading_check_plan(SPIPlanPtr plan, const List *locked, Oid reader);

/*
 * Sets, for the open GUC level, the settings that the text of a value depends on. So a session gets
 * the same labels that a worker reads.
 */
extern void metasd_reading_pin_settings(void);

/* Can a relation of that kind (pg_class.relkind) be read: a table, a view and the like? */
extern bool metasd_reading_kind_has_rows(char kind);

/* Is the text of the type's values the same under all settings? */
extern bool metasd_reading_type_is_simple(Oid type);

#endif
