#include "tune.h"

#include <math.h>
#include <string.h>

#include "random.h"

/* Candidates that are worth beginning with, below which shorter trainings are compared. */
#define FEW_CANDIDATES 3

/* With so many there is time to spare: they begin with longer trainings. */
#define MANY_CANDIDATES 81

/* What is planned leaves some time, since ranks differ and epochs are not all alike. */
#define PLANNED 0.9

/* A trial is begun where the time left is at least this part of what it should take. */
#define ENOUGH 0.9

/* A training that failed is worse than any that did not. */
#define FAILED (-1.0)

/* ---- candidates ---- */

/* What an axis may be: a number between two, evenly drawn by its logarithm, or one of a few. */
typedef struct Range {
    double least, most;
    const double *choices; /* NULL: any number */
    int count;
    bool whole;
} Range;

static const double relation_weights[] = {0, 0.25, 0.5, 1, 2, 4};

static Range
range_of(const MetasdTuneOptions *options, int axis)
{
    double present = options->present.x[axis];

    switch (axis) {
        case METASD_AXIS_LR: /* Adagrad's steps have a scale of their own, whatever the model has */
            return (Range){.least = 0.05, .most = 0.3};
        case METASD_AXIS_RANK:
            return (Range){.least = fmax(1, present / 2),
                           .most = fmin(fmin(2 * present, options->most_rank), 10000),
                           .whole = true};
        case METASD_AXIS_REG:
            if (present <= 0)
                present = 0.02;
            return (Range){.least = present / 10, .most = fmin(10 * present, 1000)};
        default:
            return (Range){.choices = relation_weights,
                           .count = sizeof(relation_weights) / sizeof(*relation_weights)};
    }
}

/*
 * A number as people would write it, with two digits that count. Of whole numbers and powers of
 * ten there is no error but the last operation's: it is what its decimal text is read as.
 */
static double
two_digits(double x)
{
    int power = (int)floor(log10(x)) - 1;
    double digits = round(x * pow(10, -power));

    return power < 0 ? digits / pow(10, -power) : digits * pow(10, power);
}

/* The value at U of 0 .. 1 in a range. */
static double
value_at(const Range *range, double u)
{
    double x;

    if (range->choices)
        return range->choices[(int)(u * range->count)];
    x = two_digits(range->least * pow(range->most / range->least, u));
    if (range->whole)
        x = round(x);
    /* Rounding may have left the range, by less than a twentieth. */
    return x > range->most ? range->most : x < range->least ? range->least : x;
}

static bool
same_point(const MetasdPoint *a, const MetasdPoint *b)
{
    for (int axis = 0; axis < METASD_AXES; axis++)
        if (a->x[axis] != b->x[axis])
            return false;
    return true;
}

static bool
is_known(const MetasdTune *tune, const MetasdPoint *point)
{
    for (int i = 0; i < tune->candidates; i++)
        if (same_point(&tune->candidate[i], point))
            return true;
    return false;
}

/*
 * Where axis J of draw I lies: an additive recurrence whose steps are powers of the generalised
 * golden ratio, the root of x^(axes + 1) = x + 1 (Roberts 2018). However many are drawn, they lie
 * more evenly than random ones; the seed says where they begin.
 */
static double
place_of(uint64_t seed, int axis, int draw)
{
    double ratio = 1.1673039782614187; /* for four axes */
    double begin =
        (double)(metasd_random(seed, METASD_STREAM_TUNE, (uint64_t)axis) >> 11) * 0x1p-53;
    double x = begin + draw * pow(ratio, -(axis + 1));

    return x - floor(x);
}

/*
 * Does the draw change that axis? Every second one changes all of them, the others some: where what
 * is there is good, those that change all are mostly worse in something.
 */
static bool
changes(const MetasdTuneOptions *options, int axis, int draw)
{
    uint64_t which = 1 + metasd_random_below(options->seed, METASD_STREAM_TUNE,
                                             METASD_AXES + (uint64_t)draw, (1 << METASD_AXES) - 1);

    return !options->fixed[axis] && (draw % 2 == 0 || (which >> axis & 1));
}

