/*
 * launch.c - starts the worker of a run, checks before that it can train, and finds living runs.
 *
 * The launch of a worker is not transactional. So the worker waits for the transaction that
 * launched it, and ends if the run's row does not exist then. The functions that start a run return
 * when the worker holds the run's lock (run.h). From then on all sessions can tell whether the run
 * is alive.
 */
#include "pg/control/launch.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "pg/access/access.h"
#include "pg/base/background.h"
#include "pg/base/settings.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/launch_order.h"
#include "pg/catalog/quota.h"
#include "pg/catalog/run.h"
#include "pg/catalog/statement.h"
#include "pg/source/source.h"

#define WAIT_FOR_PLACE_MS 2000  /* until another training ends */
#define WAIT_FOR_START_MS 60000 /* until the worker holds the run's lock */
#define LOOK_FOR_LOCK_MS 500    /* after that the worker may be waiting for a lock */
#define LOOKS_PER_CHECK 20

/* ---- checks ---- */

static void
check_owner_login(Oid role)
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

/* Checks all that is known of the sources before a worker reads them. */
static void
check_sources(const MetasdModel *model)
{
    MetasdSource *source = metasd_source_open_remembered(&model->source, false, model->name,
                                                         model->column, model->owner);

    MetasdSource *validation = NULL;

    if (model->validation.given)
        validation = metasd_source_open_remembered(&model->validation, true, model->name,
                                                   model->column, model->owner);
    if (!metasd_source_has_rows(source))
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a null or empty identifier in \"%s\", \"%s\" or \"%s\" "
                                "do not count.",
                                model->column[0], model->column[1], model->column[2])));
    if (validation && !metasd_source_has_rows(validation))
        ereport(
            ERROR,
            (errcode(ERRCODE_NO_DATA_FOUND),
             errmsg("validation source \"%s\" has no triples", validation->name),
             errdetail("Rows with a null or empty identifier in \"%s\", \"%s\" or \"%s\" do not "
                       "count.",
                       model->column[0], model->column[1], model->column[2]),
             errhint("Name another, or none: validation => '-'.")));
}

void
metasd_launch_check(const MetasdModel *model)
{
    metasd_run_check_here();
    check_owner_login(metasd_access_owner(model));
    check_sources(model);
}

/* ---- runs ---- */

int64
metasd_launch_alive(const MetasdModel *model)
{
    static MetasdStatement unfinished = {
        "SELECT id FROM metasd.run WHERE model = $1 AND status = ANY ('{queued,running}'::text[])",
        1,
        {TEXTOID},
        NULL};
    static MetasdStatement mark_interrupted = {
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
    /* The snapshot of this transaction may be older than a run that another one has started. */
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
            metasd_statement_execute(&mark_interrupted, &id, NULL, false);
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

/* ---- the worker ---- */

/*
 * Lets the sequence of run numbers pass runs that were copied here without it, for example by
 * replication. This needs a lock, because another session that did the same may not yet have
 * committed its run.
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
insert_run(const MetasdModel *model, Jsonb *metrics)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.run (model, source, head, relation, tail, status, phase, params, "
        "validation, metrics) VALUES ($1, metasd.relation_ref($2), $3, $4, $5, 'queued', "
        "'starting', $6, metasd.relation_ref($7), $8) RETURNING id",
        8,
        {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, OIDOID, JSONBOID},
        NULL};
    Datum values[8] = {
        CStringGetTextDatum(model->name),        ObjectIdGetDatum(model->source.oid),
        CStringGetTextDatum(model->column[0]),   CStringGetTextDatum(model->column[1]),
        CStringGetTextDatum(model->column[2]),   JsonbPGetDatum(model->params),
        ObjectIdGetDatum(model->validation.oid), PointerGetDatum(metrics)};
    char nulls[] = "        ";
    bool isnull;
    int64 run;

    if (!model->validation.given)
        nulls[6] = 'n';
    if (!metrics)
        nulls[7] = 'n';

    catch_up_numbers();
    SPI_connect();
    metasd_statement_execute(&insert, values, nulls, false);
    run = DatumGetInt64(metasd_statement_value(0, 1, &isnull));
    SPI_finish();
    return run;
}

/* Does the worker wait for a lock that this transaction holds? */
static bool
waits_for_us(pid_t worker)
{
    Datum blockers = DirectFunctionCall1(pg_blocking_pids, Int32GetDatum((int32)worker));
    Datum *pids;
    int n;

    deconstruct_array(DatumGetArrayTypeP(blockers), INT4OID, sizeof(int32), true, TYPALIGN_INT,
                      &pids, NULL, &n);
    for (int i = 0; i < n; i++)
        if (DatumGetInt32(pids[i]) == MyProcPid)
            return true;
    return false;
}

/*
 * Ends the worker and raises an error if it waits for us or takes too long. The deadlock detector
 * of PostgreSQL cannot see that we wait for the worker, because we do not wait for a lock.
 */
static void
check_progress(BackgroundWorkerHandle *handle, pid_t pid, TimestampTz begun)
{
    TimestampTz now = GetCurrentTimestamp();

    if (TimestampDifferenceExceeds(begun, now, LOOK_FOR_LOCK_MS) && waits_for_us(pid)) {
        TerminateBackgroundWorker(handle);
        ereport(ERROR, (errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
                        errmsg("the training worker waits for a lock that this transaction holds"),
                        errdetail("The transaction has locked a system catalog or a table of "
                                  "schema metasd."),
                        errhint("Commit or roll back the transaction, and train in another one.")));
    }
    if (TimestampDifferenceExceeds(begun, now, WAIT_FOR_START_MS)) {
        TerminateBackgroundWorker(handle);
        ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                        errmsg("the training worker did not start within %d seconds",
                               WAIT_FOR_START_MS / 1000),
                        errhint("If pg_stat_activity shows that it waits for a lock, train after "
                                "the transaction that holds the lock has ended.")));
    }
}

