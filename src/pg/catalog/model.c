#include "pg/catalog/model.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "pg/catalog/extension.h"
#include "pg/catalog/model_cache.h"
#include "pg/catalog/security.h"
#include "pg/catalog/statement.h"

/* ---- rows ---- */

/*
 * Models are read by scans of the tables, not by statements: in a new session the parser and the
 * planner look up many rows of the system catalogs, which takes a third of the time to the first
 * answer. Columns are found by name, because an upgrade of the extension may change their order.
 */

/* A tuple and its description. */
typedef struct Row {
    HeapTuple tuple;
    TupleDesc desc;
} Row;

static Datum
read_attribute(const Row *row, const char *name, bool *isnull)
{
    int number = SPI_fnumber(row->desc, name);

    if (number <= 0)
        elog(ERROR, "there is no column \"%s\"", name);
    return heap_getattr(row->tuple, number, row->desc, isnull);
}

static char *
read_text(const Row *row, const char *name)
{
    bool isnull;
    Datum value = read_attribute(row, name, &isnull);

    return isnull ? NULL : TextDatumGetCString(value);
}

static MetasdRemembered
read_relation(const Row *row, const char *name)
{
    bool isnull;
    Datum value = read_attribute(row, name, &isnull);

    if (isnull)
        return (MetasdRemembered){.given = false};
    return (MetasdRemembered){.given = true,
                              .oid = metasd_reference_oid(METASD_RELATION, value),
                              .name = metasd_reference_name(METASD_RELATION, value),
                              .then = metasd_reference_then(value)};
}

static Oid
find_named_relation(const Row *row, const char *name)
{
    bool isnull;
    Datum value = read_attribute(row, name, &isnull);

    return isnull ? InvalidOid : metasd_reference_named(value);
}

/* Reads the values of the columns head, relation and tail. */
static void
read_columns(const Row *row, char *column[3])
{
    static const char *const names[3] = {"head", "relation", "tail"};

    for (int i = 0; i < 3; i++)
        column[i] = read_text(row, names[i]);
}

/* A scan of a table of schema metasd, under the active snapshot. */
typedef struct TableScan {
    Relation table;
    SysScanDesc scan;
    Row row;
} TableScan;

/* Scans the rows whose COLUMN, the primary key, is VALUE according to EQUAL; NULL: all rows. */
static void
begin_scan(TableScan *scan, const char *table, const char *column, RegProcedure equal, Datum value)
{
    char *schema = pstrdup(METASD_SCHEMA), *name = pstrdup(table),
         *index = psprintf("%s_pkey", table);
    Oid primary = InvalidOid;
    TupleDesc desc;
    ScanKeyData key;

    scan->table = table_openrv(makeRangeVar(schema, name, -1), AccessShareLock);
    scan->row.desc = desc = RelationGetDescr(scan->table);
    if (column) {
        int number = SPI_fnumber(desc, column);

        if (number <= 0)
            elog(ERROR, "there is no column \"%s\"", column);
        ScanKeyInit(&key, (AttrNumber)number, BTEqualStrategyNumber, equal, value);
        key.sk_collation = TupleDescAttr(desc, number - 1)->attcollation;
        primary = get_relname_relid(index, RelationGetNamespace(scan->table));
    }
    scan->scan = systable_beginscan(scan->table, primary, OidIsValid(primary), GetActiveSnapshot(),
                                    column ? 1 : 0, &key);
    pfree(schema);
    pfree(name);
    pfree(index);
}

static bool
next_row(TableScan *scan)
{
    scan->row.tuple = systable_getnext(scan->scan);
    return HeapTupleIsValid(scan->row.tuple);
}

/* The table stays locked until the transaction ends, like that of a statement. */
static void
end_scan(TableScan *scan)
{
    systable_endscan(scan->scan);
    table_close(scan->table, NoLock);
}

/*
 * Is the run a version of the model? A subscription copies the tables one by one: the row may be
 * that of a training which has not ended, or that of another model with the same number.
 */
static bool
is_version_of(const Row *run, const char *model)
{
    return strcmp(read_text(run, "model"), model) == 0 &&
           strcmp(read_text(run, "status"), "succeeded") == 0;
}

/*
 * Fills in the run that serves a model, as the active snapshot shows it, and returns a copy of its
 * row; NULL if there is no such run.
 */
