#include "pg/catalog/catalog.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/tuptable.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/catalog/reference.h"

#define EXTENSION "metasd"
#define SCHEMA "metasd"

/* ---- whose rights are in force ---- */

void
metasd_security_switch_to(MetasdSwitch *saved, Oid to, bool restricted)
{
    int flags = restricted ? SECURITY_RESTRICTED_OPERATION : 0;

    GetUserIdAndSecContext(&saved->user, &saved->context);
    SetUserIdAndSecContext(to, saved->context | SECURITY_LOCAL_USERID_CHANGE | flags);
    saved->nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
}

void
metasd_security_switch_back(const MetasdSwitch *saved)
{
    AtEOXact_GUC(false, saved->nest_level);
    SetUserIdAndSecContext(saved->user, saved->context);
}

Oid
metasd_extension_owner(void)
{
    Oid schema = get_namespace_oid(SCHEMA, true), owner;
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

/* ---- statements ---- */

uint64
metasd_statement_execute(MetasdStatement *statement, Datum *values, const char *nulls,
                         bool read_only)
{
    MetasdSwitch saved;
    int result;

    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    if (!statement->plan) {
        SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->types);

        if (!plan || SPI_keepplan(plan) != 0)
            elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
                 SPI_result_code_string(SPI_result));
        statement->plan = plan;
    }
    if (nulls && strlen(nulls) != (size_t)statement->nargs)
        elog(ERROR, "\"%s\" has %d parameters, not %zu", statement->sql, statement->nargs,
             strlen(nulls));
    result = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
    if (result < 0)
        elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(result));
    metasd_security_switch_back(&saved);
    return SPI_processed;
}

Datum
metasd_statement_value(uint64 row, int column, bool *isnull)
{
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
metasd_statement_text(uint64 row, int column)
{
    char *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column), *copy;

    if (!text)
        return NULL;
    copy = SPI_palloc(strlen(text) + 1);
    strcpy(copy, text);
    pfree(text);
    return copy;
}

MetasdRemembered
metasd_statement_relation(uint64 row, int column)
{
    bool isnull;
    Datum value = metasd_statement_value(row, column, &isnull);
    char *name, *copy;

    if (isnull)
        return (MetasdRemembered){.given = false};
    name = metasd_reference_name(METASD_RELATION, value);
    copy = SPI_palloc(strlen(name) + 1);
    strcpy(copy, name);
    return (MetasdRemembered){
        .given = true, .oid = metasd_reference_oid(METASD_RELATION, value), .name = copy};
}

/* ---- models ---- */

/*
 * Models are looked up by scans of the tables, not by statements: what the parser and the planner
 * look up in the system catalogs takes a new session a third of the time to its first answer.
 * Attributes are found by name, whatever order a later version of the extension leaves them in.
 */

/* A tuple, and what it is one of. */
typedef struct Row {
    HeapTuple tuple;
    TupleDesc desc;
} Row;

static Datum
attribute(const Row *row, const char *name, bool *isnull)
{
    int number = SPI_fnumber(row->desc, name);

    if (number <= 0)
        elog(ERROR, "there is no column \"%s\"", name);
    return heap_getattr(row->tuple, number, row->desc, isnull);
}

static char *
text_attribute(const Row *row, const char *name)
{
    bool isnull;
    Datum value = attribute(row, name, &isnull);

    return isnull ? NULL : TextDatumGetCString(value);
}

static MetasdRemembered
relation_attribute(const Row *row, const char *name)
{
    bool isnull;
    Datum value = attribute(row, name, &isnull);

    if (isnull)
        return (MetasdRemembered){.given = false};
    return (MetasdRemembered){.given = true,
                              .oid = metasd_reference_oid(METASD_RELATION, value),
                              .name = metasd_reference_name(METASD_RELATION, value),
                              .then = metasd_reference_then(value)};
}

static Oid
named_attribute(const Row *row, const char *name)
{
    bool isnull;
    Datum value = attribute(row, name, &isnull);

    return isnull ? InvalidOid : metasd_reference_named(value);
}

/* The columns named head, relation and tail of a row. */
static void
columns_attribute(const Row *row, char *column[3])
{
    static const char *const names[3] = {"head", "relation", "tail"};

    for (int i = 0; i < 3; i++)
        column[i] = text_attribute(row, names[i]);
}

/* A scan of a table of ours, under the active snapshot. */
typedef struct TableScan {
    Relation table;
    SysScanDesc scan;
    Row row;
} TableScan;

