/*
 * schedule.c - kg_schedule, kg_unschedule: trainings that the extension pg_cron starts.
 *
 * A schedule is a job of pg_cron and nothing else, so it can be listed, dumped and stopped like
 * other jobs. The job's name holds the names of the database and of the model. The job belongs to
 * the caller of kg_schedule and runs with his rights. The extension's owner removes jobs of other
 * roles for the same model, both when the schedule is replaced and when the model is dropped.
 *
 * The functions that are called here are in schema cron. They are called only if that schema is
 * part of the extension pg_cron, because anybody may create a schema of that name.
 */
#include "pg/control/schedule.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/access/access.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/security.h"
#include "pg/catalog/statement.h"
#include "pg/control/launch.h"

PG_FUNCTION_INFO_V1(metasd_kg_schedule);
PG_FUNCTION_INFO_V1(metasd_kg_unschedule);

/* ---- the name and the command of a job ---- */

/*
 * NAME, in quotes unless it consists of plain letters. The result of quote_identifier would depend
 * on the setting quote_all_identifiers and on the keywords of the server's version.
 */
static char *
quote_name(const char *name)
{
    StringInfoData text;

    if (name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name))
        return pstrdup(name);
    initStringInfo(&text);
    appendStringInfoChar(&text, '"');
    for (; *name; name++) {
        if (*name == '"')
            appendStringInfoChar(&text, '"');
        appendStringInfoChar(&text, *name);
    }
    appendStringInfoChar(&text, '"');
    return text.data;
}

/* No other model or database has the same job name. It is shorter than NAMEDATALEN. */
static char *
job_name(const char *model)
{
    const char *database = get_database_name(MyDatabaseId);
    char *both = psprintf("%s %s", quote_name(database), quote_name(model));

    if (strlen("metasd ") + strlen(both) >= NAMEDATALEN)
        both = TextDatumGetCString(DirectFunctionCall1(md5_text, CStringGetTextDatum(both)));
    return psprintf("metasd %s", both);
}

static char *
job_command(const char *model)
{
    return psprintf("SELECT metasd.train_scheduled(%s)", quote_literal_cstr(model));
}

/* ---- pg_cron ---- */

/* The schema of pg_cron's functions, or InvalidOid if the extension is not in this database. */
static Oid
cron_schema(void)
{
    Oid extension = get_extension_oid("pg_cron", true);
    Oid schema = get_namespace_oid("cron", true);

    if (!OidIsValid(extension) || !OidIsValid(schema) ||
        getExtensionOfObject(NamespaceRelationId, schema) != extension)
        return InvalidOid;
    return schema;
}

/* From version 1.3 on, jobs have names. */
static bool
jobs_have_names(Oid schema)
{
    Oid table = get_relname_relid("job", schema);

    return OidIsValid(table) && get_attnum(table, "jobname") != InvalidAttrNumber;
}

/* The database in which pg_cron works; NULL if the server has not loaded it. */
static const char *
cron_database(void)
{
    if (GetConfigOptionFlags("cron.database_name", true) & GUC_CUSTOM_PLACEHOLDER)
        return NULL;
    return GetConfigOption("cron.database_name", true, false);
}

/*
 * Does the server have version 1.MINOR of pg_cron, or a later one? The database where it works may
 * be another one, which cannot be seen here.
 */
static bool
offers_cron(int minor)
{
    static MetasdStatement look = {
        "SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'pg_cron' AND "
        "string_to_array(substring(default_version FROM '^\\d+\\.\\d+'), '.')::integer[] < "
        "ARRAY[1, $1]",
        1,
        {INT4OID},
        NULL};
    Datum value = Int32GetDatum(minor);
    bool older;

    SPI_connect();
    older = metasd_statement_execute(&look, &value, NULL, true) > 0;
    SPI_finish();
    return !older;
}

