#include "pg/worker/training.h"

#include "storage/dsm.h"

#include "pg/worker/team_shm.h"

void
metasd_training_take(MetasdTraining *training)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer *trainer = &training->trainer;

    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, 1);
    shared = metasd_process_arena(metasd_arena_ok(&shared) ? shared.used : SIZE_MAX,
                                  &training->memory[1]);
    own = metasd_process_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, &training->memory[2]);
    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, 1);
}

bool
metasd_training_measure(const MetasdTraining *training, int members, size_t most,
                        MetasdRegions *regions)
{
    MetasdArena shared = metasd_arena_measure_regions(regions, most);
    MetasdArena own = metasd_arena_measure();
    MetasdGraph graph = training->graph;
    MetasdTrainer trainer;

    metasd_graph_take(&graph, &shared);
    metasd_trainer_take(&trainer, &shared, &own, &training->graph, &training->options, members);
    return metasd_arena_ok(&shared);
}

void
metasd_training_take_shared(MetasdTraining *training, int members, MetasdRegions *regions)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer *trainer = &training->trainer;

    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, members);
    own = metasd_process_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, &training->memory[2]);
    shared = metasd_arena_over_regions(regions);
    metasd_graph_take(&training->graph, &shared);
    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, members);
    if (!metasd_arena_ok(&shared) || !metasd_arena_ok(&own))
        elog(ERROR, "the memory of the training is not as large as was measured");
}

/* The segments go once followers have left them, too. */
static void
detach_segments(const MetasdTeamShared *shared)
{
    for (int i = 0; i < shared->regions.count; i++) {
        dsm_segment *segment = dsm_find_mapping(shared->segment[i]);

        if (segment)
            dsm_detach(segment);
    }
}

void
metasd_training_free(MetasdTraining *training, const MetasdProcess *process)
{
    for (int i = 0; i < (int)lengthof(training->memory); i++)
        if (training->memory[i]) {
            pfree(training->memory[i]);
            training->memory[i] = NULL;
        }
    if (process->shm)
        detach_segments(process->shm->shared);
    memset(&training->graph, 0, sizeof(training->graph));
    memset(&training->trainer, 0, sizeof(training->trainer));
}
