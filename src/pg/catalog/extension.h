/*
 * extension.h - the extension itself: its OID, its owner, and a lock against DROP EXTENSION.
 */
#ifndef METASD_PG_CATALOG_EXTENSION_H
#define METASD_PG_CATALOG_EXTENSION_H

#include "pg/base/compat.h"

#define METASD_SCHEMA "metasd" /* of its tables */

/* The owner of the extension; an error if the extension is gone. */
extern Oid metasd_extension_owner(void);

/* The OID of the extension, or InvalidOid if it is gone. */
extern Oid metasd_extension(void);

/*
 * Locks the extension until the transaction ends; false if it is gone. DROP EXTENSION locks the
 * extension first and then its tables in an order of its own. So a function that uses several
 * tables takes this lock before them, or it could deadlock with DROP EXTENSION. Questions do not
 * take it, because the lock is not cheap.
 */
extern bool metasd_extension_hold(Oid extension);

#endif
