#include "ask.h"

#include "access/xlog.h"
#include "lib/stringinfo.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "settings.h"
#include "source.h"

bool
metasd_model_is_mine(const MetasdModel *model)
{
    return has_privs_of_role(GetUserId(), model->owner);
}

bool
metasd_model_may_ask(const MetasdModel *model)
{
    return metasd_model_is_mine(model) ||
           metasd_source_is_readable(model->serving_source, model->serving_column, GetUserId());
}

/* All models that the current user may ask. */
static List *
models_to_ask(void)
{
    List *models = NIL;
    ListCell *cell;

    foreach (cell, metasd_models_all())
        if (metasd_model_may_ask(lfirst(cell)))
            models = lappend(models, lfirst(cell));
    return models;
}

static int
by_name(const ListCell *a, const ListCell *b)
{
    return strcmp(((const MetasdModel *)lfirst(a))->name, ((const MetasdModel *)lfirst(b))->name);
}

/* "a", "b" and 3 more */
static char *
names_of(List *models)
{
    StringInfoData names;
    ListCell *cell;
    int n = 0;

    initStringInfo(&names);
    list_sort(models, by_name);
    foreach (cell, models) {
        const MetasdModel *model = lfirst(cell);

        if (n++ < 8)
            appendStringInfo(&names, "%s\"%s\"", n > 1 ? ", " : "", model->name);
    }
    if (n > 8)
        appendStringInfo(&names, " and %d more", n - 8);
    return names.data;
}

void
metasd_model_unknown(const char *name)
{
    List *models = models_to_ask();

    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
                    models == NIL ? errhint("Train one with kg_train(model, source).")
                                  : errhint("The models are: %s.", names_of(models))));
}

/* The only model the current user may ask. */
static MetasdModel *
only_model(void)
{
    List *models = models_to_ask();

    if (models == NIL)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no model to ask"),
                        errhint("Train one with kg_train(model, source).")));
    if (list_length(models) > 1)
        ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_PARAMETER),
                        errmsg("there is more than one model to ask"),
                        errhint("Name it with model => ..., or with SET metasd.model. The models "
                                "are: %s.",
                                names_of(models))));
    return linitial(models);
}

MetasdModel *
metasd_model_to_ask(const char *name)
{
    MetasdModel *model;

    if (!name && metasd_default_model && metasd_default_model[0])
        name = metasd_default_model;
    if (!name)
        model = only_model();
    else if (!(model = metasd_model_find(name, false)))
        metasd_model_unknown(name);
    if (!metasd_model_may_ask(model))
        ereport(
            ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("permission denied for model \"%s\"", model->name),
             errhint(
                 "Asking it needs SELECT on its source's columns and USAGE of its schema, where "
                 "it is a table without row security for you, or membership in the role "
                 "\"%s\".",
                 GetUserNameFromId(model->owner, true) ? GetUserNameFromId(model->owner, true)
                                                       : "of its owner")));
    if (model->serving == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has not been trained yet", model->name),
                        errhint("Look at metasd.versions for its runs.")));
    return model;
}

MetasdModel *
metasd_model_to_change(const char *name, const char *hint)
{
    MetasdModel *model = metasd_model_find(name, true);

    if (!model && !hint)
        metasd_model_unknown(name);
    if (!model)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model \"%s\" does not exist", name), errhint("%s", hint)));
    if (!metasd_model_is_mine(model))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of model \"%s\"", model->name)));
    return model;
}

void
metasd_check_primary(const char *function)
{
    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("cannot execute %s on a standby server", function),
                        errhint("Models are trained on the primary, and replicated from there.")));
}

void
metasd_check_writable(const char *function)
{
    metasd_check_primary(function);
    PreventCommandIfReadOnly(function);
}

PG_FUNCTION_INFO_V1(metasd_may_ask_sql);

/* metasd.may_ask(owner oid, source oid, head text, relation text, tail text) returns boolean */
Datum
metasd_may_ask_sql(PG_FUNCTION_ARGS)
{
    MetasdModel model = {.owner = PG_GETARG_OID(0), .serving_source = PG_GETARG_OID(1)};

    for (int i = 0; i < 3; i++)
        model.serving_column[i] = text_to_cstring(PG_GETARG_TEXT_PP(2 + i));
    PG_RETURN_BOOL(metasd_model_may_ask(&model));
}
