/*
 * train.c - kg_train, also as a scheduled job: writes the request into the model's row and starts a
 * run.
 */
#include "pg/control/launch.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/access/access.h"
#include "pg/params/params.h"
#include "pg/catalog/reference.h"
#include "pg/control/schedule.h"
#include "pg/source/trust.h"

#define MOST_NAME_BYTES 255

PG_FUNCTION_INFO_V1(metasd_kg_train);
PG_FUNCTION_INFO_V1(metasd_train_scheduled_sql);

/* ---- the model's row ---- */

/* The arguments of kg_train; NULL or not given where they are not. */
typedef struct Request {
    char *name;
    bool source_given, validation_given; /* validation: perhaps none, which is '-' as a regclass */
    Oid source, validation;
    char *column[3];
    Jsonb *params;
} Request;

static void
check_name(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > MOST_NAME_BYTES)
        ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
                        errmsg("a model's name must have 1 to %d bytes", MOST_NAME_BYTES)));
}

/* Creates the model's row unless there is one; waits for another transaction that creates it. */
static void
insert_model(const Request *request)
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

static Jsonb *
concatenated(Jsonb *a, Jsonb *b)
{
    return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

static MetasdRemembered
remembered(Oid relation)
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

/* Says that the relation NAMED is not what the model goes on with, though it has the name. */
static void
stay(const MetasdModel *model, const MetasdRemembered *relation, const MetasdRemembered *named,
     bool validation)
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
 * What a model was trained from goes by its name: who loads a table anew makes another one, and
 * gives it the name of the old one. Not where it is of a role that the owner need not trust:
 * anybody could take the name of a table that is gone, and have the model of what he puts there.
 */
static void
follow_name(const MetasdModel *model, MetasdRemembered *relation, Oid named, bool validation)
{
    Oid owner = metasd_reference_relation_owner(named);
    MetasdRemembered found;

    if (!relation->given || !OidIsValid(owner) || named == relation->oid)
        return;
    found = remembered(named);
    if (owner != metasd_reference_relation_owner(relation->oid) &&
        !metasd_trusts(model->owner, owner)) {
        stay(model, relation, &found, validation);
        return;
    }
    ereport(NOTICE, (errmsg("model \"%s\" now uses the relation that has the name %s", model->name,
                            found.name)));
    *relation = found;
}

/* The model as it is to be trained again: what has been loaded anew under its name counts. */
static void
follow_names(MetasdModel *model, bool source, bool validation)
{
    (void)metasd_access_owner(model);
    if (source)
        follow_name(model, &model->source, model->source_named, false);
    if (validation)
        follow_name(model, &model->validation, model->validation_named, true);
}

/* The model as the request wants it: what it does not say stays as it was. */
static MetasdModel *
wanted_model(const Request *request)
{
    MetasdRemembered source = {.given = false};
    MetasdModel *model;

    if (request->source_given) {
        source = remembered(request->source);
        insert_model(request);
    }
    model = metasd_access_model_to_change(
        request->name, "Name the source to train it from: kg_train(model, source).");
    follow_names(model, !request->source_given, !request->validation_given);
    if (source.given)
        model->source = source;
    for (int i = 0; i < 3; i++)
        if (request->column[i])
            model->column[i] = request->column[i];
    if (request->validation_given)
        model->validation = OidIsValid(request->validation) ? remembered(request->validation)
                                                            : (MetasdRemembered){.given = false};
    if (request->params)
        model->params = concatenated(model->params, request->params);
    return model;
}

/* ---- the functions ---- */

static char *
text_argument(FunctionCallInfo fcinfo, int n)
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

/*
 * Trains a model that is locked, and of which no run is alive. The row is changed in any case: a
 * transaction whose snapshot does not have the run cannot lock it, and does nothing without the
 * run.
 */
static int64
start_training(const MetasdModel *model)
{
    metasd_launch_check(model);
    update_model(model);
    return metasd_launch_run(model);
}

/*
 * kg_train(model text, source regclass, head, relation, tail text, validation regclass, params
 * jsonb)
 */
Datum
metasd_kg_train(PG_FUNCTION_ARGS)
{
    Request request = {.name = text_argument(fcinfo, 0),
                       .source_given = !PG_ARGISNULL(1),
                       .source = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
                       .validation_given = !PG_ARGISNULL(5),
                       .validation = PG_ARGISNULL(5) ? InvalidOid : PG_GETARG_OID(5),
                       .params = PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6)};
    MetasdParams params;
    MetasdModel *model;

    for (int i = 0; i < 3; i++)
        request.column[i] = text_argument(fcinfo, 2 + i);
    check_call("kg_train()", request.name);
    if (request.params)
        metasd_params_read(&params, request.params);
    (void)metasd_extension_hold(metasd_extension());
    model = wanted_model(&request);
    metasd_launch_alone(model);
    PG_RETURN_INT64(start_training(model));
}

/*
 * metasd.train_scheduled(model text): kg_train as a job of pg_cron calls it. Where a run goes on
 * already the next time will do: that is no failure of the job.
 */
Datum
metasd_train_scheduled_sql(PG_FUNCTION_ARGS)
{
    char *name = text_argument(fcinfo, 0);
    MetasdModel *model;
    int64 run;

    check_call("metasd.train_scheduled()", name);
    (void)metasd_extension_hold(metasd_extension());
    model = metasd_access_model_to_change(name, metasd_schedule_end(name));
    follow_names(model, true, true);
    run = metasd_launch_alive(model);
    if (run != 0) {
        ereport(LOG, (errmsg("scheduled training of metasd model \"%s\" is skipped: training "
                             "run " INT64_FORMAT " is still running",
                             model->name, run)));
        PG_RETURN_NULL();
    }
    PG_RETURN_INT64(start_training(model));
}
