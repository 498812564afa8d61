/*
 * reading.h - as whom, and under what settings, a relation is read.
 *
 * Whoever names a relation to a function of ours needs the right to read it: the owner of a model
 * for its source, the caller for what a call names. The role that then reads, under whose rights
 * the functions of views, indexes and policies run, is
 *   - that user, where the relation and all that it reads may be trusted with his rights (trust.h);
 *   - else the relation's owner, where the user has all rights of the owner (as a superuser or a
 *     member has), or where it is a table without row security for him: he sees the same rows;
 *   - else nobody: an error.
 * What is read is locked by its OID before it is looked at, until the transaction ends. It is read
 * by its name, as SQL does, and the plan is seen to read nothing but what was looked at.
 */
#ifndef METASD_PG_SOURCE_READING_H
#define METASD_PG_SOURCE_READING_H

#include "pg/base/compat.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"

#include "pg/catalog/catalog.h"

typedef struct MetasdReading {
    Oid relation;
    Oid user;        /* on whose behalf */
    Oid reader;      /* as whom */
    bool restricted; /* a security-restricted operation: code of others runs */
    bool pinned;     /* what is read depends on settings, which are set as in a worker */
    List *reached;   /* OIDs of the relations that it reads, itself included */
    uint64 generation;
    char *quoted; /* schema.name, for SQL */
    MetasdSwitch saved;
} MetasdReading;

/* Locks a relation until the transaction ends; false if it is gone. */
extern bool metasd_reading_lock(Oid relation);

/*
 * Settles how USER reads a relation that is locked and that he may read; an error where he must
 * not. RESTRICTED: as a security-restricted operation whoever reads.
 */
extern void metasd_reading_open(MetasdReading *reading, Oid relation, Oid user, bool restricted);

/* Likewise, but NULL instead of an error: the reason, a whole sentence. */
extern char *metasd_reading_try(MetasdReading *reading, Oid relation, Oid user, bool restricted);

/* From here on the reader's rights and these settings are in force, until the end. */
extern void metasd_reading_begin(MetasdReading *reading);
extern void metasd_reading_end(const MetasdReading *reading);

/* Between begin and end: a plan of a query on the relation. An error where it would read others. */
extern SPIPlanPtr metasd_reading_prepare(const MetasdReading *reading, const char *sql, int nargs,
                                         Oid *types);

/*
 * An error unless the plan, as it was made, reads nothing but the LOCKED relations, and runs
 * nothing that the reader must not.
 */
extern void metasd_reading_check_plan(SPIPlanPtr plan, const List *locked, Oid reader);

/*
 * Sets, for the GUC level that is open, what the text of a value depends on: labels are what a
 * worker reads, whatever a session has set.
 */
extern void metasd_reading_pin_settings(void);

/* Is the text of its values the same under all settings? */
extern bool metasd_reading_type_is_simple(Oid type);

#endif
