#include "training.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "processes.h"
#include "memory.h"
#include "core/graph/graph_build.h"

/* ---- memory ---- */

static bool
measure(const BenchOptions *options, const MetasdGraph *graph, size_t *shared, size_t *own)
{
    MetasdArena arenas[2] = {metasd_arena_measure(), metasd_arena_measure()};
    MetasdTrainer trainer;

    metasd_trainer_take(&trainer, &arenas[0], &arenas[1], graph, &options->train, options->members);
    *shared = arenas[0].used;
    *own = arenas[1].used;
    return metasd_arena_ok(&arenas[0]) && metasd_arena_ok(&arenas[1]);
}

size_t
training_bytes(const BenchOptions *options, const TripleSet *set)
{
    MetasdGraph graph = {.entities = set->entities, .relations = set->relations};
    size_t shared, own;

    graph.part[METASD_TRAIN].examples = 2 * set->train.n;
    graph.part[METASD_VALIDATION].examples = 2 * set->validation.n;
    if (!measure(options, &graph, &shared, &own))
        return SIZE_MAX;
    return shared + own * (size_t)options->members +
           metasd_graph_building_bytes(set->train.n, set->validation.n, set->entities,
                                       set->relations);
}

static MetasdStatus
build_graph(MetasdGraph *graph, TripleList *train, TripleList *validation, const TripleSet *set,
            const MetasdSplit *split, size_t *bytes, void **memory)
{
    MetasdTeam team = metasd_team_of_one();
    MetasdArena arena;

    *bytes = metasd_graph_bytes(train->n, validation->n, set->entities, set->relations);
    *memory = memory_take(*bytes);
    arena = metasd_arena_over(*memory, *bytes);
    return metasd_graph_build(graph, &team, &arena, train->triples, train->n, validation->triples,
                              validation->n, set->entities, set->relations, split);
}

/* The same in memory of just the graph's size: its building may take gigabytes for a moment. */
static MetasdStatus
build_large(BenchTraining *training, TripleList *train, TripleList *validation,
            const TripleSet *set, const MetasdSplit *split)
{
    size_t bytes =
        metasd_graph_building_bytes(train->n, validation->n, set->entities, set->relations);
    MetasdTeam team = metasd_team_of_one();
    MetasdGraphBuilding building;
    void *memory = memory_take(bytes);
    MetasdArena arena = metasd_arena_over(memory, bytes), measured = metasd_arena_measure();

    METASD_TRY(metasd_graph_begin(&building, &training->graph, &team, &arena, train->triples,
                                  train->n, validation->triples, validation->n, set->entities,
                                  set->relations, split));
    metasd_graph_take(&training->graph, &measured);
    training->graph_bytes = measured.used;
    training->graph_memory = memory_take(measured.used);
    arena = metasd_arena_over(training->graph_memory, measured.used);
    metasd_graph_take(&training->graph, &arena);
    METASD_TRY(metasd_graph_fill(&building, &training->graph, &team));
    free(memory);
    return METASD_OK;
}

/* The triples of all files are filtered out of the ranking. */
static MetasdStatus
filter_all(BenchTraining *training, const TripleSet *set, const MetasdSplit *split)
{
    const TripleList *lists[3] = {&set->train, &set->validation, &set->test};
    TripleList all = {0}, nothing = {0};
    MetasdGraph filter;
    size_t bytes;

    for (int i = 0; i < 3; i++)
        for (size_t j = 0; j < lists[i]->n; j++)
            triples_add(&all, lists[i]->triples[j]);
    METASD_TRY(build_graph(&filter, &all, &nothing, set, split, &bytes, &training->filter_memory));
    training->graph.known = filter.known;
    free(all.triples);
    return METASD_OK;
}

MetasdStatus
training_prepare(BenchTraining *training, const BenchOptions *options, TripleSet *set)
{
    TripleList nothing = {0};
    TripleList *validation = options->split.validation_fraction > 0 ? &nothing : &set->validation;

    *training = (BenchTraining){.options = options};
    METASD_TRY(build_large(training, &set->train, validation, set, &options->split));
    if (set->test.n > 0 || (validation != &set->validation && set->validation.n > 0))
        METASD_TRY(filter_all(training, set, &options->split));
    if (!measure(options, &training->graph, &training->shared_bytes, &training->own_bytes))
        return METASD_NO_MEMORY;
    training->shared = memory_share(training->shared_bytes);
    training->tallies = memory_take((size_t)options->train.epochs * sizeof(Tally));
    return METASD_OK;
}

/* ---- callbacks: member 0 ---- */

double
training_mrr(const MetasdRanks *ranks)
{
    return ranks->n ? ranks->reciprocal / (double)ranks->n : 0;
}

static double
hits(const MetasdRanks *ranks, int i)
{
    return ranks->n ? (double)ranks->hits[i] / (double)ranks->n : 0;
}