static void
draw_candidates(MetasdTune *tune)
{
    const MetasdTuneOptions *options = &tune->options;
    Range range[METASD_AXES];

    for (int axis = 0; axis < METASD_AXES; axis++)
        range[axis] = range_of(options, axis);
    tune->candidate[0] = options->present;
    tune->candidates = 1;
    /* With few values to choose from, most draws are there already. */
    for (int draw = 1; draw < 10 * METASD_TUNE_CANDIDATES; draw++) {
        MetasdPoint point = options->present;

        for (int axis = 0; axis < METASD_AXES; axis++)
            if (changes(options, axis, draw))
                point.x[axis] = value_at(&range[axis], place_of(options->seed, axis, draw));
        if (!is_known(tune, &point))
            tune->candidate[tune->candidates++] = point;
        if (tune->candidates == METASD_TUNE_CANDIDATES)
            break;
    }
}

/* ---- rungs ---- */

/* As many as leave the shortest trainings epochs enough to tell something. */
static void
make_rungs(MetasdTune *tune)
{
    int epochs = tune->options.epochs, part = 1;

    tune->rungs = 1;
    while (tune->rungs < METASD_TUNE_RUNGS &&
           epochs / (part * METASD_TUNE_PART) >= METASD_TUNE_LEAST_EPOCHS) {
        part *= METASD_TUNE_PART;
        tune->rungs++;
    }
    for (int rung = 0; rung < tune->rungs; rung++, part /= METASD_TUNE_PART)
        tune->epochs[rung] = (epochs + part - 1) / part;
}

/*
 * The lowest rung that may decide. Shorter trainings say which candidates are hopeless, not which
 * one is the best: on UMLS the best after 4 epochs of 30 stayed .02 of MRR behind the present one.
 */
static int
lowest_to_decide(const MetasdTune *tune)
{
    return tune->rungs > 1 ? tune->rungs - 2 : 0;
}

void
metasd_tune_start(MetasdTune *tune, const MetasdTuneOptions *options)
{
    memset(tune, 0, sizeof(*tune));
    tune->options = *options;
    tune->rung = -1;
    draw_candidates(tune);
    make_rungs(tune);
    for (int rung = 0; rung < METASD_TUNE_RUNGS; rung++)
        for (int i = 0; i < METASD_TUNE_CANDIDATES; i++)
            tune->mrr[rung][i] = NAN;
}

/* ---- time ---- */

/*
 * How much more an epoch of this candidate costs than one of the present one, as far as can be
 * told.
 */
static double
cost_of(const MetasdTune *tune, int candidate)
{
    return tune->candidate[candidate].x[METASD_AXIS_RANK] /
           tune->options.present.x[METASD_AXIS_RANK];
}

/* A trial's seconds: as its candidate's last one took, or as those of others. */
static double
seconds_of(const MetasdTune *tune, int candidate, int rung)
{
    double each = tune->each[candidate];

    if (each == 0)
        each = tune->seconds / tune->work * cost_of(tune, candidate);
    return each * tune->epochs[rung];
}

static int
part_of(int n)
{
    return (n + METASD_TUNE_PART - 1) / METASD_TUNE_PART;
}

/* Seconds of the rungs FIRST .. LAST where N candidates begin, beside the present one. */
static double
seconds_of_rungs(const MetasdTune *tune, int n, int first, int last)
{
    double seconds = 0;

    for (int rung = first; rung <= last; rung++, n = part_of(n)) {
        double others = 0;

        for (int i = 1; i <= n; i++) /* who will be there cannot be known: as the first ones */
            others += seconds_of(tune, i, rung);
        if (isnan(tune->mrr[rung][0]))
            seconds += seconds_of(tune, 0, rung);
        seconds += others;
    }
    return seconds;
}

/* How many candidates can begin at rung FIRST, that the last of them come to the end of LAST. */
static int
fitting(const MetasdTune *tune, double seconds, int first, int last)
{
    int n = 0;

    while (n + 1 < tune->candidates && seconds_of_rungs(tune, n + 1, first, last) <= seconds)
        n++;
    return n;
}

