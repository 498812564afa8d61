/*
 * probe.c - what probes of a folder of triples choose, and what they cost.
 *
 *   build/bench/probe FOLDER [name=value ...]
 *
 * The options are those of a training (epoch.c); what probes choose begins with them, as with
 * defaults. Prints a probe a line, then the choice.
 */
#include <stdio.h>

#include "check.h"
#include "clock.h"
#include "core/train/probe.h"
#include "memory.h"
#include "training.h"

static void
take_trainer(MetasdTrainer *trainer, const MetasdGraph *graph, const MetasdTrainOptions *options)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();

    metasd_trainer_take(trainer, &shared, &own, graph, options, 1);
    shared = metasd_arena_over(memory_take(shared.used), shared.used);
    own = metasd_arena_over(memory_take(own.used), own.used);
    metasd_trainer_take(trainer, &shared, &own, graph, options, 1);
}

int
main(int argc, char **argv)
{
    BenchTraining training;
    BenchOptions options;
    MetasdTrainOptions small;
    MetasdTrainer trainer;
    MetasdTeam team = metasd_team_of_one();
    MetasdTrainEvents events = {0};
    MetasdProbing probing = {.open = {true, true, true, true}};
    TripleSet set;
    double began;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [name=value ...]\n", argv[0]);
        return 2;
    }
    options = options_parse(argc - 2, argv + 2);
    set = triples_open(argv[1]);
    check(training_prepare(&training, &options, &set));
    probing.chosen =
        (MetasdProbeChoice){.regularizer = options.train.step.regularizer,
                            .reg = (double)options.train.step.reg,
                            .relation_weight = (double)options.train.step.relation_weight,
                            .class_weights = options.train.class_weights};
    small = metasd_probe_options(&training.graph, &options.train);
    take_trainer(&trainer, &training.graph, &small);
    metasd_probe_plan(&probing, &training.graph, &options.train);
    began = clock_own();
    check(metasd_probe(&probing, &trainer, &team, &training.graph, &options.train, &events));
    for (int i = 0; i < probing.count; i++) {
        const MetasdProbe *probe = &probing.probe[i];

        printf("%s reg %.3f relation_weight %.1f class_weights %d epochs %.2f mrr %.4f\n",
               probe->choice.regularizer == METASD_N3 ? "n3  " : "dura", probe->choice.reg,
               probe->choice.relation_weight, probe->choice.class_weights, probe->epochs,
               probe->mrr);
    }
    printf("chosen: %s reg %.3f relation_weight %.1f class_weights %d; %.2f s\n",
           probing.chosen.regularizer == METASD_N3 ? "n3" : "dura", probing.chosen.reg,
           probing.chosen.relation_weight, probing.chosen.class_weights, clock_own() - began);
    return 0;
}
