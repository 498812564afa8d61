/*
 * launch.c - kg_train, also as a scheduled job, kg_tune, kg_cancel, kg_drop.
 *
 * Launching a worker is not transactional, so the worker makes it so: it waits for
 * the transaction that launched it and leaves if the run's row is not there then.
 * kg_train and kg_tune return once the worker holds the run's lock (catalog.h): from then on
 * whoever looks can tell a living run from a dead one.
 */
#include "launch.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "ask.h"
#include "catalog.h"
#include "params.h"
#include "run.h"
#include "schedule.h"
#include "settings.h"
#include "source.h"

#define MOST_NAME_BYTES 255
#define WAIT_FOR_PLACE_MS 2000 /* kg_train, for another training to leave */
#define WAIT_FOR_END_MS 500    /* kg_cancel, for the training it has told to end */

PG_FUNCTION_INFO_V1(metasd_kg_train);
PG_FUNCTION_INFO_V1(metasd_train_scheduled);
PG_FUNCTION_INFO_V1(metasd_kg_tune);
PG_FUNCTION_INFO_V1(metasd_kg_cancel);
PG_FUNCTION_INFO_V1(metasd_kg_drop);

/* ---- the model's row ---- */

/* The arguments of kg_train; NULL or invalid where not given. */
typedef struct Request {
    char *name;
    Oid source;
    char *column[3];
    Oid validation;
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
        "VALUES ($1, $2, $3, 'head', 'relation', 'tail') ON CONFLICT (name) DO NOTHING",
        3,
        {TEXTOID, OIDOID, OIDOID},
        NULL};
    Datum values[3] = {CStringGetTextDatum(request->name), ObjectIdGetDatum(GetUserId()),
                       ObjectIdGetDatum(request->source)};

    SPI_connect();
    metasd_execute(&insert, values, NULL, false);
    SPI_finish();
}

static void
update_model(const MetasdModel *model)
{
    static MetasdStatement update = {
        "UPDATE metasd.model SET source = $2, head = $3, relation = $4, tail = $5, "
        "validation = $6, params = $7 WHERE name OPERATOR(pg_catalog.=) $1",
        7,
        {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, JSONBOID},
        NULL};
    Datum values[7] = {CStringGetTextDatum(model->name),      ObjectIdGetDatum(model->source),
                       CStringGetTextDatum(model->column[0]), CStringGetTextDatum(model->column[1]),
                       CStringGetTextDatum(model->column[2]), ObjectIdGetDatum(model->validation),
                       JsonbPGetDatum(model->params)};
    char nulls[] = "       ";

    if (!OidIsValid(model->validation))
        nulls[5] = 'n';
    SPI_connect();
    metasd_execute(&update, values, nulls, false);
    SPI_finish();
}

static Jsonb *
concatenated(Jsonb *a, Jsonb *b)
{
    return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

/* The model as the request wants it: what it does not say stays as it was. */
static MetasdModel *
wanted_model(const Request *request)
{
    MetasdModel *model;

    if (OidIsValid(request->source))
        insert_model(request);
    model = metasd_model_to_change(request->name,
                                   "Name the source to train it from: kg_train(model, source).");
    if (OidIsValid(request->source))
        model->source = request->source;
    for (int i = 0; i < 3; i++)
        if (request->column[i])
            model->column[i] = request->column[i];
    if (OidIsValid(request->validation))
        model->validation = request->validation;
    if (request->params)
        model->params = concatenated(model->params, request->params);
    return model;
}

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
                    metasd_owner_name(role)),
             errdetail("Before PostgreSQL 17 a background worker cannot connect as such a role."),
             errhint("Train as a role with LOGIN.")));
}

/* Everything about the sources that can be known before a worker reads them. */
static void
check_sources(const MetasdModel *model)
{
    MetasdSource *source = metasd_source_open(model->source, model->column, model->owner);

    if (OidIsValid(model->validation))
        (void)metasd_source_open(model->validation, model->column, model->owner);
    if (!metasd_source_has_rows(source, model->owner))
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("source \"%s\" has no triples", source->name),
                        errhint("Rows with a NULL in \"%s\", \"%s\" or \"%s\" do not count.",
                                model->column[0], model->column[1], model->column[2])));
}