static int
trials_of_rungs(const MetasdTune *tune, int n, int first, int last)
{
    int trials = 0;

    for (int rung = first; rung <= last; rung++, n = part_of(n))
        trials += n + isnan(tune->mrr[rung][0]);
    return trials;
}

/* ---- the search ---- */

/* Begins a rung with N candidates, which are in the queue behind the present one. */
static void
begin_rung(MetasdTune *tune, int rung, int n)
{
    bool known = !isnan(tune->mrr[rung][0]);

    tune->rung = rung;
    tune->queue[0] = 0;
    tune->queued = n + 1;
    tune->next = known ? 1 : 0;
}

/* The lowest rung from which on a few candidates can climb to LAST, or above it; *n are as many. */
static int
first_rung(const MetasdTune *tune, double left, int last, int *n)
{
    for (int first = 0; first <= last; first++) {
        *n = fitting(tune, left, first, last);
        if (*n >= FEW_CANDIDATES || (*n > 0 && *n + 1 == tune->candidates))
            return first;
    }
    return last + 1;
}

/*
 * Whole trainings decide where there is time for them: the highest rung is left out only where
 * there is not, and rungs from below where there is more time than candidates.
 */
static void
plan(MetasdTune *tune, double left)
{
    int n = 0;

    left *= PLANNED;
    tune->last = tune->rungs - 1;
    tune->first = first_rung(tune, left, tune->last, &n);
    if (tune->first > tune->last) {
        tune->last = lowest_to_decide(tune);
        tune->first = first_rung(tune, left, tune->last, &n);
    }
    if (tune->first > tune->last) { /* too little time, as far as can be told: a try is free */
        tune->first = tune->last;
        n = tune->candidates > 1 ? 1 : 0;
    }
    while (tune->first < tune->last &&
           fitting(tune, left, tune->first + 1, tune->last) >=
               (tune->candidates > MANY_CANDIDATES ? MANY_CANDIDATES : tune->candidates - 1))
        n = fitting(tune, left, ++tune->first, tune->last);
    for (int i = 1; i <= n; i++)
        tune->queue[i] = i;
    begin_rung(tune, tune->first, n);
}

/* Have any but the present candidate come to an end in this rung? */
static bool
has_rivals(const MetasdTune *tune, int rung)
{
    for (int i = 1; i < tune->candidates; i++)
        if (!isnan(tune->mrr[rung][i]))
            return true;
    return false;
}

/* Seconds of the rest of this rung, where N begin in it, and of the rungs above. */
static double
seconds_to_go(const MetasdTune *tune, int n)
{
    double seconds = 0;

    for (int i = tune->next; i <= n; i++)
        seconds += seconds_of(tune, tune->queue[i], tune->rung);
    return seconds + seconds_of_rungs(tune, part_of(n), tune->rung + 1, tune->last);
}

/*
 * Trainings may take longer than the first one told: then fewer are tried in this rung, and where
 * there is no time for the highest one, the one below has to decide.
 */
static void
trim(MetasdTune *tune, double left)
{
    for (; tune->rung < tune->last; tune->last--) {
        int least = tune->next - 1;

        if (least < FEW_CANDIDATES)
            least = tune->queued - 1 < FEW_CANDIDATES ? tune->queued - 1 : FEW_CANDIDATES;
        for (int n = tune->queued - 1; n >= least; n--)
            if (seconds_to_go(tune, n) <= left ||
                (n == least && tune->last == lowest_to_decide(tune))) {
                tune->queued = n + 1;
                return;
            }
    }
}

/* Is there time for the next of the queue? */
static bool
is_time(const MetasdTune *tune, double left)
{
    if (!has_rivals(tune, tune->rung))
        return left > 0;
    return ENOUGH * seconds_of(tune, tune->queue[tune->next], tune->rung) <= left;
}

/* The rivals of this rung, the best first. */
static int
rank_rivals(const MetasdTune *tune, int *order)
{
    const double *mrr = tune->mrr[tune->rung];
    int n = 0;

    for (int i = 1; i < tune->candidates; i++) {
        int place = n;

        if (isnan(mrr[i]) || mrr[i] == FAILED)
            continue;
        for (; place > 0 && mrr[order[place - 1]] < mrr[i]; place--)
            order[place] = order[place - 1];
        order[place] = i;
        n++;
    }
    return n;
}

