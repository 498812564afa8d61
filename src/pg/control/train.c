/*
 * train.c - kg_train and metasd.train_scheduled: update the model's row and start a run.
 */
#include "pg/control/train.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/access/access.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/statement.h"
#include "pg/control/launch.h"
#include "pg/control/schedule.h"
#include "pg/params/params.h"
#include "pg/source/trust.h"

#define MOST_NAME_BYTES 255

PG_FUNCTION_INFO_V1(metasd_kg_train);
PG_FUNCTION_INFO_V1(metasd_train_scheduled_sql);

/* ---- the model's row ---- */

static void
check_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > MOST_NAME_BYTES)
        ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
                        errmsg("a model's name must have 1 to %d bytes", MOST_NAME_BYTES)));
}

/* Creates the model's row unless it exists. Waits for another transaction that creates it. */
static void
insert_model(const MetasdRequest *request)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.model (name, owner, source, head, relation, tail) "
        "VALUES ($1, metasd.role_ref($2), metasd.relation_ref($3), 'head', 'relation', 'tail') "
        "ON CONFLICT (name) DO NOTHING",
        3,
        {TEXTOID, OIDOID, OIDOID},
        NULL};
    Datum values[3] = {CStringGetTextDatum(request->name), ObjectIdGetDatum(GetUserId()),
                       ObjectIdGetDatum(request->source)};

    SPI_connect();
    metasd_statement_execute(&insert, values, NULL, false);
    SPI_finish();
}

static void
update_model(const MetasdModel *model)
{
    static MetasdStatement update = {
        "UPDATE metasd.model SET source = metasd.relation_ref($2), head = $3, relation = $4, "
        "tail = $5, validation = metasd.relation_ref($6), params = $7 WHERE name = $1",
        7,
        {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, JSONBOID},
        NULL};
    Datum values[7] = {
        CStringGetTextDatum(model->name),      ObjectIdGetDatum(model->source.oid),
        CStringGetTextDatum(model->column[0]), CStringGetTextDatum(model->column[1]),
        CStringGetTextDatum(model->column[2]), ObjectIdGetDatum(model->validation.oid),
        JsonbPGetDatum(model->params)};
    char nulls[] = "       ";

    if (!model->validation.given)
        nulls[5] = 'n';
    SPI_connect();
    metasd_statement_execute(&update, values, nulls, false);
    SPI_finish();
}

Jsonb *
metasd_train_merge(Jsonb *a, Jsonb *b)
{
    return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

static MetasdRemembered
remember_relation(Oid relation)
{
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the source relation does not exist"),
                 errhint("Name another source: kg_train(model, source).")));
    return (MetasdRemembered){
        .given = true,
        .oid = relation,
        .name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                           get_rel_name(relation))};
}

/* Reports that the model does not follow its relation's name to the relation NAMED. */
static void
report_foreign_relation(const MetasdModel *model, const MetasdRemembered *relation,
                        const MetasdRemembered *named, bool validation)
{
    char *owner = GetUserNameFromId(metasd_reference_relation_owner(named->oid), true), *name;

    name = quote_literal_cstr(model->name);
    ereport(
        OidIsValid(relation->oid) ? NOTICE : ERROR,
        (errcode(ERRCODE_UNDEFINED_TABLE),
         OidIsValid(relation->oid)
             ? errmsg("model \"%s\" still uses relation %s, which it was trained from", model->name,
                      relation->name)
             : errmsg("the relation that model \"%s\" was trained from does not exist any more",
                      model->name),
         errdetail("The name %s now belongs to another relation, of role \"%s\". The model "
                   "follows the name only to a relation of its owner, of a member of its "
                   "owner, or of a superuser.",
                   named->name, owner ? owner : "unknown"),
         validation
             ? errhint("To use that relation, name it: kg_train(%s, validation => '...').", name)
             : errhint("To use that relation, name it: kg_train(%s, source).", name)));
}

/*
 * Follows the name of a model's relation: users load facts anew into another table and give it the
 * name of the old one. The model does not follow the name to a relation of a role that its owner
 * does not trust: that role could take the name of a dropped table and choose the model's facts.
 */
