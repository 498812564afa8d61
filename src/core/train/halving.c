#include "core/train/halving.h"

#include <math.h>

/* ---- what is tried ---- */

static const double regs[] = {0.2, 0.1, 0.05, 0.02, 0.01, 0.005};
static const double relation_weights[] = {0, 1, 4};

#define REGS ((int)(sizeof(regs) / sizeof(regs[0])))
#define RELATION_WEIGHTS ((int)(sizeof(relation_weights) / sizeof(relation_weights[0])))
#define PAIRS (2 * REGS)

/* Of the pairs one in so many is tried for longer. */
#define KEPT 3

/*
 * Another regulariser than the default one, the relation loss and class weights have to gain so
 * much with one answer, and less with the root of their number: less may be chance.
 */
#define LEAST_GAIN 0.15

/*
 * In short probes another weight of a relation loss that has one by default, and class weights
 * where they are the default, have to gain this much more. A small model in a short time makes
 * light of both. On FB15k-237 at rank 32 relation weight 0 is ahead of .5 by .010 after a probe of
 * two epochs, and by .006 after one of six; at rank 100 whole trainings gained .017 by it. On
 * Kinship 0 is level with 1 after 13 epochs, and whole trainings gained .017 by 1. On WN18RR a
 * probe of three epochs loses .010 by class weights, and whole trainings gained .004.
 */
#define LATE_GAIN 0.02

/* Larger weights of the regulariser that are probed after the best pairs, as a rule. */
#define CLIMBS 2

/* The longest probes, as a rule: of the best weight and of the next larger one. */
#define LONGEST 2

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

MetasdProbeCounts
metasd_halving_count(const MetasdProbing *probing)
{
    int pairs = count_pairs(probing);
    bool reg = probing->open[METASD_PROBED_REG];
    MetasdProbeCounts counts = {
        .brief = pairs > 1 ? pairs : 0,
        .full = count_kept(probing) + (reg ? CLIMBS : 0) +
                (probing->open[METASD_PROBED_RELATION_WEIGHT] ? RELATION_WEIGHTS : 0) +
                (probing->open[METASD_PROBED_CLASS_WEIGHTS] ? 1 : 0),
        .longest = reg ? LONGEST : 0};

    if (pairs == 1 && !goes_on(probing))
        counts.full = 0;
    return counts;
}

/* ---- successive halving ---- */

typedef struct Halving {
    MetasdProbing *probing;
    MetasdStatus (*run)(void *context, MetasdProbe *probe);
    void *context;
    MetasdRegularizer regularizer; /* the default one */
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

/* What may be chance, between two probes with so many answers. */
static double
chance_of(const MetasdProbe *probe)
{
    return LEAST_GAIN / sqrt(fmax(1, (double)probe->answers));
}

/* Are even the longer probes short beside a training? */
static bool
is_short(const MetasdProbing *probing)
{
    return probing->lengths.full < METASD_HALVING_LATE;
}

/* The MRR of a probe, less what another regulariser than the default one has to gain. */
static double
weigh(const Halving *halving, const MetasdProbe *probe)
{
    bool other = probe->choice.regularizer != halving->regularizer;

    return probe->mrr - (other ? chance_of(probe) : 0);
}

/* The best probe of [first, end) that is not among those taken already. */
static int
find_best(const Halving *halving, int first, int end, const bool *taken)
{
    const MetasdProbe *probe = halving->probing->probe;
    int best = -1;

    for (int i = first; i < end; i++)
        if (!(taken && taken[i]) &&
            (best < 0 || weigh(halving, &probe[i]) > weigh(halving, &probe[best])))
            best = i;
    return best;
}

/* The next larger weight of the regulariser that is tried; 0: there is none. */
static double
larger_reg(double reg)
{
    double next = 0;

    for (int i = 0; i < REGS && regs[i] > reg; i++)
        next = regs[i];
    return next;
}

/* The longer probe of that choice; NULL: there is none. FIRST: the first of the longer probes. */
static const MetasdProbe *
find_longer(const MetasdProbing *probing, int first, const MetasdProbeChoice *choice)
{
    for (int i = first; i < probing->count; i++)
        if (probing->probe[i].choice.reg == choice->reg &&
            probing->probe[i].choice.regularizer == choice->regularizer)
            return &probing->probe[i];
    return NULL;
}

/*
 * Probes the next larger weight of the regulariser for the longer time, too, unless it was, and
 * takes it if it is better, or if it is level and the longer time is still short; *climbed says
 * whether.
 */
static MetasdStatus
climb_step(const Halving *halving, int first, double *mrr, bool *climbed)
{
    MetasdProbing *probing = halving->probing;
    MetasdProbeChoice choice = probing->chosen;
    const MetasdProbe *probe;
    double less = 0;

    *climbed = false;
    choice.reg = larger_reg(choice.reg);
    if (choice.reg == 0)
        return METASD_OK;
    probe = find_longer(probing, first, &choice);
    if (!probe)
        METASD_TRY(run_probe(halving, &choice, probing->lengths.full, &probe));
    if (is_short(probing))
        less = chance_of(probe);
    if (probe->mrr <= *mrr - less)
        return METASD_OK;
    *climbed = true;
    *mrr = probe->mrr;
    probing->chosen = choice;
    return METASD_OK;
}

/*
 * Climbs to larger weights of the regulariser as long as that helps: brief probes make a large one
 * look bad. On WN18RR at rank 32 .1 is behind .05 by .12 of MRR after one epoch, and ahead by .006
 * after four and .022 after twelve. On FB15k-237 .05 is behind .02 by .001 after 2.6 epochs, and
 * the better one for a whole training at rank 250. FIRST: the first of the longer probes.
 */
static MetasdStatus
climb_reg(const Halving *halving, int first, double *mrr)
{
    bool climbed = true;

    while (climbed)
        METASD_TRY(climb_step(halving, first, mrr, &climbed));
    return METASD_OK;
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
            best = find_best(halving, 0, pairs, taken);
            taken[best] = true;
            choice = probing->probe[best].choice;
        }
        METASD_TRY(run_probe(halving, &choice, probing->lengths.full, NULL));
    }
    best = find_best(halving, pairs, probing->count, NULL);
    probing->chosen = probing->probe[best].choice;
    *mrr = probing->probe[best].mrr;
    return probing->open[METASD_PROBED_REG] ? climb_reg(halving, pairs, mrr) : METASD_OK;
}