/*
 * Goes on to the next rung with those of the best third that there is time for; false if for none.
 */
static bool
climb(MetasdTune *tune, double left)
{
    int order[METASD_TUNE_CANDIDATES], rung = tune->rung + 1, most;

    most = part_of(rank_rivals(tune, order));
    for (; tune->rung < tune->last; tune->last--)
        for (int n = most; n > 0; n--) {
            double seconds = seconds_of_rungs(tune, part_of(n), rung + 1, tune->last);

            if (isnan(tune->mrr[rung][0]))
                seconds += seconds_of(tune, 0, rung);
            for (int i = 0; i < n; i++)
                seconds += seconds_of(tune, order[i], rung);
            if ((n == 1 ? ENOUGH : 1) * seconds > left &&
                !(n == 1 && tune->last == lowest_to_decide(tune)))
                continue;
            for (int i = 0; i < n; i++)
                tune->queue[1 + i] = order[i];
            begin_rung(tune, rung, n);
            return true;
        }
    return false;
}

bool
metasd_tune_next(MetasdTune *tune, double left, MetasdTuneTrial *trial)
{
    if (tune->done == 0) {
        *trial = (MetasdTuneTrial){.candidate = 0, .rung = 0, .epochs = tune->epochs[0]};
        return true;
    }
    if (tune->rung < 0)
        plan(tune, left);
    trim(tune, left);
    while (tune->next >= tune->queued || !is_time(tune, left))
        if (!climb(tune, left))
            return false;
    tune->planned = tune->done + tune->queued - tune->next +
                    trials_of_rungs(tune, part_of(tune->queued - 1), tune->rung + 1, tune->last);
    *trial = (MetasdTuneTrial){.candidate = tune->queue[tune->next++],
                               .rung = tune->rung,
                               .epochs = tune->epochs[tune->rung]};
    return true;
}

void
metasd_tune_report(MetasdTune *tune, const MetasdTuneTrial *trial, double mrr, double seconds)
{
    tune->done++;
    tune->mrr[trial->rung][trial->candidate] = isnan(mrr) ? FAILED : mrr;
    seconds = fmax(seconds, 1e-6);
    tune->each[trial->candidate] = seconds / trial->epochs;
    tune->seconds += seconds;
    tune->work += cost_of(tune, trial->candidate) * trial->epochs;
}

bool
metasd_tune_is_best(const MetasdTune *tune, const MetasdTuneTrial *trial)
{
    const double *mrr = tune->mrr[trial->rung];

    if (isnan(mrr[trial->candidate]) || mrr[trial->candidate] == FAILED)
        return false;
    for (int i = 0; i < tune->candidates; i++)
        if (i != trial->candidate && mrr[i] >= mrr[trial->candidate])
            return false;
    return true;
}

/*
 * Reciprocal ranks deviate by some .35 from their mean, and those that two models give to one
 * answer go together: the standard error of the difference is about .2 / sqrt(n). On UMLS the best
 * of 24 was better by .004 on 1,304 validation answers, and worse by .02 on as many others.
 */
double
metasd_tune_margin(double n)
{
    return n > 0 ? 0.2 / sqrt(n) : 0;
}

MetasdTuneChoice
metasd_tune_choice(const MetasdTune *tune, double margin)
{
    MetasdTuneChoice choice = {.candidate = 0, .rung = tune->rungs - 1};

    while (isnan(tune->mrr[choice.rung][0]) || !has_rivals(tune, choice.rung))
        if (choice.rung-- == lowest_to_decide(tune)) {
            choice.rung = -1;
            return choice;
        }
    for (int i = 1; i < tune->candidates; i++)
        if (tune->mrr[choice.rung][i] > tune->mrr[choice.rung][choice.candidate])
            choice.candidate = i;
    if (!(tune->mrr[choice.rung][choice.candidate] >= tune->mrr[choice.rung][0] + margin))
        choice.candidate = 0;
    choice.mrr = tune->mrr[choice.rung][choice.candidate];
    choice.present_mrr = tune->mrr[choice.rung][0];
    return choice;
}