void
metasd_launch_check(const MetasdModel *model)
{
    check_login(model->owner);
    check_sources(model);
}

/*
 * The run of the model that is alive, or 0; *kind says what it is. Dead ones get the status they
 * deserve.
 */
static int64
run_alive(const MetasdModel *model, char **kind)
{
    static MetasdStatement unfinished = {
        "SELECT id, kind FROM metasd.run WHERE model OPERATOR(pg_catalog.=) $1 "
        "AND status OPERATOR(pg_catalog.=) ANY ('{queued,running}'::pg_catalog.text[])",
        1,
        {TEXTOID},
        NULL};
    static MetasdStatement bury = {
        "UPDATE metasd.run SET status = 'interrupted', finished = pg_catalog.clock_timestamp(), "
        "error = 'the training worker is gone' WHERE id OPERATOR(pg_catalog.=) $1 "
        "AND status OPERATOR(pg_catalog.=) ANY ('{queued,running}'::pg_catalog.text[])",
        1,
        {INT8OID},
        NULL};
    Datum name = CStringGetTextDatum(model->name);
    int64 alive = 0;
    uint64 n;

    SPI_connect();
    n = metasd_execute(&unfinished, &name, NULL, false);
    for (uint64 i = 0; i < n && alive == 0; i++) {
        SPITupleTable *rows = SPI_tuptable;
        bool isnull;
        Datum id = metasd_column(i, 1, &isnull);

        if (metasd_run_is_alive(DatumGetInt64(id))) {
            alive = DatumGetInt64(id);
            *kind = metasd_column_text(i, 2);
        } else
            metasd_execute(&bury, &id, NULL, false);
        SPI_tuptable = rows;
    }
    SPI_finish();
    return alive;
}

void
metasd_launch_alone(const MetasdModel *model)
{
    char *kind;
    int64 run = run_alive(model, &kind);

    if (run != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("model \"%s\" is already being %s by run " INT64_FORMAT, model->name,
                               strcmp(kind, "tuning") == 0 ? "tuned" : "trained", run),
                        errhint("Wait for it with CALL kg_wait(" INT64_FORMAT
                                "), or stop it with kg_cancel(" INT64_FORMAT ").",
                                run, run)));
}

/* ---- the worker ---- */

/* BUDGET and FIXED are a tuning's, and NULL for a training. */
static int64
insert_run(const MetasdModel *model, const Interval *budget, Jsonb *fixed)
{
    static MetasdStatement insert = {
        "INSERT INTO metasd.run (model, source, head, relation, tail, status, phase, params, kind, "
        "budget, fixed) VALUES ($1, $2, $3, $4, $5, 'queued', 'starting', $6, $7, $8, $9) "
        "RETURNING id",
        9,
        {TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, INTERVALOID, JSONBOID},
        NULL};
    Datum values[9] = {CStringGetTextDatum(model->name),
                       ObjectIdGetDatum(model->source),
                       CStringGetTextDatum(model->column[0]),
                       CStringGetTextDatum(model->column[1]),
                       CStringGetTextDatum(model->column[2]),
                       JsonbPGetDatum(model->params),
                       CStringGetTextDatum(budget ? "tuning" : "training"),
                       IntervalPGetDatum(budget),
                       PointerGetDatum(fixed)};
    bool isnull;
    int64 run;

    SPI_connect();
    metasd_execute(&insert, values, budget ? NULL : "       nn", false);
    run = DatumGetInt64(metasd_column(0, 1, &isnull));
    SPI_finish();
    return run;
}

static void
doze(long milliseconds)
{
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
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
        doze(5);
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
        doze(20);
    }
    return handle;
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
                           .train_mem = metasd_train_mem,
                           .max_workers = metasd_max_workers,
                           .nice = metasd_nice,
                           .resume = resume};

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
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
    return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