/* Probes another choice, and takes it if it gains enough. */
static MetasdStatus
try_choice(const Halving *halving, const MetasdProbeChoice *choice, double least, double *mrr)
{
    MetasdProbing *probing = halving->probing;
    const MetasdProbe *probe;

    METASD_TRY(run_probe(halving, choice, probing->lengths.full, &probe));
    if (probe->mrr <= *mrr + least + chance_of(probe))
        return METASD_OK;
    *mrr = probe->mrr;
    probing->chosen = *choice;
    return METASD_OK;
}

static MetasdStatus
choose_relation_weight(const Halving *halving, double *mrr)
{
    double start = halving->probing->chosen.relation_weight;
    bool late = is_short(halving->probing) && start > 0;

    for (int i = 0; i < RELATION_WEIGHTS; i++) {
        MetasdProbeChoice choice = halving->probing->chosen;

        if (start == relation_weights[i])
            continue;
        choice.relation_weight = relation_weights[i];
        METASD_TRY(try_choice(halving, &choice, late ? LATE_GAIN : 0, mrr));
    }
    return METASD_OK;
}

static MetasdStatus
choose_class_weights(const Halving *halving, double *mrr)
{
    MetasdProbeChoice choice = halving->probing->chosen;
    bool late = is_short(halving->probing) && choice.class_weights;

    choice.class_weights = !choice.class_weights;
    return try_choice(halving, &choice, late ? LATE_GAIN : 0, mrr);
}

/* Runs the longest probe of a choice. */
static MetasdStatus
run_longest(const Halving *halving, const MetasdProbeChoice *choice, double *mrr)
{
    const MetasdProbe *probe;

    METASD_TRY(
        run_probe(halving, choice, METASD_HALVING_LONGER * halving->probing->lengths.full, &probe));
    *mrr = probe->mrr;
    return METASD_OK;
}

/*
 * Where probes are short, the next larger weight of the regulariser, which lost, meets the chosen
 * one again for three times as long, and so on as long as it wins: a whole training wants a larger
 * weight than a part of one. This comes last. On WN18RR weight .1 wins here, but after the shorter
 * time it is so far behind that anything beside it seems to gain.
 */
static MetasdStatus
repeat_for_longest(const Halving *halving)
{
    MetasdProbing *probing = halving->probing;
    MetasdProbeChoice choice = probing->chosen;
    double mrr, larger;

    choice.reg = larger_reg(choice.reg);
    if (!is_short(probing) || choice.reg == 0)
        return METASD_OK;
    METASD_TRY(run_longest(halving, &probing->chosen, &mrr));
    while (choice.reg > 0) {
        METASD_TRY(run_longest(halving, &choice, &larger));
        if (larger <= mrr)
            return METASD_OK;
        mrr = larger;
        probing->chosen = choice;
        choice.reg = larger_reg(choice.reg);
    }
    return METASD_OK;
}

MetasdStatus
metasd_halving(MetasdProbing *probing, MetasdStatus (*run)(void *context, MetasdProbe *probe),
               void *context)
{
    Halving halving = {.probing = probing,
                       .run = run,
                       .context = context,
                       .regularizer = probing->chosen.regularizer};
    double mrr;

    probing->count = 0;
    if (metasd_halving_count(probing).full == 0 || probing->lengths.full <= 0)
        return METASD_OK;
    METASD_TRY(choose_pair(&halving, &mrr));
    if (probing->open[METASD_PROBED_RELATION_WEIGHT])
        METASD_TRY(choose_relation_weight(&halving, &mrr));
    if (probing->open[METASD_PROBED_CLASS_WEIGHTS])
        METASD_TRY(choose_class_weights(&halving, &mrr));
    return probing->open[METASD_PROBED_REG] ? repeat_for_longest(&halving) : METASD_OK;
}
