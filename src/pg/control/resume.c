/*
 * resume.c - kg_resume: a training that has ended too early goes on from its checkpoint, under the
 * number it had.
 */
#include "pg/control/launch.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "pg/catalog/catalog.h"
#include "pg/catalog/run.h"

PG_FUNCTION_INFO_V1(metasd_kg_resume);

/* What the run's row says. */
typedef struct Stopped {
    bool succeeded, has_checkpoint;
    MetasdRemembered source, validation;
    char *column[3];
} Stopped;

static Stopped
look_at(int64 run)
{
    static MetasdStatement look = {
        "SELECT r.status = 'succeeded', EXISTS (SELECT FROM metasd.checkpoint c "
        "WHERE c.run = r.id AND c.part = r.checkpoint), r.source, r.head, r.relation, r.tail, "
        "r.validation FROM metasd.run r WHERE r.id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);
    Stopped stopped = {0};
    bool isnull;

    SPI_connect();
    if (metasd_statement_execute(&look, &value, NULL, false) == 0)
        metasd_run_unknown(run);
    stopped.succeeded = DatumGetBool(metasd_statement_value(0, 1, &isnull));
    stopped.has_checkpoint = DatumGetBool(metasd_statement_value(0, 2, &isnull));
    stopped.source = metasd_statement_relation(0, 3);
    stopped.validation = metasd_statement_relation(0, 7);
    for (int i = 0; i < 3; i++)
        stopped.column[i] = metasd_statement_text(0, 4 + i);
    SPI_finish();
    return stopped;
}

/* The run waits for its worker again. */
static void
queue(int64 run)
{
    static MetasdStatement update = {
        "UPDATE metasd.run SET status = 'queued', phase = 'starting', finished = NULL, "
        "error = NULL, pid = NULL, epoch = NULL, done = NULL, total = NULL, loss = NULL, "
        "resumed = clock_timestamp(), resumed_epoch = checkpoint_epoch WHERE id = $1",
        1,
        {INT8OID},
        NULL};
    Datum value = Int64GetDatum(run);

    SPI_connect();
    metasd_statement_execute(&update, &value, NULL, false);
    SPI_finish();
}

/* kg_resume(run bigint) returns bigint: the run */
Datum
metasd_kg_resume(PG_FUNCTION_ARGS)
{
    int64 run = PG_GETARG_INT64(0);
    MetasdModel *model = metasd_launch_model("kg_resume()", run);
    Stopped stopped = look_at(run);
    char *name = quote_literal_cstr(model->name);

    if (stopped.succeeded)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("run " INT64_FORMAT " has succeeded: there is nothing to resume", run),
                 errhint("SELECT kg_train(%s) trains a new version.", name)));
    metasd_launch_alone(model);
    if (!stopped.has_checkpoint)
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("run " INT64_FORMAT " has no checkpoint to resume from", run),
             errdetail("A training writes a checkpoint at the end of an epoch, once the minutes of "
                       "its parameter checkpoint_every have passed. Dumps leave checkpoints "
                       "out, and a later training that succeeds removes them."),
             errhint("SELECT kg_train(%s) starts anew.", name)));
    model->source = stopped.source; /* the model may have others since */
    model->validation = stopped.validation;
    for (int i = 0; i < 3; i++)
        model->column[i] = stopped.column[i];
    metasd_launch_check(model);
    queue(run);
    metasd_launch_again(model, run);
    PG_RETURN_INT64(run);
}
