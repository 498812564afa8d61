#include "core/train/probe.h"

#include <math.h>

/* ---- what is tried ---- */

static const double regs[] = {0.2, 0.1, 0.05, 0.02, 0.01, 0.005};
static const double relation_weights[] = {0, 0.5, 4};

#define REGS ((int)(sizeof(regs) / sizeof(regs[0])))
#define RELATION_WEIGHTS ((int)(sizeof(relation_weights) / sizeof(relation_weights[0])))
#define PAIRS (2 * REGS)

/* Of the pairs one in so many is tried for longer, and so many times longer. */
#define KEPT 3
#define LONGER 3

/*
 * The relation loss and class weights have to gain so much with one answer, and less with the root
 * of their number: less may be chance.
 */
#define LEAST_GAIN 0.15

static int
count_pairs(const MetasdProbing *probing)
{
    return (probing->open[METASD_PROBED_REG] ? REGS : 1) *
           (probing->open[METASD_PROBED_REGULARIZER] ? 2 : 1);
}

/* Pairs that are tried for longer. */
static int
count_kept(const MetasdProbing *probing)
{
    return (count_pairs(probing) + KEPT - 1) / KEPT;
}

/* Is there anything to choose after the pairs? */
static bool
goes_on(const MetasdProbing *probing)
{
    return probing->open[METASD_PROBED_RELATION_WEIGHT] ||
           probing->open[METASD_PROBED_CLASS_WEIGHTS];
}

/* Probes of the first stage, and of the others together. */
static void
count_probes(const MetasdProbing *probing, int *brief, int *full)
{
    int pairs = count_pairs(probing);

    *brief = pairs > 1 ? pairs : 0;
    *full = count_kept(probing) +
            (probing->open[METASD_PROBED_RELATION_WEIGHT] ? RELATION_WEIGHTS : 0) +
            (probing->open[METASD_PROBED_CLASS_WEIGHTS] ? 1 : 0);
    if (pairs == 1 && !goes_on(probing))
        *full = 0;
}

int
metasd_probe_most(const MetasdProbing *probing)
{
    int brief, full;

    count_probes(probing, &brief, &full);
    return brief + full;
}

/* ---- successive halving ---- */

typedef struct Halving {
    MetasdProbing *probing;
    MetasdStatus (*run)(void *context, MetasdProbe *probe);
    void *context;
} Halving;

/* Runs a probe, the next in the list; *ran, if it is wanted, points to it. */
static MetasdStatus
run_probe(const Halving *halving, const MetasdProbeChoice *choice, double epochs,
          const MetasdProbe **ran)
{
    MetasdProbing *probing = halving->probing;
    MetasdProbe *probe = &probing->probe[probing->count];

    *probe = (MetasdProbe){.choice = *choice, .epochs = epochs};
    METASD_TRY(halving->run(halving->context, probe));
    probing->count++;
    if (ran)
        *ran = probe;
    return METASD_OK;
}

/* Probes all pairs of what is open. */
static MetasdStatus
run_pairs(const Halving *halving)
{
    MetasdProbing *probing = halving->probing;
    bool reg = probing->open[METASD_PROBED_REG];
    bool regularizer = probing->open[METASD_PROBED_REGULARIZER];

    for (int i = 0; i < (regularizer ? 2 : 1); i++)
        for (int j = 0; j < (reg ? REGS : 1); j++) {
            MetasdProbeChoice choice = probing->chosen;

            if (regularizer)
                choice.regularizer = i == 0 ? METASD_DURA : METASD_N3;
            if (reg)
                choice.reg = regs[j];
            METASD_TRY(run_probe(halving, &choice, probing->lengths.brief, NULL));
        }
    return METASD_OK;
}

/* The best probe of [first, end) that is not among those taken already. */
static int
find_best(const MetasdProbing *probing, int first, int end, const bool *taken)
{
    int best = -1;

    for (int i = first; i < end; i++)
        if (!(taken && taken[i]) && (best < 0 || probing->probe[i].mrr > probing->probe[best].mrr))
            best = i;
    return best;
}

/* Sets the best pair, and its MRR after the longer time. */
static MetasdStatus
choose_pair(const Halving *halving, double *mrr)
{
    MetasdProbing *probing = halving->probing;
    bool taken[METASD_MOST_PROBES] = {false};
    int pairs, kept = count_kept(probing), best;

    if (count_pairs(probing) > 1)
        METASD_TRY(run_pairs(halving));
    pairs = probing->count;
    for (int i = 0; i < kept; i++) {
        MetasdProbeChoice choice = probing->chosen;

        if (pairs > 0) {
            best = find_best(probing, 0, pairs, taken);
            taken[best] = true;
            choice = probing->probe[best].choice;
        }
        METASD_TRY(run_probe(halving, &choice, probing->lengths.full, NULL));
    }
    best = find_best(probing, pairs, probing->count, NULL);
    probing->chosen = probing->probe[best].choice;
    *mrr = probing->probe[best].mrr;
    return METASD_OK;
}