/* What makes a job for this database where pg_cron works. From version 1.4 on it is one call. */
static char *
scheduling_there(const char *model, const char *schedule, const char *here)
{
    char *name = quote_literal_cstr(job_name(model)), *time = quote_literal_cstr(schedule);
    char *command = quote_literal_cstr(job_command(model)), *database = quote_literal_cstr(here);

    return offers_cron(4) ? psprintf("SELECT cron.schedule_in_database(%s, %s, %s, %s)", name, time,
                                     command, database)
                          : psprintf("SELECT cron.schedule(%s, %s, %s); UPDATE cron.job SET "
                                     "database = %s WHERE jobname = %s",
                                     name, time, command, database, name);
}

/* A hint: how to schedule from this database or, if SCHEDULE is NULL, how to end a schedule. */
static char *
hint_at_cron(const char *model, const char *schedule)
{
    const char *here = get_database_name(MyDatabaseId), *there = cron_database();

    if (!there)
        return psprintf(_("Install it (Debian: postgresql-%d-cron), set shared_preload_libraries = "
                          "'pg_cron' and cron.database_name = %s in postgresql.conf, restart the "
                          "server, and run CREATE EXTENSION pg_cron."),
                        PG_VERSION_NUM / 10000, quote_literal_cstr(here));
    if (strcmp(here, there) == 0)
        return pstrdup(_("Run CREATE EXTENSION pg_cron."));
    if (!schedule)
        return psprintf(_("Jobs for other databases are in database \"%s\". Run there: SELECT "
                          "cron.unschedule(%s)."),
                        there, quote_literal_cstr(job_name(model)));
    return psprintf(_("pg_cron works in database \"%s\". Run there: %s."), there,
                    scheduling_there(model, schedule, here));
}

/* An error unless pg_cron works in this database and the caller may use it. */
static void
check_cron(const char *model, const char *schedule)
{
    Oid schema = cron_schema();

    if (!OidIsValid(schema) || !cron_database()) {
        const char *hint = hint_at_cron(model, schedule);

        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("schedules need the extension pg_cron in this database"),
                        errhint("%s", hint)));
    }
    if (!jobs_have_names(schema)) {
        bool offered = offers_cron(3);

        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("schedules need version 1.3 or later of the extension pg_cron"),
                        offered ? errhint("Run ALTER EXTENSION pg_cron UPDATE.")
                                : errhint("Install a later version (Debian: postgresql-%d-cron), "
                                          "restart the server, and run ALTER EXTENSION pg_cron "
                                          "UPDATE.",
                                          PG_VERSION_NUM / 10000)));
    }
    if (!DatumGetBool(DirectFunctionCall2(has_schema_privilege_id, ObjectIdGetDatum(schema),
                                          CStringGetTextDatum("USAGE"))))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied for schema cron"),
                        errhint("Let a superuser GRANT USAGE ON SCHEMA cron TO %s.",
                                quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

/* An error unless the caller may log in: the job connects as the caller. */
static void
check_caller_login(void)
{
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
    bool login = HeapTupleIsValid(tuple) && ((Form_pg_authid)GETSTRUCT(tuple))->rolcanlogin;

    if (HeapTupleIsValid(tuple))
        ReleaseSysCache(tuple);
    if (!login)
        ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
                        errmsg("role \"%s\" cannot have a schedule: it is not permitted to log in",
                               GetUserNameFromId(GetUserId(), false)),
                        errhint("Schedule as a role with LOGIN that is a member of the model's "
                                "owner.")));
}

/* ---- jobs ---- */

/* Makes a job of the caller. If he has a job of that name, it gets the new schedule. */
static int64
make_job(const char *model, const char *schedule)
{
    Oid types[3] = {TEXTOID, TEXTOID, TEXTOID};
    Datum values[3] = {CStringGetTextDatum(job_name(model)), CStringGetTextDatum(schedule),
                       CStringGetTextDatum(job_command(model))};
    MetasdSwitch saved;
    bool isnull;

    metasd_security_switch_to(&saved, GetUserId(), false);
    if (SPI_execute_with_args("SELECT cron.schedule($1, $2, $3)", 3, types, values, NULL, false,
                              0) != SPI_OK_SELECT ||
        SPI_processed != 1)
        elog(ERROR, "could not schedule a job");
    metasd_security_switch_back(&saved);
    return DatumGetInt64(metasd_statement_value(0, 1, &isnull));
}

