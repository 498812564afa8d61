#include "pg/catalog/import_order.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "pg/catalog/statement.h"

const char *const metasd_import_layouts[2] = {"halves", "interleaved"};
const char *const metasd_import_missing[2] = {"error", "skip"};

void
metasd_import_order_write(const MetasdImportOrder *order, MetasdJson *json)
{
    metasd_json_string(json, "entities", order->name[0]);
    metasd_json_string(json, "relations", order->name[1]);
    metasd_json_string(json, "layout", metasd_import_layouts[order->interleaved]);
    metasd_json_string(json, "missing", metasd_import_missing[order->skips]);
    metasd_json_open(json, "oids");
    metasd_json_whole(json, "entities", order->relation[0]);
    metasd_json_whole(json, "relations", order->relation[1]);
    metasd_json_close(json);
}

bool
metasd_import_order_read(MetasdImportOrder *order, int64 run)
{
    static MetasdStatement look = {
        "SELECT metrics #>> '{import,entities}', metrics #>> '{import,relations}', "
        "(metrics #>> '{import,oids,entities}')::oid, "
        "(metrics #>> '{import,oids,relations}')::oid, "
        "metrics #>> '{import,layout}', metrics #>> '{import,missing}' FROM metasd.run "
        "WHERE id = $1 AND metrics ? 'import'",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    bool isnull;

    if (metasd_statement_execute(&look, &value, NULL, true) == 0)
        return false;
    for (int i = 0; i < 2; i++) {
        order->name[i] = MemoryContextStrdup(TopMemoryContext, metasd_statement_text(0, 1 + i));
        order->relation[i] = DatumGetObjectId(metasd_statement_value(0, 3 + i, &isnull));
    }
    order->interleaved = strcmp(metasd_statement_text(0, 5), metasd_import_layouts[true]) == 0;
    order->skips = strcmp(metasd_statement_text(0, 6), metasd_import_missing[true]) == 0;
    return true;
}