static HeapTuple
fill_serving(MetasdModel *model)
{
    HeapTuple run = NULL;
    TableScan scan;

    if (model->serving != 0) {
        bool isnull;

        begin_scan(&scan, "run", "id", F_INT8EQ, Int64GetDatum(model->serving));
        if (next_row(&scan) && is_version_of(&scan.row, model->name)) {
            run = heap_copytuple(scan.row.tuple);
            model->uuid = *DatumGetUUIDP(read_attribute(&scan.row, "uuid", &isnull));
            model->serving_source = read_relation(&scan.row, "source");
            model->serving_validation = read_relation(&scan.row, "validation");
            read_columns(&scan.row, model->serving_column);
        }
        end_scan(&scan);
        if (run)
            return run;
    }
    model->absent = model->serving;
    model->serving = 0;
    model->serving_source = model->source;
    model->serving_validation = model->validation;
    memcpy(model->serving_column, model->column, sizeof(model->column));
    return NULL;
}

/* Makes a model of its row. Unless RUN is NULL, *RUN is the row of the run that serves it. */
static MetasdModel *
read_model(const Row *row, HeapTuple *run)
{
    MetasdModel *model = palloc0(sizeof(*model));
    HeapTuple serving;
    bool isnull;
    Datum value;

    model->name = read_text(row, "name");
    value = read_attribute(row, "owner", &isnull);
    model->owner = metasd_reference_oid(METASD_ROLE, value);
    model->owner_name = metasd_reference_name(METASD_ROLE, value);
    model->source = read_relation(row, "source");
    read_columns(row, model->column);
    model->validation = read_relation(row, "validation");
    value = read_attribute(row, "params", &isnull);
    if (!isnull)
        model->params = DatumGetJsonbPCopy(value);
    value = read_attribute(row, "serving", &isnull);
    model->serving = isnull ? 0 : DatumGetInt64(value);
    serving = fill_serving(model);
    if (run)
        *run = serving;
    return model;
}

/* ---- models ---- */

/* The model of that name, or all models if NAME is NULL. */
static List *
find_models(const char *name)
{
    Datum value = name ? CStringGetTextDatum(name) : (Datum)0;
    List *models = NIL;
    MetasdSwitch saved;
    TableScan scan;

    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    begin_scan(&scan, "model", name ? "name" : NULL, F_TEXTEQ, value);
    while (next_row(&scan)) {
        HeapTuple run;
        MetasdModel *model = read_model(&scan.row, &run);

        models = lappend(models, model);
        if (name && run)
            metasd_model_cache_put(model, scan.row.tuple, run);
    }
    end_scan(&scan);
    metasd_security_switch_back(&saved);
    return models;
}

/*
 * Locks a model and reads its newest row, which a snapshot of before the lock would not show, and
 * the newest row of its run.
 */
static MetasdModel *
find_and_lock(const char *name)
{
    static MetasdStatement lock = {
        "SELECT m.* FROM metasd.model m WHERE m.name = $1 FOR UPDATE", 1, {TEXTOID}, NULL};
    MemoryContext caller = CurrentMemoryContext;
    Datum value = CStringGetTextDatum(name);
    MetasdModel *model = NULL;

    SPI_connect();
    if (metasd_statement_execute(&lock, &value, NULL, false) > 0) {
        Row row = {.tuple = SPI_tuptable->vals[0], .desc = SPI_tuptable->tupdesc};
        MemoryContext spi = MemoryContextSwitchTo(caller);
        MetasdSwitch saved;

        metasd_security_switch_to(&saved, metasd_extension_owner(), false);
        PushActiveSnapshot(GetLatestSnapshot());
        model = read_model(&row, NULL);
        model->source_named = find_named_relation(&row, "source");
        model->validation_named = find_named_relation(&row, "validation");
        PopActiveSnapshot();
        metasd_security_switch_back(&saved);
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return model;
}

MetasdModel *
metasd_model_find(const char *name, bool lock)
{
    MetasdModel *model;
    List *models;

    if (lock)
        return find_and_lock(name);
    model = metasd_model_cache_find(name);
    if (model)
        return model;
    models = find_models(name);
    return models == NIL ? NULL : linitial(models);
}

List *
metasd_model_all(void)
{
    return find_models(NULL);
}

void
metasd_model_serve(const char *name, int64 run)
{
    static MetasdStatement serve = {
        "UPDATE metasd.model SET serving = $2, history = CASE WHEN serving IS NULL THEN history "
        "ELSE array_append(array_remove(array_remove(history, $2), serving), serving) END "
        "WHERE name = $1",
        2,
        {TEXTOID, INT8OID},
        NULL};
    Datum values[2] = {CStringGetTextDatum(name), Int64GetDatum(run)};

    metasd_statement_execute(&serve, values, NULL, false);
}