/* Of the rows whose COLUMN, the table's primary key, is VALUE by EQUAL; NULL: of all. */
static void
scan_begin(TableScan *scan, const char *table, const char *column, RegProcedure equal, Datum value)
{
    char *schema = pstrdup(SCHEMA), *name = pstrdup(table), *index = psprintf("%s_pkey", table);
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
scan_next(TableScan *scan)
{
    scan->row.tuple = systable_getnext(scan->scan);
    return HeapTupleIsValid(scan->row.tuple);
}

/* The lock stays until the transaction ends, as that of a statement would. */
static void
scan_end(TableScan *scan)
{
    systable_endscan(scan->scan);
    table_close(scan->table, NoLock);
}

/*
 * The run that serves a model, as the active snapshot has it, and a copy of its row; none if it is
 * not there.
 */
static HeapTuple
find_serving(MetasdModel *model)
{
    HeapTuple run = NULL;
    TableScan scan;

    if (model->serving != 0) {
        bool isnull;

        scan_begin(&scan, "run", "id", F_INT8EQ, Int64GetDatum(model->serving));
        if (scan_next(&scan)) {
            run = heap_copytuple(scan.row.tuple);
            model->uuid = *DatumGetUUIDP(attribute(&scan.row, "uuid", &isnull));
            model->serving_source = relation_attribute(&scan.row, "source");
            model->serving_validation = relation_attribute(&scan.row, "validation");
            columns_attribute(&scan.row, model->serving_column);
        }
        scan_end(&scan);
        if (run)
            return run;
    }
    model->serving = 0;
    model->serving_source = model->source;
    model->serving_validation = model->validation;
    memcpy(model->serving_column, model->column, sizeof(model->column));
    return NULL;
}

/* A model and, unless NULL, the row of the run that serves it. */
static MetasdModel *
model_of_row(const Row *row, HeapTuple *run)
{
    MetasdModel *model = palloc0(sizeof(*model));
    HeapTuple serving;
    bool isnull;
    Datum value;

    model->name = text_attribute(row, "name");
    value = attribute(row, "owner", &isnull);
    model->owner = metasd_reference_oid(METASD_ROLE, value);
    model->owner_name = metasd_reference_name(METASD_ROLE, value);
    model->source = relation_attribute(row, "source");
    columns_attribute(row, model->column);
    model->validation = relation_attribute(row, "validation");
    value = attribute(row, "params", &isnull);
    if (!isnull)
        model->params = DatumGetJsonbPCopy(value);
    value = attribute(row, "serving", &isnull);
    model->serving = isnull ? 0 : DatumGetInt64(value);
    serving = find_serving(model);
    if (run)
        *run = serving;
    return model;
}

/* ---- models remembered ---- */

/*
 * A row that the snapshot shows, with the bytes it had when it was read, says what it said then. So
 * a question asks no more of the catalog than whether both rows are that: whatever has been done to
 * them since, and whichever version of them the snapshot still sees.
 */
#define MOST_REMEMBERED 4

typedef struct Remembered {
    MemoryContext context; /* NULL: nothing is remembered here */
    HeapTuple row, run;    /* of the model, and of the run that serves it */
    MetasdModel *model;
} Remembered;

static Remembered remembered[MOST_REMEMBERED];
static unsigned next_place; /* which may wrap around */

static MetasdRemembered
copy_remembered(MetasdRemembered remembered)
{
    if (remembered.given) {
        remembered.name = pstrdup(remembered.name);
        remembered.then = pstrdup(remembered.then);
        if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(remembered.oid)))
            remembered.oid = InvalidOid; /* by now */
    }
    return remembered;
}

static MetasdModel *
copy_model(const MetasdModel *model)
{
    MetasdModel *copy = palloc(sizeof(*copy));

    *copy = *model;
    copy->name = pstrdup(model->name);
    copy->owner_name = pstrdup(model->owner_name);
    if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(model->owner)))
        copy->owner = InvalidOid;
    copy->source = copy_remembered(model->source);
    copy->validation = copy_remembered(model->validation);
    copy->serving_source = copy_remembered(model->serving_source);
    copy->serving_validation = copy_remembered(model->serving_validation);
    for (int i = 0; i < 3; i++) {
        copy->column[i] = pstrdup(model->column[i]);
        copy->serving_column[i] = pstrdup(model->serving_column[i]);
    }
    if (model->params) {
        copy->params = palloc(VARSIZE(model->params));
        memcpy(copy->params, model->params, VARSIZE(model->params));
    }
    return copy;
}

