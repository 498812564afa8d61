/*
 * follower.c - the background worker that helps another to train.
 *
 * It computes what the leader computes, on slices of its own, in memory that the leader made.
 * It reads and writes no table, and does not decide how the run ends. Where it cannot go on it
 * leaves the reason in the team's shared memory.
 */
#include "pg/worker/options.h"
#include "pg/worker/peak.h"
#include "pg/worker/process.h"
#include "pg/worker/team_shm.h"
#include "pg/worker/training.h"

#include "pgstat.h"
#include "storage/ipc.h"

extern PGDLLEXPORT void metasd_follow_main(Datum argument);

static void
show_activity(const MetasdTeamShared *shared, const MetasdTeam *team)
{
    char text[512];

    snprintf(text, sizeof(text),
             "metasd: training model \"%.256s\", run " INT64_FORMAT ", worker %d of %d",
             shared->model, shared->run, team->rank + 1, team->size);
    pgstat_report_activity(STATE_RUNNING, text);
}

/* Maps the memory of the training; the leader made it, and may be gone already. */
static void
attach_memory(const MetasdTeamShared *shared, MetasdRegions *regions)
{
    *regions = shared->regions;
    for (int i = 0; i < regions->count; i++) {
        dsm_segment *segment = dsm_attach(shared->segment[i]);

        if (!segment)
            ereport(ERROR, (errcode(ERRCODE_ADMIN_SHUTDOWN),
                            errmsg("the training worker that leads is gone")));
        dsm_pin_mapping(segment);
        regions->memory[i] = dsm_segment_address(segment);
    }
}

static void
train_with_leader(void *context)
{
    MetasdProcess *process = context;
    MetasdTeamShared *shared = process->shm->shared;
    MetasdTraining *training = palloc0(sizeof(*training));
    MetasdTrainEvents none = {0};
    MetasdRegions regions;
    MetasdStatus status;

    metasd_process_check_status(process, metasd_team_shm_wait(process, &shared->ready, 0));
    metasd_team_shm_enter(process);
    show_activity(shared, &process->team);
    metasd_options_set(&shared->params, &training->options, &training->split);
    training->graph = shared->graph;
    attach_memory(shared, &regions);
    metasd_training_take_shared(training, process->team.size, &regions);
    training->trainer.progress = shared->progress;
    status = metasd_train(&training->trainer, &process->team, &training->graph, &training->options,
                          &none, &training->best);
    pg_atomic_fetch_add_u64(&shared->followers_bytes, metasd_peak_bytes());
    if (status != METASD_NON_FINITE) /* all members find that, and the leader explains it */
        metasd_process_check_status(process, status);
}

void
metasd_follow_main(Datum argument)
{
    MetasdProcess *process = metasd_process_start();
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));

    if (!segment)
        proc_exit(0); /* the leader is gone */
    dsm_pin_mapping(segment);
    metasd_process_connect(process);
    process->shm = metasd_team_shm_attach(segment);
    if (!metasd_team_shm_join(process->shm))
        proc_exit(0);
    pgstat_report_activity(STATE_RUNNING, "metasd: waiting for the training to begin");
    if (metasd_transaction_guard(&process->transactions, train_with_leader, process) != METASD_OK) {
        const ErrorData *error = process->transactions.error;

        metasd_team_shm_stop(process->shm, error->sqlerrcode, metasd_transaction_error_text(error));
    }
    process->shm->left = true;
    CHECK_FOR_INTERRUPTS(); /* told to terminate: ends as the postmaster expects */
    proc_exit(0);
}