check_call(const char *function, const char *name)
{
    metasd_check_writable(function);
    if (!name)
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("a model's name must not be null")));
    check_name(name);
}

/* Trains a model that is locked, and of which no run is alive. */
static int64
start_training(const MetasdModel *model)
{
    int64 run;

    metasd_launch_check(model);
    update_model(model);
    run = insert_run(model, NULL, NULL);
    launch_worker(model, run, false);
    return run;
}

/* kg_train(model text, source regclass, head, relation, tail text, validation regclass, params jsonb) */
Datum
metasd_kg_train(PG_FUNCTION_ARGS)
{
    Request request = {.name = text_argument(fcinfo, 0),
                       .source = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
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
metasd_train_scheduled(PG_FUNCTION_ARGS)
{
    char *name = text_argument(fcinfo, 0), *kind;
    MetasdModel *model;
    int64 run;

    check_call("metasd.train_scheduled()", name);
    (void)metasd_extension_hold(metasd_extension());
    model = metasd_model_to_change(name, NULL);
    run = run_alive(model, &kind);
    if (run != 0) {
        ereport(LOG,
                (errmsg("scheduled training of metasd model \"%s\" is skipped: %s run " INT64_FORMAT
                        " is still going on",
                        model->name, kind, run)));
        PG_RETURN_NULL();
    }
    PG_RETURN_INT64(start_training(model));
}

/* A search must have something to search, and facts to measure it by. */
static void
check_search(const MetasdModel *model, const MetasdParams *fixed)
{
    MetasdParams params;

    if (fixed->given[METASD_P_LR] && fixed->given[METASD_P_RANK] && fixed->given[METASD_P_REG] &&
        fixed->given[METASD_P_RELATION_WEIGHT])
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is nothing to tune"),
                 errdetail("lr, rank, reg and relation_weight are searched, and all are given."),
                 errhint("Leave out of params what is to be searched.")));
    metasd_params_read(&params, model->params);
    if (!OidIsValid(model->validation) && params.given[METASD_P_VALIDATION_FRACTION] &&
        params.value[METASD_P_VALIDATION_FRACTION] == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("model \"%s\" cannot be tuned without validation", model->name),
                        errdetail("Its parameter validation_fraction is 0, and it has no "
                                  "validation source."),
                        errhint("Tune it with params => '{\"validation_fraction\": null}'.")));
}

static Interval *
budget_argument(FunctionCallInfo fcinfo, int n)
{
    Interval zero = {0}, *budget;

    if (PG_ARGISNULL(n))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the budget must not be null")));
    budget = PG_GETARG_INTERVAL_P(n);
    if (!DatumGetBool(
            DirectFunctionCall2(interval_gt, IntervalPGetDatum(budget), IntervalPGetDatum(&zero))))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the budget must be more than no time"),
                        errhint("Write for instance budget => '10 minutes'.")));
    return budget;
}

/* kg_tune(model text, budget interval, params jsonb) */
Datum
metasd_kg_tune(PG_FUNCTION_ARGS)
{
    char *name = text_argument(fcinfo, 0);
    Interval *budget;
    MetasdParams fixed;
    MetasdModel *model;
    Jsonb *params;
    int64 run;

    check_call("kg_tune()", name);
    budget = budget_argument(fcinfo, 1);
    params = PG_ARGISNULL(2) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
                             : PG_GETARG_JSONB_P(2);
    metasd_params_read(&fixed, params);
    (void)metasd_extension_hold(metasd_extension());
    model = metasd_model_to_change(name, "Train it first: kg_train(model, source).");
    model->params = concatenated(model->params, params);
    metasd_launch_alone(model);
    check_search(model, &fixed);
    metasd_launch_check(model);
    run = insert_run(model, budget, params);
    launch_worker(model, run, false);
    PG_RETURN_INT64(run);
}

/* ---- ending runs and models ---- */

