#include "pg/access/access.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "pg/base/settings.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/reference.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/catalog/subscription.h"
#include "pg/source/source.h"

bool
metasd_access_is_mine(const MetasdModel *model)
{
    return OidIsValid(model->owner) ? has_privs_of_role(GetUserId(), model->owner) : superuser();
}

bool
metasd_access_may_ask(const MetasdModel *model)
{
    return metasd_access_is_mine(model) ||
           metasd_source_is_readable(model->serving_source.oid, model->serving_column, GetUserId());
}

/* All models that the current user may ask. */
static List *
models_to_ask(void)
{
    List *models = NIL;
    ListCell *cell;

    foreach (cell, metasd_model_all())
        if (metasd_access_may_ask(lfirst(cell)))
            models = lappend(models, lfirst(cell));
    return models;
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
    return strcmp(((const MetasdModel *)lfirst(a))->name, ((const MetasdModel *)lfirst(b))->name);
}

#define MOST_LISTED 8

/* The names of the first MOST_LISTED models, separated by commas. */
static char *
join_names(List *models)
{
    StringInfoData names;
    ListCell *cell;
    int n = 0;

    initStringInfo(&names);
    list_sort(models, compare_names);
    foreach (cell, models) {
        const MetasdModel *model = lfirst(cell);

        if (n++ < MOST_LISTED)
            appendStringInfo(&names, "%s\"%s\"", n > 1 ? ", " : "", model->name);
    }
    return names.data;
}

/* An errhint, or else an errdetail, that lists the models. */
static int
list_models(List *models, bool hint)
{
    int more = list_length(models) - MOST_LISTED;
    char *names = join_names(models);

    if (more <= 0)
        return hint ? errhint("The models are: %s.", names)
                    : errdetail("The models are: %s.", names);
    return hint ? errhint_plural("The models are: %s, and %d more.",
                                 "The models are: %s, and %d more.", more, names, more)
                : errdetail_plural("The models are: %s, and %d more.",
                                   "The models are: %s, and %d more.", more, names, more);
}

/* A hint for a server without models. */
static int
hint_at_training(void)
{
    if (metasd_subscription_is_copying())
        return errhint("Models are being copied to this server. Ask again when srsubstate in "
                       "pg_subscription_rel is \"r\" for all tables.");
    if (RecoveryInProgress() || metasd_subscription_exists())
        return errhint("Models are trained on another server, and replicated from there.");
    return errhint("Train one with kg_train(model, source), or let this server subscribe to the "
                   "models of another.");
}

/* Raises the error for a model that does not exist, with the names of those that do. */
static _Noreturn void
refuse_unknown(const char *name)
{
    List *models = models_to_ask();

    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
                    models == NIL ? hint_at_training() : list_models(models, true)));
}

/* The only model the current user may ask. */
static MetasdModel *
only_model(void)
{
    List *models = models_to_ask();

    if (models == NIL)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no model to ask"),
                        hint_at_training()));
    if (list_length(models) > 1)
        ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_PARAMETER),
                        errmsg("there is more than one model to ask"), list_models(models, false),
                        errhint("Name it with model => ..., or with SET metasd.model.")));
    return linitial(models);
}

MetasdModel *
metasd_access_model_to_ask(const char *name)
{
    MetasdModel *model;

    if (!name && metasd_default_model && metasd_default_model[0])
        name = metasd_default_model;
    if (!name)
        model = only_model();
    else if (!(model = metasd_model_find(name, false)))
        refuse_unknown(name);
    if (!metasd_access_may_ask(model))
        ereport(
            ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("permission denied for model \"%s\"", model->name),
             errdetail("You may ask a model whose owner you are a member of, or whose source is "
                       "a table without row security for you, with SELECT on its columns and "
                       "USAGE on its schema."),
             OidIsValid(model->owner)
                 ? errhint("The owner is role \"%s\".", GetUserNameFromId(model->owner, true))
                 : errhint("The owner does not exist any more. A superuser can give the model "
                           "to another role with kg_owner.")));
    if (model->absent != 0)
        metasd_subscription_check_whole(
            model->absent, psprintf(_("The row of model \"%s\" is here, and that of its version in "
                                      "metasd.run is not."),
                                    model->name));
    if (model->serving == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has not been trained yet", model->name),
                        errhint("Look at metasd.versions for its runs.")));
    return model;
}

/* An error unless the model belongs to the current user. */
static void
check_mine(const MetasdModel *model)
{
    if (metasd_access_is_mine(model))
        return;
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("must be owner of model \"%s\"", model->name),
             OidIsValid(model->owner)
                 ? 0
                 : errhint("The owner does not exist any more. A superuser can give the model to "
                           "another role with kg_owner.")));
}

