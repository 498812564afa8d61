/*
 * launch.c - the worker of a run: what is checked before, how it is started, which run is alive.
 *
 * Launching a worker is not transactional, so the worker makes it so: it waits for
 * the transaction that launched it and leaves if the run's row is not there then.
 * Functions that start a run return once the worker holds the run's lock (run.h): from then on
 * whoever looks can tell a living run from a dead one.
 */
#include "pg/control/launch.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "postmaster/bgworker.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"
#include "pg/base/settings.h"
#include "pg/source/source.h"

#define WAIT_FOR_PLACE_MS 2000 /* for another training to leave */

/* ---- checks that need no reading ---- */

static void
check_login(Oid role)
{
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
    bool login = HeapTupleIsValid(tuple) && ((Form_pg_authid)GETSTRUCT(tuple))->rolcanlogin;

    if (HeapTupleIsValid(tuple))
        ReleaseSysCache(tuple);
    if (METASD_WORKER_NEEDS_LOGIN && !login)
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
             errmsg("role \"%s\" cannot own a training: it is not permitted to log in",
                    GetUserNameFromId(role, false)),
             errdetail("Before PostgreSQL 17 a background worker cannot connect as such a role."),
             errhint("Train as a role with LOGIN.")));
}

/* Everything about the sources that can be known before a worker reads them. */
static void
check_sources(const MetasdModel *model)
{
    MetasdSource *source = metasd_source_open_remembered(&model->source, false, model->name,
                                                         model->column, model->owner);

    if (model->validation.given)
        (void)metasd_source_open_remembered(&model->validation, true, model->name, model->column,
                                            model->owner);
    if (!metasd_source_has_rows(source))
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a NULL in \"%s\", \"%s\" or \"%s\" do not count.",
                                model->column[0], model->column[1], model->column[2])));
}

void
metasd_launch_check(const MetasdModel *model)
{
    metasd_run_check_here();
    check_login(metasd_access_owner(model));
    check_sources(model);
}

/* ---- runs that are there ---- */

int64
metasd_launch_alive(const MetasdModel *model)
{
    static MetasdStatement unfinished = {
        "SELECT id FROM metasd.run WHERE model = $1 AND status = ANY ('{queued,running}'::text[])",
        1,
        {TEXTOID},
        NULL};
    static MetasdStatement bury = {
        "UPDATE metasd.run SET status = 'interrupted', finished = clock_timestamp(), "
        "error = 'the training worker is gone' WHERE id = $1 "
        "AND status = ANY ('{queued,running}'::text[])",
        1,
        {INT8OID},
        NULL};
    Datum name = CStringGetTextDatum(model->name);
    int64 alive = 0;
    uint64 n;

    SPI_connect();
    /* A transaction's own snapshot may be older than a run that another one has started. */
    PushActiveSnapshot(GetLatestSnapshot());
    n = metasd_statement_execute(&unfinished, &name, NULL, true);
    PopActiveSnapshot();
    for (uint64 i = 0; i < n && alive == 0; i++) {
        SPITupleTable *rows = SPI_tuptable;
        bool isnull;
        Datum id = metasd_statement_value(i, 1, &isnull);

        if (metasd_run_is_alive(DatumGetInt64(id)))
            alive = DatumGetInt64(id);
        else
            metasd_statement_execute(&bury, &id, NULL, false);
        SPI_tuptable = rows;
    }
    SPI_finish();
    return alive;
}

void
metasd_launch_alone(const MetasdModel *model)
{
    int64 run = metasd_launch_alive(model);

    if (run != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("model \"%s\" is already being trained by run " INT64_FORMAT,
                               model->name, run),
                        errhint("Wait for it with CALL kg_wait(" INT64_FORMAT
                                "), or stop it with kg_cancel(" INT64_FORMAT ").",
                                run, run)));
}

MetasdModel *
metasd_launch_own(int64 run, char **status)
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
    if (!model)
        metasd_run_unknown(run);
    if (!metasd_access_may_ask(model)) /* whose name, even, is not for everybody */
        metasd_run_unknown(run);
    metasd_access_check_mine(model);
    return model;
}

MetasdModel *
metasd_launch_model(const char *function, int64 run)
{
    char *status;

    metasd_access_check_writable(function);
    (void)metasd_extension_hold(metasd_extension());
    return metasd_access_model_to_change(metasd_launch_own(run, &status)->name, NULL);
}

/* ---- the worker ---- */

/*
 * The sequence that numbers runs does not know of those that were copied here without it, as by
 * replication: the next run comes after all of them. Behind a lock: another session that has found
 * the same may not have committed its run.
 */
static void
catch_up_numbers(void)
{
    static MetasdStatement behind = {
        "SELECT FROM metasd.run_id_seq WHERE (SELECT max(id) FROM metasd.run) >= CASE "
        "WHEN is_called THEN last_value + 1 ELSE last_value END",
        0,
        {InvalidOid},
        NULL};
    static MetasdStatement lock = {
        "LOCK TABLE metasd.run IN SHARE UPDATE EXCLUSIVE MODE", 0, {InvalidOid}, NULL};
    static MetasdStatement set = {
        "SELECT setval('metasd.run_id_seq', max(id)) FROM metasd.run", 0, {InvalidOid}, NULL};

    SPI_connect();
    if (metasd_statement_execute(&behind, NULL, NULL, false) > 0) {
        metasd_statement_execute(&lock, NULL, NULL, false);
        if (metasd_statement_execute(&behind, NULL, NULL, false) > 0)
            metasd_statement_execute(&set, NULL, NULL, false);
    }
    SPI_finish();
}