/* Returns as soon as the worker holds the run's lock; an error if it ends before that. */
static void
wait_until_alive(BackgroundWorkerHandle *handle, int64 run)
{
    TimestampTz begun = GetCurrentTimestamp();

    for (int i = 1;; i++) {
        pid_t pid;
        BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);

        if (status == BGWH_STARTED && metasd_run_is_alive(run))
            return;
        if (status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED)
            ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                            errmsg("the training worker could not start"),
                            errhint("The server log says why.")));
        if (status == BGWH_STARTED && i % LOOKS_PER_CHECK == 0)
            check_progress(handle, pid, begun);
        metasd_run_sleep(5);
    }
}

/* Waits a moment for a place: an ended training keeps its place until its process has ended. */
static BackgroundWorkerHandle *
register_worker(BackgroundWorker *worker)
{
    TimestampTz begun = GetCurrentTimestamp();
    BackgroundWorkerHandle *handle;

    if (!IsUnderPostmaster)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("models cannot be trained in single-user mode"),
                        errdetail("A background worker trains them, and there are none."),
                        errhint("Start the server, and train there.")));
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
 * The limits that have their default here, as bits. A client may have set one when it connected,
 * before the library was loaded and could refuse. PostgreSQL then drops that value, and with it
 * hides the one of the server's configuration. The worker has no client and reads its own.
 */
static int
find_unset_limits(void)
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

/* Fills in the settings of this session, lowered to its limits. */
static void
fill_settings(MetasdLaunch *launch)
{
    launch->most_workers = metasd_quota_workers(metasd_max_workers_per_role, launch->owner);
    launch->max_workers = Min(metasd_max_workers, launch->most_workers);
    launch->nice = Max(metasd_nice, metasd_min_nice);
    launch->train_mem = metasd_train_mem;
    metasd_quota_limit_memory(&launch->train_mem, metasd_train_mem_limit, &launch->limited);
    launch->unset = find_unset_limits();
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
    worker = metasd_background_worker(METASD_TRAIN_LIBRARY, METASD_TRAIN_FUNCTION,
                                      BgWorkerStart_RecoveryFinished, &launch, sizeof(launch));
    snprintf(worker.bgw_name, BGW_MAXLEN, "metasd run " INT64_FORMAT, run);
    snprintf(worker.bgw_type, BGW_MAXLEN, METASD_WORKER_TYPE);
    wait_until_alive(register_worker(&worker), run);
    metasd_quota_leave(launch.owner);
}

int64
metasd_launch_run(const MetasdModel *model, Jsonb *metrics)
{
    int64 run = insert_run(model, metrics);

    launch_worker(model, run, false);
    return run;
}

void
metasd_launch_again(const MetasdModel *model, int64 run)
{
    launch_worker(model, run, true);
}
