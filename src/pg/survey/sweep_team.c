#include "pg/survey/sweep_team.h"

#include <fcntl.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "storage/shm_toc.h"

#include "pg/base/settings.h"
#include "pg/image/image_cache.h"
#include "pg/survey/sweep_visit.h"

extern PGDLLEXPORT void metasd_sweep_team_main(dsm_segment *segment, shm_toc *toc);

/* Keys of the table of contents. */
enum { KEY_ORDER = 1, KEY_PARAMETERS };

/* What a worker must know of a pass, before the parameters. */
typedef struct Order {
    dsm_handle shared;
    pg_uuid_t uuid; /* of the version, and its run */
    int64 run;
    MetasdVisitorKind kind;
    int pass;
    uint32 k;
    float least;
    MetasdSharedLeast found; /* by all processes */
} Order;

/* ---- the team ---- */

/* A question scores all entities, and its answers ask other questions. */
static bool
pays(double answers, uint32 entities)
{
    return answers * entities * cpu_operator_cost > parallel_setup_cost;
}

MetasdSweepTeam *
metasd_sweep_team_create(double answers, uint32 entities)
{
    MetasdSweepTeam *team;
    dsm_segment *segment;

    if (max_parallel_workers_per_gather == 0 || max_parallel_workers == 0 || IsInParallelMode() ||
        IsParallelWorker() || !pays(answers, entities))
        return NULL;
    segment = dsm_create(sizeof(MetasdSweepShared), DSM_CREATE_NULL_IF_MAXSEGMENTS);
    if (!segment)
        return NULL;
    team = palloc0(sizeof(*team));
    team->segment = segment;
    team->shared = dsm_segment_address(segment);
    team->workers = max_parallel_workers_per_gather;
    SharedFileSetInit(&team->shared->files, segment);
    return team;
}

void
metasd_sweep_team_end(MetasdSweepTeam *team)
{
    dsm_detach(team->segment); /* deletes the files */
    pfree(team);
}

/* ---- triples from workers ---- */

/* The name of the file with a worker's best triples. */
static void
name_file(char name[MAXPGPATH], int pass, int worker)
{
    snprintf(name, MAXPGPATH, "best.%d.%d", pass, worker);
}

static void
write_triples(const MetasdBestTriples *best, SharedFileSet *files, int pass)
{
    char name[MAXPGPATH];
    BufFile *file;

    name_file(name, pass, ParallelWorkerNumber);
    file = metasd_buffile_create(files, name);
    BufFileWrite(file, (void *)&best->count, sizeof(best->count));
    for (uint32 i = 0; i < best->count; i++) {
        CHECK_FOR_INTERRUPTS();
        BufFileWrite(file, &best->heap[i], sizeof(best->heap[i]));
    }
    metasd_buffile_export(file);
    BufFileClose(file);
}

static void
read_bytes(BufFile *file, void *data, size_t bytes)
{
    if (BufFileRead(file, data, bytes) != bytes)
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not read triples from a temporary file: %m")));
}

/* Adds the best triples of a worker to those of the leader. */
static void
read_triples(MetasdBestTriples *best, SharedFileSet *files, int pass, int worker)
{
    char name[MAXPGPATH];
    uint32 count;
    BufFile *file;

    name_file(name, pass, worker);
    file = metasd_buffile_open(files, name);
    read_bytes(file, &count, sizeof(count));
    for (uint32 i = 0; i < count; i++) {
        MetasdScoredTriple triple;

        CHECK_FOR_INTERRUPTS();
        read_bytes(file, &triple, sizeof(triple));
        metasd_best_triples_offer(best, &triple);
    }
    BufFileClose(file);
    metasd_buffile_delete(files, name);
}

/* ---- a pass ---- */

void
metasd_sweep_team_main(dsm_segment *segment, shm_toc *toc)
{
    Order *order = shm_toc_lookup(toc, KEY_ORDER, false);
    MetasdModel model = {.serving = order->run, .uuid = order->uuid};
    MetasdVisitor visitor = {.parameters = shm_toc_lookup(toc, KEY_PARAMETERS, false)};
    dsm_segment *own = dsm_attach(order->shared);
    MetasdSweepShared *shared;

    (void)segment;
    if (!own)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("could not map the shared memory of a sweep")));
    shared = dsm_segment_address(own);
    SharedFileSetAttach(&shared->files, own);
    visitor.image = metasd_image_cache_get(&model, metasd_image_cache_size);
    visitor.file = metasd_question_file_open(&shared->files, &shared->index);
    metasd_best_triples_start(&visitor.best, order->k, &order->found, order->least);
    metasd_sweep_visit(order->kind, &visitor, &shared->index, 0);
    write_triples(&visitor.best, &shared->files, order->pass);
    metasd_question_file_close(visitor.file);
    dsm_detach(own);
}

/* Puts into shared memory what workers must know; returns the order. */
static Order *
give_order(ParallelContext *context, const MetasdSweepTeam *team, const MetasdModel *model,
           const MetasdSweepWork *work, const MetasdBestTriples *best)
{
    Order *order = shm_toc_allocate(context->toc, sizeof(*order));
    void *parameters = shm_toc_allocate(context->toc, work->parameter_bytes);

    *order = (Order){.shared = dsm_segment_handle(team->segment),
                     .uuid = model->uuid,
                     .run = model->serving,
                     .kind = work->kind,
                     .pass = team->passes,
                     .k = best->k,
                     .least = best->least};
    metasd_best_triples_init_shared(&order->found, best->least);
    memcpy(parameters, work->parameters, work->parameter_bytes);
    shm_toc_insert(context->toc, KEY_ORDER, order);
    shm_toc_insert(context->toc, KEY_PARAMETERS, parameters);
    return order;
}

void
metasd_sweep_team_work(MetasdSweepTeam *team, const MetasdModel *model, const MetasdSweepWork *work,
                       MetasdVisitor *leader)
{
    MetasdSweepShared *shared = team->shared;
    MetasdSharedLeast *own = leader->best.shared;
    ParallelContext *context;
    int launched;

    EnterParallelMode();
    context = CreateParallelContext("metasd", "metasd_sweep_team_main", team->workers);
    shm_toc_estimate_chunk(&context->estimator, sizeof(Order));
    shm_toc_estimate_chunk(&context->estimator, work->parameter_bytes);
    shm_toc_estimate_keys(&context->estimator, 2);
    InitializeParallelDSM(context);
    leader->best.shared = &give_order(context, team, model, work, &leader->best)->found;
    LaunchParallelWorkers(context);
    launched = context->nworkers_launched;
    metasd_sweep_visit(work->kind, leader, &shared->index, work->quiet ? 0 : (int)work->sides);
    WaitForParallelWorkersToFinish(context);
    for (int i = 0; i < launched; i++)
        read_triples(&leader->best, &shared->files, team->passes, i);
    leader->best.shared = own;
    DestroyParallelContext(context);
    ExitParallelMode();
    team->passes++;
}
