/*
 * source.h - the relation that triples come from.
 */
#ifndef METASD_SOURCE_H
#define METASD_SOURCE_H

#include "compat.h"

typedef struct MetasdSource {
    Oid relation;
    char *column[3]; /* head, relation, tail */
    Oid type[3];     /* their types, domains looked through */
    char *quoted;    /* schema.name, quoted for SQL */
    char *name;      /* for messages */
} MetasdSource;

/*
 * Looks a source up and checks that triples can be read from it by USER: its kind,
 * its three columns and their types, the right to SELECT them. Errors name what is
 * allowed.
 */
extern MetasdSource *metasd_source_open(Oid relation, char *const column[3], Oid user);

/*
 * Looks up a relation of triples that a query of the current user's is to read, and checks that he
 * may SELECT them; it may be temporary. Errors speak of kg_evaluate.
 */
extern MetasdSource *metasd_source_open_to_query(Oid relation, char *const column[3]);

/*
 * May USER see the triples of this source, so that he may ask a model made of them? That takes
 * USAGE of its schema and SELECT on its columns.
 * Only tables (partitioned or not) count, without row security for him: a view runs its
 * owner's functions, and row security would hide facts that the model knows.
 */
extern bool metasd_source_is_readable(Oid relation, char *const column[3], Oid user);

/* One row of a source; lengths in bytes, data not terminated, valid during the call. */
typedef struct MetasdLabels3 {
    const char *data[3];
    size_t len[3];
} MetasdLabels3;

typedef void (*MetasdRowFunction)(void *context, const MetasdLabels3 *row);

/*
 * Reads all rows through a cursor as role USER, in a security-restricted operation, and
 * returns how many were left out: NULL or empty in one of the three columns. Needs
 * SPI_connect and an active snapshot; serves interrupts.
 */
extern uint64 metasd_source_read(const MetasdSource *source, Oid user, MetasdRowFunction row,
                                 void *context);

/* Does the source have a row without NULLs? Read as USER likewise. */
extern bool metasd_source_has_rows(const MetasdSource *source, Oid user);

#endif
