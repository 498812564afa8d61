#include "pg/catalog/extension.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "storage/lmgr.h"
#include "utils/syscache.h"

#define EXTENSION "metasd"

Oid
metasd_extension_owner(void)
{
    Oid schema = get_namespace_oid(METASD_SCHEMA, true), owner;
    HeapTuple tuple = NULL;

    if (OidIsValid(schema))
        tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
                        errmsg("extension \"metasd\" is not installed in this database"),
                        errhint("Run CREATE EXTENSION metasd.")));
    owner = ((Form_pg_namespace)GETSTRUCT(tuple))->nspowner;
    ReleaseSysCache(tuple);
    return owner;
}

Oid
metasd_extension(void)
{
    return get_extension_oid(EXTENSION, true);
}

bool
metasd_extension_hold(Oid extension)
{
    LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
    return OidIsValid(extension) && metasd_extension() == extension;
}