/* Removes the jobs of a model, except those of role BUT, and returns their number. */
static uint64
remove_jobs(const char *model, const char *but)
{
    static MetasdStatement find = {
        "SELECT jobid FROM cron.job WHERE jobname::text = $1 "
        "AND database = current_database()::text AND username IS DISTINCT FROM $2",
        2,
        {TEXTOID, TEXTOID},
        NULL};
    static MetasdStatement unschedule = {"SELECT cron.unschedule($1)", 1, {INT8OID}, NULL};
    Datum values[2] = {CStringGetTextDatum(job_name(model)),
                       but ? CStringGetTextDatum(but) : (Datum)0};
    uint64 n = metasd_statement_execute(&find, values, but ? NULL : " n", false);
    SPITupleTable *rows = SPI_tuptable;

    for (uint64 i = 0; i < n; i++) {
        bool isnull;
        Datum job = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

        metasd_statement_execute(&unschedule, &job, NULL, false);
    }
    return n;
}

/* kg_schedule(model text, schedule text) returns bigint: the job */
Datum
metasd_kg_schedule(PG_FUNCTION_ARGS)
{
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    char *schedule = text_to_cstring(PG_GETARG_TEXT_PP(1));
    MetasdModel *model;
    int64 job;

    model = metasd_access_model_to_change("kg_schedule()", name, NULL);
    metasd_launch_check(model);
    check_caller_login();
    check_cron(name, schedule);
    SPI_connect();
    (void)remove_jobs(name, GetUserNameFromId(GetUserId(), false));
    job = make_job(name, schedule);
    SPI_finish();
    PG_RETURN_INT64(job);
}

/* kg_unschedule(model text) returns boolean: true if the model had a schedule */
Datum
metasd_kg_unschedule(PG_FUNCTION_ARGS)
{
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    uint64 n;

    (void)metasd_access_model_to_change("kg_unschedule()", name, NULL);
    check_cron(name, NULL);
    SPI_connect();
    n = remove_jobs(name, NULL);
    SPI_finish();
    if (n == 0)
        ereport(NOTICE, (errmsg("model \"%s\" has no schedule", name)));
    PG_RETURN_BOOL(n > 0);
}

/* Warns of jobs of the model that stay, because pg_cron is not loaded and cannot remove them. */
static void
warn_of_jobs(const char *model)
{
    static MetasdStatement find = {"SELECT jobid FROM cron.job WHERE jobname::text = $1 "
                                   "AND database = current_database()::text",
                                   1,
                                   {TEXTOID},
                                   NULL};
    Datum name = CStringGetTextDatum(job_name(model));
    uint64 n = metasd_statement_execute(&find, &name, NULL, false);

    for (uint64 i = 0; i < n; i++)
        ereport(WARNING, (errcode(ERRCODE_WARNING),
                          errmsg("the schedule of model \"%s\" could not be removed", model),
                          errdetail("The extension pg_cron is not loaded."),
                          errhint("Once it is loaded, run SELECT cron.unschedule(%s).",
                                  metasd_statement_text(i, 1))));
}

/*
 * If pg_cron keeps its jobs in another database, they cannot be seen here. When such a job runs
 * later, its error has the hint of metasd_schedule_end.
 */
void
metasd_schedule_drop(const char *model)
{
    Oid schema = cron_schema();

    if (!OidIsValid(schema) || !jobs_have_names(schema) || !superuser_arg(metasd_extension_owner()))
        return;
    SPI_connect();
    if (cron_database())
        (void)remove_jobs(model, NULL);
    else
        warn_of_jobs(model);
    SPI_finish();
}

char *
metasd_schedule_end(const char *model)
{
    const char *job = quote_literal_cstr(job_name(model)), *database = cron_database();

    if (!database)
        return psprintf(_("SELECT cron.unschedule(%s) ends its schedule."), job);
    return psprintf(_("SELECT cron.unschedule(%s) in database \"%s\" ends its schedule."), job,
                    database);
}