/* Probes another choice, and takes it if it gains enough. */
static MetasdStatus
try_choice(const Halving *halving, const MetasdProbeChoice *choice, double *mrr)
{
    MetasdProbing *probing = halving->probing;
    const MetasdProbe *probe;

    METASD_TRY(run_probe(halving, choice, probing->lengths.full, &probe));
    if (probe->mrr <= *mrr + LEAST_GAIN / sqrt(fmax(1, (double)probe->answers)))
        return METASD_OK;
    *mrr = probe->mrr;
    probing->chosen = *choice;
    return METASD_OK;
}

static MetasdStatus
choose_relation_weight(const Halving *halving, double *mrr)
{
    for (int i = 0; i < RELATION_WEIGHTS; i++) {
        MetasdProbeChoice choice = halving->probing->chosen;

        if (choice.relation_weight == relation_weights[i])
            continue;
        choice.relation_weight = relation_weights[i];
        METASD_TRY(try_choice(halving, &choice, mrr));
    }
    return METASD_OK;
}

MetasdStatus
metasd_probe_halve(MetasdProbing *probing, MetasdStatus (*run)(void *context, MetasdProbe *probe),
                   void *context)
{
    Halving halving = {.probing = probing, .run = run, .context = context};
    double mrr;

    probing->count = 0;
    if (metasd_probe_most(probing) == 0 || probing->lengths.full <= 0)
        return METASD_OK;
    if (probing->open[METASD_PROBED_RELATION_WEIGHT]) /* what is simpler comes first */
        probing->chosen.relation_weight = 0;
    if (probing->open[METASD_PROBED_CLASS_WEIGHTS])
        probing->chosen.class_weights = false;
    METASD_TRY(choose_pair(&halving, &mrr));
    if (probing->open[METASD_PROBED_RELATION_WEIGHT])
        METASD_TRY(choose_relation_weight(&halving, &mrr));
    if (probing->open[METASD_PROBED_CLASS_WEIGHTS]) {
        MetasdProbeChoice choice = probing->chosen;

        choice.class_weights = true;
        METASD_TRY(try_choice(&halving, &choice, &mrr));
    }
    return METASD_OK;
}

/* ---- the work of a probe, and of the training ---- */

#define PROBE_RANK 32
#define PROBE_RATE 0.3f
#define MOST_ANSWERS 4000 /* that are ranked */

/* Rounds of a probe, each at a lower rate, where it has fewer epochs than that. */
#define ROUNDS 4

/* The exponential and the sums of a score take as long as so many flop. */
#define SCORE_WORK 60

/* Flop of the pass of a batch over a weight. */
#define WEIGHT_WORK 20

MetasdTrainOptions
metasd_probe_options(const MetasdTrainOptions *training)
{
    MetasdTrainOptions options = *training;

    options.rank = training->rank < PROBE_RANK ? training->rank : PROBE_RANK;
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
#define LEAST_WORK 2e10

/* In longer probes nothing else is better, and shorter ones say nothing. */
#define MOST_BRIEF 8
#define LEAST_BATCHES 40 /* of a brief probe */

MetasdProbeLengths
metasd_probe_lengths(const MetasdProbing *probing, const MetasdGraph *graph,
                     const MetasdTrainOptions *training)
{
    const MetasdProbeLengths none = {0, 0};
    MetasdTrainOptions options = metasd_probe_options(training);
    double examples = (double)graph->part[METASD_TRAIN].examples;
    double work = fmax(LEAST_WORK, PART * count_training_work(graph, training)), brief, least;
    int briefs, fulls;

    count_probes(probing, &briefs, &fulls);
    if (briefs + fulls == 0 || graph->part[METASD_VALIDATION].examples < METASD_PROBE_LEAST_ANSWERS)
        return none;
    brief = work / count_epoch_work(graph, &options, 1, true) / (briefs + LONGER * fulls);
    brief = fmin(brief, MOST_BRIEF);
    least = fmin(1, LEAST_BATCHES * (double)options.batch / examples);
    if (brief < least)
        return none;
    return (MetasdProbeLengths){.brief = brief, .full = LONGER * brief};
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

static MetasdStatus
train_probe(void *context, MetasdProbe *probe)
{
    Prober *prober = context;
    MetasdTrainOptions options = metasd_probe_options(prober->training);
    MetasdTrainEvents events = {.context = prober, .batch = batch_ended};
    MetasdRanks ranks = {0};
    MetasdEpoch best;
    MetasdStatus status;

    divide_epochs(prober, probe->epochs, &options);
    options.step.regularizer = probe->choice.regularizer;
    options.step.reg = (float)probe->choice.reg;
    options.step.relation_weight = (float)probe->choice.relation_weight;
    options.class_weights = probe->choice.class_weights;
    prober->trainer->progress = (MetasdProgress){0};
    status = metasd_train(prober->trainer, prober->team, prober->graph, &options, &events, &best);
    if (status == METASD_NON_FINITE) /* it is the worst */
        return METASD_OK;
    METASD_TRY(status);
    METASD_TRY(rank_answers(prober, &ranks));
    probe->answers = ranks.n;
    if (ranks.n > 0)
        probe->mrr = ranks.reciprocal / (double)ranks.n;
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

    return metasd_probe_halve(probing, train_probe, &prober);
}
