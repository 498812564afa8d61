/*
 * harmless.h - which functions of PostgreSQL may run on behalf of a role that has not chosen them.
 */
#ifndef METASD_PG_SOURCE_HARMLESS_H
#define METASD_PG_SOURCE_HARMLESS_H

#include "pg/base/compat.h"

#include "catalog/pg_proc.h"

/*
 * Does the function only compute? Some functions of PostgreSQL that are not immutable run SQL that
 * they get as text or as the name of a table, and make XML of the result. Functions of pseudotypes
 * run code of the types that they get, such as casts.
 */
extern bool metasd_harmless_function(Form_pg_proc function);

#endif
