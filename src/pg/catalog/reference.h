/*
 * reference.h - roles and relations as the catalog remembers them: the values of types
 * metasd.role_ref and metasd.relation_ref.
 *
 * A column of type regrole or regclass holds an OID. If the object is gone, a dump has a number
 * instead of a name. In the next database that number means another object, or none, and then
 * COPY fails and all rows are lost. So a reference holds the OID and the name:
 *   - Its text is the present name of the object.
 *   - Reading the text looks the name up and never fails. A name without an object is kept as a
 *     mere name.
 *   - The name of a dropped object is written with a minus in front. Such a reference never means
 *     an object again, even if another object gets the name. The same is true of a mere name once
 *     another object has it.
 *   - A relation is written with its owner: "schema.name of owner". A relation of that name that
 *     belongs to another role is not the one meant, unless its owner is a superuser.
 */
#ifndef METASD_PG_CATALOG_REFERENCE_H
#define METASD_PG_CATALOG_REFERENCE_H

#include "pg/base/compat.h"

typedef enum MetasdReferenceKind { METASD_ROLE, METASD_RELATION } MetasdReferenceKind;

/*
 * A relation that a model or a run remembers. Rights depend on the OID: roles that may read that
 * relation may ask the model. A training follows the name, which another relation may have now.
 */
typedef struct MetasdRemembered {
    bool given; /* false: there is none */
    Oid oid;    /* InvalidOid: it has been dropped, or was not there when the row was restored */
    char *name; /* for messages, in SQL syntax */
    char *then; /* the name that it had, or NULL */
} MetasdRemembered;

/* ---- references ---- */

/* A reference to an object, or 0 if there is no object of that OID. */
extern Datum metasd_reference_make(MetasdReferenceKind kind, Oid oid);

/* The OID of its object, or InvalidOid if there is none. */
extern Oid metasd_reference_oid(MetasdReferenceKind kind, Datum reference);

/* The present name of its object or, if there is none, the remembered name; in SQL syntax. */
extern char *metasd_reference_name(MetasdReferenceKind kind, Datum reference);

/* The name that a relation had when the reference was made, in SQL syntax. */
extern char *metasd_reference_then(Datum reference);

/* The relation that has the remembered name now, or InvalidOid. */
extern Oid metasd_reference_named(Datum reference);

/* A reference from its text, and its text. */
extern Datum metasd_reference_read(MetasdReferenceKind kind, const char *text);
extern char *metasd_reference_write(MetasdReferenceKind kind, Datum reference);

/* ---- relations ---- */

/* The relation of that name, in SQL syntax, or InvalidOid. */
extern Oid metasd_reference_relation_named(const char *name);

/* The owner of a relation, or InvalidOid if it is gone. */
extern Oid metasd_reference_relation_owner(Oid relation);

#endif
