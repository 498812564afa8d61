#include "pg/worker/training.h"

#include "pg/worker/process.h"

void
metasd_training_take(MetasdTraining *training)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    MetasdTrainer *trainer = &training->trainer;

    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, 1);
    shared = metasd_process_arena(metasd_arena_ok(&shared) ? shared.used : SIZE_MAX, NULL);
    own = metasd_process_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, NULL);
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
    own = metasd_process_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, NULL);
    shared = metasd_arena_over_regions(regions);
    metasd_graph_take(&training->graph, &shared);
    metasd_trainer_take(trainer, &shared, &own, &training->graph, &training->options, members);
    if (!metasd_arena_ok(&shared) || !metasd_arena_ok(&own))
        elog(ERROR, "the memory of the training is not as large as was measured");
}
