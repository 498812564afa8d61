/*
 * reference.h - roles and relations as the catalog remembers them: types metasd.role_ref and
 * metasd.relation_ref.
 *
 * A column of type regrole or regclass is an OID. Where that is gone a dump has a number, which
 * means something else in the next database, or nothing, and then COPY fails and all is lost. A
 * reference holds the OID and the name. Its text is the name that the object has now. That is
 * looked up where it is read in, and never fails: what is not there is only remembered. What has
 * been dropped is written with a minus in front, and is nobody and nothing ever after, even where
 * another object has its name; and so is what is only remembered, once another object here has it.
 * Of a relation the owner is remembered, too: "schema.name of owner". What has that name and is of
 * another role is not what was meant, unless it is a superuser's.
 */
#ifndef METASD_PG_CATALOG_REFERENCE_H
#define METASD_PG_CATALOG_REFERENCE_H

#include "pg/base/compat.h"

typedef enum MetasdReferenceKind { METASD_ROLE, METASD_RELATION } MetasdReferenceKind;

/* The OID, or InvalidOid if what the reference stands for is not there. */
extern Oid metasd_reference_oid(MetasdReferenceKind kind, Datum reference);

/* The name as SQL has it: that of now, or the one that is remembered of what is not there. */
extern char *metasd_reference_name(MetasdReferenceKind kind, Datum reference);

/* The owner of a relation, or InvalidOid if it is gone. */
extern Oid metasd_reference_relation_owner(Oid relation);

/* The name that a relation had when it was referred to, as SQL has it. */
extern char *metasd_reference_then(Datum reference);

/* The relation that has the remembered name now, whichever that is, or InvalidOid. */
extern Oid metasd_reference_named(Datum reference);
extern Oid metasd_reference_relation_named(const char *name); /* likewise, by the name */

#endif
