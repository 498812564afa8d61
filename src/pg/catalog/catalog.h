/*
 * catalog.h - the tables of schema metasd, read and written as the extension's owner.
 */
#ifndef METASD_PG_CATALOG_CATALOG_H
#define METASD_PG_CATALOG_CATALOG_H

#include "pg/catalog/extension.h"
#include "pg/catalog/model.h"
#include "pg/catalog/security.h"
#include "pg/catalog/statement.h"

#endif