/* Products of the full model that a batch of the epoch takes. */
static int
units_of(const BenchTraining *training, int epoch)
{
    const MetasdTrainOptions *options = &training->options->train;
    bool pruned = epoch > options->warmup || epoch == options->epochs;
    bool quiz = options->step.quiz && training->graph.part[METASD_QUIZ].count > 0;

    return 3 + (pruned && quiz ? 3 : 0) + (pruned && options->step.mutual ? 3 : 0);
}

static void
begin_epoch(BenchTraining *training)
{
    int epoch = ++training->epochs;

    training->tallies[epoch - 1] =
        (Tally){.began = clock_now(), .units = units_of(training, epoch)};
}

static MetasdStatus
batch_done(void *context, int epoch, size_t done, size_t total, double loss)
{
    BenchTraining *training = context;
    const BenchOptions *options = training->options;
    Tally *tally = &training->tallies[epoch - 1];

    (void)loss;
    tally_batch(tally, done, total, training->trainer.batches.batch.groups);
    if (options->phases)
        phases_batch(&training->phases);
    training->stopped = options->seconds > 0 && done >= 2 && done < total &&
                        tally->last - tally->first >= options->seconds;
    return training->stopped ? METASD_INTERRUPTED : METASD_OK;
}

static void
print_epoch(const BenchTraining *training, const MetasdEpoch *e, const Tally *tally)
{
    printf("epoch %3d %6.1f s  full %.4f trial %.4f quiz %.4f mutual %.4f %.4f  mrr %.4f %.4f  "
           "h1 %.3f h10 %.3f sparsity %.3f regrown %zu dropped %zu%s\n",
           e->epoch, tally->ended - training->started, e->losses.full, e->losses.trial,
           e->losses.quiz, e->losses.mutual_full,
           e->finetunes ? e->losses.finetune : e->losses.mutual_student, training_mrr(&e->full),
           training_mrr(&e->student), hits(&e->student, 0), hits(&e->student, 2), e->sparsity,
           e->regrown, e->dropped, e->best ? " *" : "");
    printf("          %zu batches %.3f s, before them %.3f s, validation %.3f s\n", tally->batches,
           tally_seconds(tally), tally_start(tally), tally->ended - tally->last);
    fflush(stdout);
}

static MetasdStatus
epoch_done(void *context, const MetasdEpoch *e)
{
    BenchTraining *training = context;
    Tally *tally = &training->tallies[e->epoch - 1];

    tally->ended = clock_now();
    if (training->options->phases)
        phases_epoch(&training->phases);
    if (!training->quiet)
        print_epoch(training, e, tally);
    if (e->epoch < training->options->train.epochs)
        begin_epoch(training);
    return METASD_OK;
}

static MetasdStatus
epoch_repeats(void *context, int epoch, size_t batch, double lr, bool again)
{
    BenchTraining *training = context;

    printf("epoch %d batch %zu: loss not finite, lr %g, %s\n", epoch, batch, lr,
           again ? "again" : "given up");
    training->tallies[epoch - 1].began = clock_now();
    return METASD_OK;
}

static void
stage_done(void *context, MetasdStage stage)
{
    BenchTraining *training = context;

    phases_observe(&training->phases, stage);
}

/* ---- the training ---- */

/* In each member, with a copy of the training of its own. */
static MetasdStatus
train_member(MetasdTeam *team, void *context)
{
    BenchTraining *training = context;
    const BenchOptions *options = training->options;
    void *memory = memory_take(training->own_bytes);
    MetasdArena shared = metasd_arena_over(training->shared, training->shared_bytes);
    MetasdArena own = metasd_arena_over(memory, training->own_bytes);
    MetasdTrainEvents events = {
        .context = training, .epoch = epoch_done, .batch = batch_done, .repeat = epoch_repeats};
    MetasdStatus status;

    metasd_trainer_take(&training->trainer, &shared, &own, &training->graph, &options->train,
                        options->members);
    if (!metasd_arena_ok(&shared) || !metasd_arena_ok(&own))
        return METASD_NO_MEMORY;
    if (options->phases) {
        training->trainer.context.observe = stage_done;
        training->trainer.context.observer = training;
    }
    training->trainer.progress.warm = training->fill != NULL;
    if (training->fill && team->rank == 0)
        METASD_TRY(training->fill(training, team));
    METASD_TRY(team->barrier(team)); /* all are there: the time starts */
    training->started = training->phases.last = clock_now();
    begin_epoch(training);
    status = metasd_train(&training->trainer, team, &training->graph, &options->train, &events,
                          &training->best);
    training->ended = clock_now();
    training->waited = processes_waited(team);
    free(memory);
    return status;
}

MetasdStatus
training_run(BenchTraining *training)
{
    double own = clock_own(), machine = clock_machine();
    MetasdStatus status = processes_run(training->options->members, train_member, training);

    training->own = clock_own() - own;
    training->others = clock_machine() - machine - training->own;
    if (training->others < 0) /* the machine counts in hundredths */
        training->others = 0;
    if (status != METASD_INTERRUPTED || !training->stopped)
        return status;
    return METASD_OK;
}
