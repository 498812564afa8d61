#include "catalog.h"

#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define EXTENSION "metasd"
#define SCHEMA "metasd"

/* ---- whose rights are in force ---- */

void
metasd_switch_to(MetasdSwitch *saved, Oid to, bool restricted)
{
    int flags = restricted ? SECURITY_RESTRICTED_OPERATION : 0;

    GetUserIdAndSecContext(&saved->user, &saved->context);
    SetUserIdAndSecContext(to, saved->context | SECURITY_LOCAL_USERID_CHANGE | flags);
    saved->nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
}

void
metasd_switch_back(const MetasdSwitch *saved)
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

char *
metasd_owner_name(Oid owner)
{
    char *name = GetUserNameFromId(owner, true);

    if (!name)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("the role that owned the model does not exist any more"),
                        errhint("A superuser may drop the model with kg_drop.")));
    return name;
}

/* ---- statements ---- */

uint64
metasd_execute(MetasdStatement *statement, Datum *values, const char *nulls, bool read_only)
{
    MetasdSwitch saved;
    int result;

    metasd_switch_to(&saved, metasd_extension_owner(), false);
    if (!statement->plan) {
        SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->types);

        if (!plan || SPI_keepplan(plan) != 0)
            elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
                 SPI_result_code_string(SPI_result));
        statement->plan = plan;
    }
    result = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
    if (result < 0)
        elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(result));
    metasd_switch_back(&saved);
    return SPI_processed;
}

Datum
metasd_column(uint64 row, int column, bool *isnull)
{
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
metasd_column_text(uint64 row, int column)
{
    char *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column), *copy;

    if (!text)
        return NULL;
    copy = SPI_palloc(strlen(text) + 1);
    strcpy(copy, text);
    pfree(text);
    return copy;
}

/* ---- models ---- */

/*
 * No more than joins the two rows: what casts, conditions and an order need is looked up by a new
 * session in the system catalogs, which takes as long as its first answer.
 */
#define MODEL_COLUMNS                                                                              \
    "SELECT m.name, m.owner, m.source, m.head, m.relation, m.tail, m.validation, m.params, "       \
    "m.serving, r.uuid, r.source, r.head, r.relation, r.tail "                                     \
    "FROM metasd.model m LEFT JOIN metasd.run r ON r.id OPERATOR(pg_catalog.=) m.serving "

static Oid
oid_column(uint64 row, int column)
{
    bool isnull;
    Datum value = metasd_column(row, column, &isnull);

    return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* A model from a row of MODEL_COLUMNS, in the context that was current before SPI_connect. */
static MetasdModel *
model_of_row(uint64 row)
{
    MetasdModel *model = SPI_palloc(sizeof(*model));
    bool isnull;
    Datum value;

    memset(model, 0, sizeof(*model));
    model->name = metasd_column_text(row, 1);
    model->owner = oid_column(row, 2);
    model->source = oid_column(row, 3);
    for (int i = 0; i < 3; i++)
        model->column[i] = metasd_column_text(row, 4 + i);
    model->validation = oid_column(row, 7);
    value = metasd_column(row, 8, &isnull);
    if (!isnull) {
        Jsonb *params = DatumGetJsonbP(value);

        model->params = SPI_palloc(VARSIZE(params));
        memcpy(model->params, params, VARSIZE(params));
    }
    value = metasd_column(row, 9, &isnull);
    model->serving = isnull ? 0 : DatumGetInt64(value);
    value = metasd_column(row, 10, &isnull);
    if (isnull) { /* no run serves, or its row is gone */
        model->serving = 0;
        model->serving_source = model->source;
        memcpy(model->serving_column, model->column, sizeof(model->column));
    } else {
        model->uuid = *DatumGetUUIDP(value);
        model->serving_source = oid_column(row, 11);
        for (int i = 0; i < 3; i++)
            model->serving_column[i] = metasd_column_text(row, 12 + i);
    }
    return model;
}

MetasdModel *
metasd_model_find(const char *name, bool lock)
{
    static MetasdStatement look = {
        MODEL_COLUMNS "WHERE m.name OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}, NULL};
    static MetasdStatement take = {
        MODEL_COLUMNS "WHERE m.name OPERATOR(pg_catalog.=) $1 FOR UPDATE OF m", 1, {TEXTOID}, NULL};
    Datum value = CStringGetTextDatum(name);
    MetasdModel *model = NULL;

    SPI_connect();
    if (metasd_execute(lock ? &take : &look, &value, NULL, !lock) > 0)
        model = model_of_row(0);
    SPI_finish();
    return model;
}

List *
metasd_models_all(void)
{
    static MetasdStatement all = {MODEL_COLUMNS, 0, {0}, NULL};
    MemoryContext caller = CurrentMemoryContext;
    List *models = NIL;
    uint64 n;

    SPI_connect();
    n = metasd_execute(&all, NULL, NULL, true);
    for (uint64 i = 0; i < n; i++) {
        MetasdModel *model = model_of_row(i);
        MemoryContext spi = MemoryContextSwitchTo(caller);

        models = lappend(models, model);
        MemoryContextSwitchTo(spi);
    }
    SPI_finish();
    return models;
}