/* The run's model, which must belong to the caller; *status is as the run's row has it. */
static MetasdModel *
my_model_of_run(int64 run, char **status)
{
    static MetasdStatement look = {
        "SELECT model, status FROM metasd.run WHERE id OPERATOR(pg_catalog.=) $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    char *name = NULL;
    MetasdModel *model;

    SPI_connect();
    if (metasd_execute(&look, &value, NULL, true) > 0) {
        name = metasd_column_text(0, 1);
        *status = metasd_column_text(0, 2);
    }
    SPI_finish();
    model = name ? metasd_model_find(name, false) : NULL;
    if (!model)
        metasd_run_unknown(run);
    if (!metasd_model_is_mine(model))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of model \"%s\"", model->name)));
    return model;
}

MetasdModel *
metasd_launch_model(const char *function, int64 run)
{
    char *status;

    metasd_check_writable(function);
    (void)metasd_extension_hold(metasd_extension());
    return metasd_model_to_change(my_model_of_run(run, &status)->name, NULL);
}

void
metasd_launch_again(const MetasdModel *model, int64 run)
{
    launch_worker(model, run, true);
}

/*
 * So that the next statement may train the model again. Not for long: a worker may be waiting for
 * this very transaction.
 */
static void
wait_until_ended(int64 run)
{
    TimestampTz begun = GetCurrentTimestamp();

    while (metasd_run_is_alive(run) &&
           !TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), WAIT_FOR_END_MS))
        doze(5);
}

/* kg_cancel(run bigint) returns boolean: was there a worker to tell? */
Datum
metasd_kg_cancel(PG_FUNCTION_ARGS)
{
    int64 run = PG_GETARG_INT64(0);
    char *status;
    int pid;

    metasd_check_primary("kg_cancel()");
    (void)my_model_of_run(run, &status);
    pid = metasd_run_pid(run);
    if (pid == 0 || !BackendPidGetProc(pid)) {
        ereport(NOTICE, (errmsg("run " INT64_FORMAT " is not running: it is %s", run,
                                metasd_run_status(run, status))));
        PG_RETURN_BOOL(false);
    }
    if (kill(pid, SIGINT) != 0)
        ereport(ERROR, (errmsg("could not signal the worker of run " INT64_FORMAT ": %m", run)));
    wait_until_ended(run);
    PG_RETURN_BOOL(true);
}

/*
 * kg_drop(model text): the worker of a run of it leaves once it sees the row gone. It writes
 * epochs while it holds that row, which therefore is locked before they are deleted.
 */
Datum
metasd_kg_drop(PG_FUNCTION_ARGS)
{
    static MetasdStatement statements[] = {
        {"SELECT FROM metasd.run WHERE model OPERATOR(pg_catalog.=) $1 FOR UPDATE",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.epoch e USING metasd.run r WHERE e.run OPERATOR(pg_catalog.=) r.id "
         "AND r.model OPERATOR(pg_catalog.=) $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.trial e USING metasd.run r WHERE e.run OPERATOR(pg_catalog.=) r.id "
         "AND r.model OPERATOR(pg_catalog.=) $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.checkpoint e USING metasd.run r WHERE e.run OPERATOR(pg_catalog.=) "
         "r.id AND r.model OPERATOR(pg_catalog.=) $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.entity e USING metasd.run r WHERE e.run OPERATOR(pg_catalog.=) r.id "
         "AND r.model OPERATOR(pg_catalog.=) $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.relation e USING metasd.run r WHERE e.run OPERATOR(pg_catalog.=) r.id "
         "AND r.model OPERATOR(pg_catalog.=) $1",
         1,
         {TEXTOID},
         NULL},
        {"DELETE FROM metasd.run WHERE model OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}, NULL},
        {"DELETE FROM metasd.model WHERE name OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}, NULL}};
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    Datum value = CStringGetTextDatum(name);

    metasd_check_writable("kg_drop()");
    (void)metasd_extension_hold(metasd_extension());
    (void)metasd_model_to_change(name, NULL);
    metasd_schedule_drop(name);
    SPI_connect();
    for (int i = 0; i < (int)lengthof(statements); i++)
        metasd_execute(&statements[i], &value, NULL, false);
    SPI_finish();
    PG_RETURN_VOID();
}
