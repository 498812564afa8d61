/*
 * follower.c - the background worker that helps another to train.
 *
 * It computes what the leader computes, on slices of its own, in memory that the leader made.
 * It reads and writes no table, and has no word in how the run ends, but for the reason it
 * leaves in the crew where it cannot go on.
 */
#include "pg/worker/team_shm.h"

#include "pgstat.h"
#include "storage/ipc.h"

extern PGDLLEXPORT void metasd_follow_main(Datum argument);

static void
show_activity(const MetasdJob *job)
{
    const MetasdTeamShared *shared = job->crew->shared;
    char text[512];

    snprintf(text, sizeof(text),
             "metasd: training model \"%.256s\", run " INT64_FORMAT ", worker %d of %d",
             shared->model, shared->run, job->team.rank + 1, job->team.size);
    pgstat_report_activity(STATE_RUNNING, text);
}

/* Maps the memory of the training; the leader made it, and may be gone already. */
static void
attach_memory(MetasdJob *job, MetasdRegions *regions)
{
    const MetasdTeamShared *shared = job->crew->shared;

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
follow(MetasdJob *job, const void *what)
{
    MetasdTeamShared *shared = job->crew->shared;
    MetasdTrainEvents none = {0};
    MetasdRegions regions;
    MetasdStatus status;

    (void)what;
    metasd_process_check_status(job, metasd_team_shm_wait(job, &shared->ready, 0));
    metasd_team_shm_team(job);
    show_activity(job);
    metasd_params_options(&shared->params, &job->options, &job->split);
    job->graph = shared->graph;
    attach_memory(job, &regions);
    metasd_team_shm_take(job, &regions);
    job->trainer.progress = shared->progress;
    status = metasd_train(&job->trainer, &job->team, &job->graph, &job->options, &none, &job->best);
    if (status != METASD_NON_FINITE) /* which all members find, and the leader explains */
        metasd_process_check_status(job, status);
}

void
metasd_follow_main(Datum argument)
{
    MetasdJob *job = metasd_process_start();
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));

    if (!segment)
        proc_exit(0); /* the leader is gone */
    dsm_pin_mapping(segment);
    metasd_process_connect(job);
    job->crew = metasd_team_shm_open(job, segment, false);
    if (!metasd_team_shm_join(job->crew))
        proc_exit(0);
    pgstat_report_activity(STATE_RUNNING, "metasd: waiting for the training to begin");
    if (metasd_transaction_guard(job, follow, NULL) != METASD_OK)
        metasd_team_shm_stop(job->crew, job->error->sqlerrcode,
                             metasd_transaction_error_text(job->error));
    job->crew->left = true;
    CHECK_FOR_INTERRUPTS(); /* told to terminate: ends as the postmaster expects */
    proc_exit(0);
}
