#include "core/train/probe.h"

#include <math.h>

/* ---- the work of a probe, and of the training ---- */

/*
 * Where all probes have the time for so many epochs of the high rank together, they have it. Its
 * weight of the regulariser is nearer to that of a whole training: on Kinship rank 64 chose .02
 * with three seeds, rank 32 with two.
 */
#define PROBE_RANK 32
#define HIGH_PROBE_RANK 64
#define HIGH_RANK_EPOCHS 100
#define PROBE_RATE 0.3f
#define MOST_ANSWERS 4000 /* that are ranked */

/* Rounds of a probe, each at a lower rate, where it has fewer epochs than that. */
#define ROUNDS 4

/* The exponential and the sums of a score take as long as so many flop. */
#define SCORE_WORK 60

/* Flop of the pass of a batch over a weight. */
#define WEIGHT_WORK 20

static MetasdTrainOptions
make_options(const MetasdTrainOptions *training, size_t rank)
{
    MetasdTrainOptions options = *training;

    options.rank = training->rank < rank ? training->rank : rank;
    options.sparsity = 0;
    options.epochs = options.warmup = ROUNDS;
    options.warmup_lr = PROBE_RATE;
    options.ramp = options.finetune = options.patience = 0;
    options.validation_most = 0; /* only the last model is ranked */
    options.step.quiz = options.step.mutual = options.step.finetune = false;
    return options;
}

/* Flop of an epoch in which a part of the weights counts. */
static double
count_epoch_work(const MetasdGraph *graph, const MetasdTrainOptions *options, double part,
                 bool sampled)
{
    const MetasdGroups *train = &graph->part[METASD_TRAIN];
    double width = (double)options->rank * (double)options->family->reals_per_rank;
    double entities = graph->entities;
    double batches = ceil((double)train->examples / (double)options->batch);
    double scored = sampled && options->negatives > 0
                        ? fmin(entities, (double)(options->negatives + options->batch))
                        : entities;

    return (double)train->count * scored * (6 * part * width + SCORE_WORK) +
           batches * (scored + 2.0 * graph->relations) * width * part * WEIGHT_WORK +
           3 * (double)train->examples * width * WEIGHT_WORK;
}

/* Sparse products take about twice the time per weight. */
static double
count_training_work(const MetasdGraph *graph, const MetasdTrainOptions *options)
{
    double kept = fmin(1, 2 * (1 - options->sparsity));
    double full = count_epoch_work(graph, options, 1, true);
    double student = count_epoch_work(graph, options, kept, kept == 1), work = 0;

    for (int epoch = 1; epoch <= options->epochs; epoch++) {
        bool finetunes = epoch > options->epochs - options->finetune && epoch > options->warmup;

        work += finetunes ? student : full;
        if (!finetunes && epoch > options->warmup)
            work += (options->step.quiz ? full : 0) + (options->step.mutual ? full : 0);
    }
    return work;
}

/*
 * Probes run in one process; the training mostly in two. So this part of its work is a tenth of its
 * time. A training of a small graph is over in a moment, but probes may take a second or two.
 */
#define PART 0.05
#define LEAST_WORK 8e10

static double
count_probing_work(const MetasdGraph *graph, const MetasdTrainOptions *training)
{
    return fmax(LEAST_WORK, PART * count_training_work(graph, training));
}

MetasdTrainOptions
metasd_probe_options(const MetasdGraph *graph, const MetasdTrainOptions *training)
{
    MetasdTrainOptions high = make_options(training, HIGH_PROBE_RANK);
    double epochs = count_probing_work(graph, training) / count_epoch_work(graph, &high, 1, true);

    return epochs >= HIGH_RANK_EPOCHS ? high : make_options(training, PROBE_RANK);
}

/* In longer probes of the first stage nothing else is better: more seeds are worth more. */
#define MOST_BRIEF 8
#define MOST_SEEDS 4

/*
 * In shorter ones a weight of the regulariser seems too large that is not: on FB15k-237 .02 is
 * ahead of .05 after a twelfth of an epoch, and behind after half of one.
 */
#define GOOD_BRIEF 0.5
#define LEAST_BRIEF 0.25
#define LEAST_BATCHES 40 /* of a brief probe */

/* Epochs of a brief probe that the work allows; 0: there is nothing to probe. */
static double
find_brief(const MetasdProbing *probing, double epochs)
{
    static const int longer = METASD_HALVING_LONGER;
    MetasdProbeCounts counts = metasd_halving_count(probing);
    double brief;

    if (counts.full == 0)
        return 0;
    brief = epochs / (counts.brief + longer * (counts.full + longer * counts.longest));
    if (longer * brief >= METASD_HALVING_LATE)
        brief = epochs / (counts.brief + longer * counts.full);
    return brief;
}