static int64
insert_run(const MetasdModel *model)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.run (model, source, head, relation, tail, status, phase, params, "
        "validation) VALUES ($1, metasd.relation_ref($2), $3, $4, $5, 'queued', 'starting', $6, "
        "metasd.relation_ref($7)) RETURNING id",
        7,
        {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, OIDOID},
        NULL};
    Datum values[7] = {
        CStringGetTextDatum(model->name),       ObjectIdGetDatum(model->source.oid),
        CStringGetTextDatum(model->column[0]),  CStringGetTextDatum(model->column[1]),
        CStringGetTextDatum(model->column[2]),  JsonbPGetDatum(model->params),
        ObjectIdGetDatum(model->validation.oid)};
    char nulls[] = "       ";
    bool isnull;
    int64 run;

    if (!model->validation.given)
        nulls[6] = 'n';

    catch_up_numbers();
    SPI_connect();
    metasd_statement_execute(&insert, values, nulls, false);
    run = DatumGetInt64(metasd_statement_value(0, 1, &isnull));
    SPI_finish();
    return run;
}

/* Returns once the worker holds the run's lock; an error if it ends before that. */
static void
wait_until_alive(BackgroundWorkerHandle *handle, int64 run)
{
    for (;;) {
        pid_t pid;
        BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);

        if (status == BGWH_STARTED && metasd_run_is_alive(run))
            return;
        if (status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED)
            ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                            errmsg("the training worker could not start"),
                            errhint("The server log says why.")));
        metasd_run_sleep(5);
    }
}

/* A training that has ended keeps its place until its process has given back its memory. */
static BackgroundWorkerHandle *
register_worker(BackgroundWorker *worker)
{
    TimestampTz begun = GetCurrentTimestamp();
    BackgroundWorkerHandle *handle;

    while (!RegisterDynamicBackgroundWorker(worker, &handle)) {
        if (TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), WAIT_FOR_PLACE_MS))
            ereport(ERROR,
                    (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                     errmsg("there is no free background worker to train with"),
                     errhint("Wait for other workers to end, or raise max_worker_processes.")));
        metasd_run_sleep(20);
    }
    return handle;
}

/*
 * Limits that this session has by default. A value in the server's configuration may be hidden by
 * one that the client asked for when it connected, before the library was there to say that it may
 * not: so the worker, which has no client, looks at its own.
 */
static int
limits_unset(void)
{
    static MetasdStatement look = {
        "SELECT array_position($1, name) FROM pg_catalog.pg_settings WHERE name = ANY ($1) "
        "AND source = 'default'",
        1,
        {TEXTARRAYOID},
        NULL};
    static const char *const names[METASD_LIMITS] = METASD_LIMIT_NAMES;
    Datum texts[METASD_LIMITS], array;
    int unset = 0;
    uint64 n;

    if (superuser())
        return 0;
    for (int limit = 0; limit < METASD_LIMITS; limit++)
        texts[limit] = CStringGetTextDatum(names[limit]);
    array =
        PointerGetDatum(construct_array(texts, METASD_LIMITS, TEXTOID, -1, false, TYPALIGN_INT));
    SPI_connect();
    n = metasd_statement_execute(&look, &array, NULL, true);
    for (uint64 i = 0; i < n; i++) {
        bool isnull;

        unset |= 1 << (DatumGetInt32(metasd_statement_value(i, 1, &isnull)) - 1);
    }
    SPI_finish();
    return unset;
}

/* The settings of this session, within its limits. */
static void
fill_settings(MetasdLaunch *launch)
{
    launch->most_workers = metasd_quota_workers(metasd_max_workers_per_role, launch->owner);
    launch->max_workers = Min(metasd_max_workers, launch->most_workers);
    launch->nice = Max(metasd_nice, metasd_min_nice);
    launch->train_mem = metasd_train_mem;
    metasd_quota_limit_memory(&launch->train_mem, metasd_train_mem_limit, &launch->limited);
    launch->unset = limits_unset();
}

static void
launch_worker(const MetasdModel *model, int64 run, bool resume)
{
    BackgroundWorker worker;
    MetasdLaunch launch = {.run = run,
                           .transaction = GetTopTransactionId(),
                           .database = MyDatabaseId,
                           .extension = metasd_extension(),
                           .owner = model->owner,
                           .resume = resume};

    fill_settings(&launch);
    launch.place = metasd_quota_enter(
        launch.owner, metasd_quota_trainings(metasd_max_trainings_per_role, launch.owner));
    StaticAssertStmt(sizeof(launch) <= BGW_EXTRALEN, "a launch must fit bgw_extra");
    memset(&worker, 0, sizeof(worker));
    snprintf(worker.bgw_name, BGW_MAXLEN, "metasd run " INT64_FORMAT, run);
    snprintf(worker.bgw_type, BGW_MAXLEN, METASD_WORKER_TYPE);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), METASD_TRAIN_LIBRARY);
    snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), METASD_TRAIN_FUNCTION);
    worker.bgw_notify_pid = MyProcPid;
    memcpy(worker.bgw_extra, &launch, sizeof(launch));
    wait_until_alive(register_worker(&worker), run);
    metasd_quota_leave(launch.owner);
}

int64
metasd_launch_run(const MetasdModel *model)
{
    int64 run = insert_run(model);

    launch_worker(model, run, false);
    return run;
}

void
metasd_launch_again(const MetasdModel *model, int64 run)
{
    launch_worker(model, run, true);
}
