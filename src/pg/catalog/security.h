/*
 * security.h - switches the role whose rights are in force.
 */
#ifndef METASD_PG_CATALOG_SECURITY_H
#define METASD_PG_CATALOG_SECURITY_H

#include "pg/base/compat.h"

#define METASD_SECURITY_PATH "pg_catalog, pg_temp" /* a search_path */

/* What metasd_security_switch_back restores. */
typedef struct MetasdSwitch {
    Oid user;
    int context;
    int nest_level;
} MetasdSwitch;

/*
 * Continues as role TO, with a search_path that nobody else can write to. RESTRICTED is for SQL
 * that may run other people's code: that code then cannot change anything that outlives it.
 * An error restores the former role by itself.
 */
extern void metasd_security_switch_to(MetasdSwitch *saved, Oid to, bool restricted);
extern void metasd_security_switch_back(const MetasdSwitch *saved);

#endif