static void
follow_name(const MetasdModel *model, MetasdRemembered *relation, Oid named, bool validation)
{
    Oid owner = metasd_reference_relation_owner(named);
    MetasdRemembered found;

    if (!relation->given || !OidIsValid(owner) || named == relation->oid)
        return;
    found = remember_relation(named);
    if (owner != metasd_reference_relation_owner(relation->oid) &&
        !metasd_inspection_trusts(model->owner, owner)) {
        report_foreign_relation(model, relation, &found, validation);
        return;
    }
    ereport(NOTICE, (errmsg("model \"%s\" now uses the relation that has the name %s", model->name,
                            found.name)));
    *relation = found;
}

/* Follows the names of the model's relations that the call does not name. */
static void
follow_names(MetasdModel *model, bool source, bool validation)
{
    (void)metasd_access_owner(model);
    if (source)
        follow_name(model, &model->source, model->source_named, false);
    if (validation)
        follow_name(model, &model->validation, model->validation_named, true);
}

/* Locks the model and changes it as requested. What the request does not name stays unchanged. */
static MetasdModel *
apply_request(const MetasdRequest *request)
{
    MetasdRemembered source = {.given = false};
    MetasdModel *model;

    if (request->source_given) {
        source = remember_relation(request->source);
        insert_model(request);
    }
    model = metasd_access_model_to_change(request->function, request->name, request->hint);
    follow_names(model, !request->source_given, !request->validation_given);
    if (source.given)
        model->source = source;
    for (int i = 0; i < 3; i++)
        if (request->column[i])
            model->column[i] = request->column[i];
    if (request->validation_given)
        model->validation = OidIsValid(request->validation) ? remember_relation(request->validation)
                                                            : (MetasdRemembered){.given = false};
    if (request->params)
        model->params = metasd_train_merge(model->params, request->params);
    return model;
}

/* ---- the functions ---- */

char *
metasd_train_text(FunctionCallInfo fcinfo, int n)
{
    return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
check_call(const char *function, const char *name)
{
    metasd_access_check_writable(function);
    if (!name)
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("a model's name must not be null")));
    check_name(name);
}

MetasdModel *
metasd_train_request(const MetasdRequest *request)
{
    MetasdModel *model;

    check_call(request->function, request->name);
    (void)metasd_extension_hold(metasd_extension());
    model = apply_request(request);
    metasd_launch_alone(model);
    return model;
}

/*
 * The model's row is updated even if nothing changes: a transaction whose snapshot does not show
 * the new run then cannot lock the row.
 */
int64
metasd_train_start(const MetasdModel *model, Jsonb *params, Jsonb *metrics)
{
    MetasdModel run = *model;

    metasd_launch_check(model);
    update_model(model);
    if (params)
        run.params = params;
    return metasd_launch_run(&run, metrics);
}

/*
 * kg_train(model text, source regclass, head, relation, tail text, validation regclass, params
 * jsonb)
 */
Datum
metasd_kg_train(PG_FUNCTION_ARGS)
{
    MetasdRequest request = {.function = "kg_train()",
                             .hint = "Name the source to train it from: kg_train(model, source).",
                             .name = metasd_train_text(fcinfo, 0),
                             .source_given = !PG_ARGISNULL(1),
                             .source = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
                             .validation_given = !PG_ARGISNULL(5),
                             .validation = PG_ARGISNULL(5) ? InvalidOid : PG_GETARG_OID(5),
                             .params = PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6)};
    MetasdParams params;

    for (int i = 0; i < 3; i++)
        request.column[i] = metasd_train_text(fcinfo, 2 + i);
    check_call(request.function, request.name);
    if (request.params)
        metasd_params_read(&params, request.params);
    PG_RETURN_INT64(metasd_train_start(metasd_train_request(&request), NULL, NULL));
}

/*
 * metasd.train_scheduled(model text) returns bigint: jobs of pg_cron call it. If a run of the model
 * is alive, the job does nothing, and does not fail: the next time will do.
 */
Datum
metasd_train_scheduled_sql(PG_FUNCTION_ARGS)
{
    char *name = metasd_train_text(fcinfo, 0);
    MetasdModel *model;
    int64 run;

    check_call("metasd.train_scheduled()", name);
    model =
        metasd_access_model_to_change("metasd.train_scheduled()", name, metasd_schedule_end(name));
    follow_names(model, true, true);
    run = metasd_launch_alive(model);
    if (run != 0) {
        ereport(LOG, (errmsg("scheduled training of metasd model \"%s\" is skipped: training "
                             "run " INT64_FORMAT " is still running",
                             model->name, run)));
        PG_RETURN_NULL();
    }
    PG_RETURN_INT64(metasd_train_start(model, NULL, NULL));
}
