/*
 * catalog.h - the tables of schema metasd, read and written as the extension's owner.
 *
 * Nobody but the owner has rights on these tables. Statements run as that owner, who
 * is left again after each; what finds a model connects to SPI by itself, and returns
 * copies in the caller's memory context. Reads that take part in a query see the
 * query's own snapshot, so an answer belongs to one version from end to end.
 */
#ifndef METASD_PG_CATALOG_CATALOG_H
#define METASD_PG_CATALOG_CATALOG_H

#include "pg/base/compat.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* ---- whose rights are in force ---- */

typedef struct MetasdSwitch {
    Oid user;
    int context;
    int nest_level;
} MetasdSwitch;

/*
 * Goes on as role TO, with a search_path nobody else can write to. RESTRICTED for
 * SQL that may run other people's code: it then cannot change what outlives it.
 * An error restores all by itself.
 */
extern void metasd_security_switch_to(MetasdSwitch *saved, Oid to, bool restricted);
extern void metasd_security_switch_back(const MetasdSwitch *saved);

/* The extension's owner; an error if the extension is gone. */
extern Oid metasd_extension_owner(void);

/* The extension, or InvalidOid if it is gone. */
extern Oid metasd_extension(void);

/*
 * Holds the extension until the transaction ends; false if it is gone. DROP EXTENSION locks it
 * first and the tables in an order of its own: who uses several and does not take this lock
 * before them can end in a deadlock with it. Questions do without: it is not a cheap lock.
 */
extern bool metasd_extension_hold(Oid extension);

/* ---- statements ---- */

#define METASD_MOST_ARGUMENTS 16

/* A statement of this file's users, prepared when first used; one static variable each. */
typedef struct MetasdStatement {
    const char *sql;
    int nargs;
    Oid types[METASD_MOST_ARGUMENTS];
    SPIPlanPtr plan;
} MetasdStatement;

/*
 * Runs a statement on the catalog as the extension's owner, inside SPI_connect.
 * NULLS as in SPI ('n' is NULL) or NULL. Returns SPI_processed; rows are in
 * SPI_tuptable. READ_ONLY statements see the active snapshot.
 */
extern uint64 metasd_statement_execute(MetasdStatement *statement, Datum *values, const char *nulls,
                                       bool read_only);

/*
 * A relation that a model remembers. It is what it was by its OID; whoever may read that may ask.
 * A training goes by the name, which another relation may have by now.
 */
typedef struct MetasdRemembered {
    bool given; /* else there is none */
    Oid oid;    /* InvalidOid: it has been dropped, or was not there when the model was restored */
    char *name; /* for messages, as SQL has it */
    char *then; /* the name that it had, or NULL */
} MetasdRemembered;

/* A column of row ROW of SPI_tuptable. */
extern Datum metasd_statement_value(uint64 row, int column, bool *isnull);
/* The same as a palloc'd string in the context that was current before SPI_connect, or NULL. */
extern char *metasd_statement_text(uint64 row, int column);
/* A column of type metasd.relation_ref, likewise. */
extern MetasdRemembered metasd_statement_relation(uint64 row, int column);

/* ---- models ---- */

/* What kg_predict and the others need of a model. */
typedef struct MetasdModel {
    char *name;
    Oid owner;        /* InvalidOid: the role has been dropped */
    char *owner_name; /* for messages */
    /* of its last training, */
    MetasdRemembered source, validation;
    char *column[3]; /* head, relation, tail */
    /* and of the run that answers, where there is one: who may read its source may ask. */
    MetasdRemembered serving_source, serving_validation;
    char *serving_column[3];
    /* of a model that is locked: relations that have the remembered names now, or InvalidOid */
    Oid source_named, validation_named;
    Jsonb *params;  /* as the owner gave them */
    int64 serving;  /* run that answers, or 0 */
    pg_uuid_t uuid; /* of that run */
} MetasdModel;

/* The model of that name, or NULL. LOCK: its row stays locked until the transaction ends. */
extern MetasdModel *metasd_model_find(const char *name, bool lock);

/*
 * Lets a version of the model serve from the end of the transaction on; the one that served becomes
 * where kg_rollback goes. With the model's row locked, and SPI connected.
 */
extern void metasd_model_serve(const char *name, int64 run);

/* All models, in no order. */
extern List *metasd_model_all(void);

#endif