static bool
same_row(HeapTuple a, HeapTuple b)
{
    size_t start = offsetof(HeapTupleHeaderData, t_bits);

    return a->t_len == b->t_len && a->t_data->t_hoff == b->t_data->t_hoff &&
           HeapTupleHeaderGetNatts(a->t_data) == HeapTupleHeaderGetNatts(b->t_data) &&
           HeapTupleHasNulls(a) == HeapTupleHasNulls(b) &&
           memcmp((char *)a->t_data + start, (char *)b->t_data + start, a->t_len - start) == 0;
}

/* Does the active snapshot show the row as it was? The lock on its table stays. */
static bool
is_there(HeapTuple row)
{
    Relation table = try_relation_open(row->t_tableOid, AccessShareLock);
    bool same = false;

    if (!table)
        return false;
    if (table->rd_rel->relkind == RELKIND_RELATION &&
        ItemPointerGetBlockNumber(&row->t_self) < RelationGetNumberOfBlocks(table)) {
        TupleTableSlot *slot = table_slot_create(table, NULL);

        if (table_tuple_fetch_row_version(table, &row->t_self, GetActiveSnapshot(), slot))
            same = same_row(ExecFetchSlotHeapTuple(slot, false, NULL), row);
        ExecDropSingleTupleTableSlot(slot);
    }
    relation_close(table, NoLock);
    return same;
}

static Remembered *
place_of(const char *name)
{
    for (int i = 0; i < MOST_REMEMBERED; i++)
        if (remembered[i].context && strcmp(remembered[i].model->name, name) == 0)
            return &remembered[i];
    return NULL;
}

/* The model of that name, or NULL if it has to be looked up. */
static MetasdModel *
recall(const char *name)
{
    const Remembered *place = place_of(name);

    return place && is_there(place->row) && is_there(place->run) ? copy_model(place->model) : NULL;
}

/* Values that are stored elsewhere are not in the row's bytes. */
static void
remember(const MetasdModel *model, HeapTuple row, HeapTuple run)
{
    Remembered *place = place_of(model->name), new = {0};
    MemoryContext before;

    if (HeapTupleHasExternal(row) || HeapTupleHasExternal(run))
        return;
    new.context = AllocSetContextCreate(CurrentMemoryContext, "metasd model", ALLOCSET_SMALL_SIZES);
    before = MemoryContextSwitchTo(new.context);
    new.row = heap_copytuple(row);
    new.run = heap_copytuple(run);
    new.model = copy_model(model);
    MemoryContextSwitchTo(before);
    if (!place)
        place = &remembered[next_place++ % MOST_REMEMBERED];
    if (place->context)
        MemoryContextDelete(place->context);
    MemoryContextSetParent(new.context, TopMemoryContext);
    *place = new;
}

/* ---- models found ---- */

/* The model of that name, or all where there is none. */
static List *
find_models(const char *name)
{
    Datum value = name ? CStringGetTextDatum(name) : (Datum)0;
    List *models = NIL;
    MetasdSwitch saved;
    TableScan scan;

    metasd_security_switch_to(&saved, metasd_extension_owner(), false);
    scan_begin(&scan, "model", name ? "name" : NULL, F_TEXTEQ, value);
    while (scan_next(&scan)) {
        HeapTuple run;
        MetasdModel *model = model_of_row(&scan.row, &run);

        models = lappend(models, model);
        if (name && run)
            remember(model, scan.row.tuple, run);
    }
    scan_end(&scan);
    metasd_security_switch_back(&saved);
    return models;
}

/* Its newest row, which a snapshot from before the lock would not show, and the run as of now. */
static MetasdModel *
find_and_lock(const char *name)
{
    static MetasdStatement take = {
        "SELECT m.* FROM metasd.model m WHERE m.name = $1 FOR UPDATE", 1, {TEXTOID}, NULL};
    MemoryContext caller = CurrentMemoryContext;
    Datum value = CStringGetTextDatum(name);
    MetasdModel *model = NULL;

    SPI_connect();
    if (metasd_statement_execute(&take, &value, NULL, false) > 0) {
        Row row = {.tuple = SPI_tuptable->vals[0], .desc = SPI_tuptable->tupdesc};
        MemoryContext spi = MemoryContextSwitchTo(caller);
        MetasdSwitch saved;

        metasd_security_switch_to(&saved, metasd_extension_owner(), false);
        PushActiveSnapshot(GetLatestSnapshot());
        model = model_of_row(&row, NULL);
        model->source_named = named_attribute(&row, "source");
        model->validation_named = named_attribute(&row, "validation");
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
    model = recall(name);
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