Oid
metasd_access_owner(const MetasdModel *model)
{
    if (!OidIsValid(model->owner))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("the role that owned model \"%s\" does not exist any more", model->name),
                 errdetail("Its name was %s.", model->owner_name),
                 errhint("A superuser can give the model to another role: SELECT "
                         "kg_owner(%s, '...').",
                         quote_literal_cstr(model->name))));
    return model->owner;
}

void
metasd_access_check_primary(const char *function)
{
    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("cannot execute %s on a standby server", function),
                        errhint("Models are trained on the primary, and replicated from there.")));
}

void
metasd_access_check_writable(const char *function)
{
    metasd_access_check_primary(function);
    PreventCommandIfReadOnly(function);
}

MetasdModel *
metasd_access_model_to_change(const char *function, const char *name, const char *hint)
{
    MetasdModel *model;

    metasd_access_check_writable(function);
    (void)metasd_extension_hold(metasd_extension());
    model = metasd_model_find(name, true);
    if (!model && !hint)
        refuse_unknown(name);
    if (!model)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model \"%s\" does not exist", name), errhint("%s", hint)));
    check_mine(model);
    return model;
}

MetasdModel *
metasd_access_model_of_run(int64 run, char **status)
{
    static MetasdStatement look = {
        "SELECT model, status FROM metasd.run WHERE id = $1", 1, {INT8OID}, NULL};
    Datum value = Int64GetDatum(run);
    char *name = NULL;
    MetasdModel *model;

    SPI_connect();
    if (metasd_statement_execute(&look, &value, NULL, true) > 0) {
        name = metasd_statement_text(0, 1);
        *status = metasd_statement_text(0, 2);
    }
    SPI_finish();
    model = name ? metasd_model_find(name, false) : NULL;
    if (!model || !metasd_access_may_ask(model)) /* not everybody may know its name */
        metasd_run_unknown(run);
    check_mine(model);
    return model;
}

MetasdModel *
metasd_access_run_to_change(const char *function, int64 run)
{
    char *status;

    metasd_access_check_writable(function);
    (void)metasd_extension_hold(metasd_extension()); /* before the tables: extension.h */
    return metasd_access_model_to_change(function, metasd_access_model_of_run(run, &status)->name,
                                         NULL);
}

PG_FUNCTION_INFO_V1(metasd_may_ask_sql);

/* metasd.may_ask(owner metasd.role_ref, source metasd.relation_ref, head text, ...) */
Datum
metasd_may_ask_sql(PG_FUNCTION_ARGS)
{
    MetasdModel model = {.owner = metasd_reference_oid(METASD_ROLE, PG_GETARG_DATUM(0))};

    model.serving_source.oid = metasd_reference_oid(METASD_RELATION, PG_GETARG_DATUM(1));
    for (int i = 0; i < 3; i++)
        model.serving_column[i] = text_to_cstring(PG_GETARG_TEXT_PP(2 + i));
    PG_RETURN_BOOL(metasd_access_may_ask(&model));
}

PG_FUNCTION_INFO_V1(metasd_run_status_sql);

bool
metasd_access_may_know_run(int64 run, bool *why)
{
    static MetasdStatement look = {
        "SELECT m.owner, r.source, r.head, r.relation, r.tail, r.validation, "
        "r.metrics ? 'import' FROM metasd.run r "
        "JOIN metasd.model m ON m.name = r.model WHERE r.id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    MetasdModel model = {0};
    bool isnull, found;

    *why = false;
    SPI_connect();
    found = metasd_statement_execute(&look, &value, NULL, true) > 0;
    if (found) {
        MetasdRemembered validation = metasd_statement_relation(0, 6);

        model.owner = metasd_reference_oid(METASD_ROLE, metasd_statement_value(0, 1, &isnull));
        model.serving_source = metasd_statement_relation(0, 2);
        for (int i = 0; i < 3; i++)
            model.serving_column[i] = metasd_statement_text(0, 3 + i);
        found = metasd_access_may_ask(&model);
        *why = metasd_access_is_mine(&model) ||
               (!DatumGetBool(metasd_statement_value(0, 7, &isnull)) &&
                (!validation.given ||
                 metasd_source_is_readable(validation.oid, model.serving_column, GetUserId())));
    }
    SPI_finish();
    return found;
}

/*
 * metasd.run_status(run bigint, status text) returns text. Users who may not know the run get the
 * status that they gave.
 */
Datum
metasd_run_status_sql(PG_FUNCTION_ARGS)
{
    int64 run = PG_GETARG_INT64(0);
    char *status = text_to_cstring(PG_GETARG_TEXT_PP(1));
    bool why;

    if (!metasd_access_may_know_run(run, &why))
        PG_RETURN_DATUM(PG_GETARG_DATUM(1));
    PG_RETURN_TEXT_P(cstring_to_text(metasd_run_status(run, status)));
}