void
metasd_probe_plan(MetasdProbing *probing, const MetasdGraph *graph,
                  const MetasdTrainOptions *training)
{
    MetasdTrainOptions options = metasd_probe_options(graph, training);
    double work = count_probing_work(graph, training);
    double epochs = work / count_epoch_work(graph, &options, 1, true), least, brief;
    static const MetasdProbed closed[] = {METASD_PROBED_CLASS_WEIGHTS,
                                          METASD_PROBED_RELATION_WEIGHT};

    probing->lengths = (MetasdProbeLengths){0};
    if (graph->part[METASD_VALIDATION].examples < METASD_PROBE_LEAST_ANSWERS)
        return;
    brief = find_brief(probing, epochs);
    /*
     * Short probes say nothing about the regulariser: on FB15k-237 N3 is ahead of DURA in all of
     * them, and behind by .007 of validation MRR at rank 600 after 36 epochs.
     */
    if (METASD_HALVING_LONGER * brief < METASD_HALVING_LATE) {
        probing->open[METASD_PROBED_REGULARIZER] = false;
        brief = find_brief(probing, epochs);
    }
    for (int i = 0; i < 2 && brief < GOOD_BRIEF; i++) {
        probing->open[closed[i]] = false;
        brief = find_brief(probing, epochs);
    }
    least = fmax(LEAST_BRIEF, LEAST_BATCHES * (double)options.batch /
                                  (double)graph->part[METASD_TRAIN].examples);
    least = fmin(least, 1);
    if (brief <
        least) /* for the weight of the regulariser alone up to a tenth of the work will do */
        brief = fmin(2 * brief, least);
    if (brief < least)
        return;
    probing->lengths.brief = fmin(brief, MOST_BRIEF);
    probing->lengths.full = METASD_HALVING_LONGER * probing->lengths.brief;
    probing->lengths.seeds = (int)fmax(1, fmin(MOST_SEEDS, floor(brief / MOST_BRIEF)));
}

/* ---- one probe ---- */

typedef struct Prober {
    MetasdProbing *probing;
    MetasdTrainer *trainer;
    MetasdTeam *team;
    const MetasdGraph *graph;
    const MetasdTrainOptions *training;
    const MetasdTrainEvents *events;
    size_t rounds, batches; /* of this probe: of a round */
} Prober;

static MetasdStatus
batch_ended(void *context, int epoch, size_t done, size_t total, double loss)
{
    const Prober *prober = context;

    (void)total;
    if (!prober->events->batch)
        return METASD_OK;
    return prober->events->batch(prober->events->context, prober->probing->count + 1,
                                 (size_t)(epoch - 1) * prober->batches + done,
                                 prober->rounds * prober->batches, loss);
}

/* Divides the epochs of a probe into rounds. */
static void
divide_epochs(Prober *prober, double epochs, MetasdTrainOptions *options)
{
    double all = ceil((double)prober->graph->part[METASD_TRAIN].examples / (double)options->batch);
    double rounds = fmax(ROUNDS, ceil(epochs));

    options->epochs = options->warmup = (int)rounds;
    options->most_batches = (size_t)ceil(all * epochs / rounds);
    prober->rounds = (size_t)rounds;
    prober->batches = options->most_batches;
}

static MetasdStatus
rank_answers(const Prober *prober, MetasdRanks *ranks)
{
    MetasdBatcher *validation = &prober->trainer->validation;
    MetasdState *state = &prober->trainer->state;

    validation->next = 0;
    while (ranks->n < MOST_ANSWERS) {
        METASD_TRY(metasd_batcher_next(validation, prober->team));
        if (validation->batch.n == 0)
            break;
        METASD_TRY(metasd_validate_batch(&prober->trainer->validator, state, prober->team,
                                         state->weights, false, &validation->batch, prober->graph,
                                         ranks));
    }
    return METASD_OK;
}

/* Trains a probe with one seed; no answers are ranked where a loss was not finite. */
static MetasdStatus
train_seed(Prober *prober, const MetasdTrainOptions *options, MetasdRanks *ranks)
{
    MetasdTrainEvents events = {.context = prober, .batch = batch_ended};
    MetasdEpoch best;
    MetasdStatus status;

    *ranks = (MetasdRanks){0};
    prober->trainer->progress = (MetasdProgress){0};
    status = metasd_train(prober->trainer, prober->team, prober->graph, options, &events, &best);
    if (status == METASD_NON_FINITE)
        return METASD_OK;
    METASD_TRY(status);
    return rank_answers(prober, ranks);
}

static MetasdStatus
train_probe(void *context, MetasdProbe *probe)
{
    Prober *prober = context;
    MetasdTrainOptions options = metasd_probe_options(prober->graph, prober->training);
    int seeds = prober->probing->lengths.seeds;

    divide_epochs(prober, probe->epochs, &options);
    options.step.regularizer = probe->choice.regularizer;
    options.step.reg = (float)probe->choice.reg;
    options.step.relation_weight = (float)probe->choice.relation_weight;
    options.class_weights = probe->choice.class_weights;
    for (int i = 0; i < seeds; i++) {
        MetasdRanks ranks;

        options.seed = prober->training->seed + (uint64_t)i;
        METASD_TRY(train_seed(prober, &options, &ranks));
        if (ranks.n > 0)
            probe->mrr += ranks.reciprocal / (double)ranks.n / seeds;
        probe->answers = ranks.n > probe->answers ? ranks.n : probe->answers;
    }
    return METASD_OK;
}

MetasdStatus
metasd_probe(MetasdProbing *probing, MetasdTrainer *trainer, MetasdTeam *team,
             const MetasdGraph *graph, const MetasdTrainOptions *training,
             const MetasdTrainEvents *events)
{
    Prober prober = {.probing = probing,
                     .trainer = trainer,
                     .team = team,
                     .graph = graph,
                     .training = training,
                     .events = events};

    return metasd_halving(probing, train_probe, &prober);
}
