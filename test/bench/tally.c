#include "tally.h"

#include <stdio.h>

#include "clock.h"

/* ---- an epoch ---- */

void
tally_batch(Tally *tally, size_t done, size_t total, size_t queries)
{
    tally->last = clock_now();
    tally->last_own = clock_own();
    tally->batches = done;
    tally->total = total;
    if (done == 1) {
        tally->first = tally->last;
        tally->first_own = tally->last_own;
        tally->first_queries = (double)queries;
        tally->queries = 0;
    }
    tally->queries += (double)queries;
}

double
tally_queries(const Tally *tally)
{
    return tally->queries * (double)tally->total / (double)tally->batches;
}

double
tally_seconds(const Tally *tally)
{
    double later = tally->queries - tally->first_queries;

    if (tally->batches < 2) /* with what came before it */
        return (tally->last - tally->began) * (double)tally->total / (double)tally->batches;
    return (tally->last - tally->first) * tally_queries(tally) / later;
}

double
tally_own(const Tally *tally)
{
    return tally->batches < 2 ? 0
                              : (tally->last_own - tally->first_own) / (double)(tally->batches - 1);
}

double
tally_start(const Tally *tally)
{
    double later = tally->queries - tally->first_queries;
    double before = tally->first - tally->began;

    if (tally->batches < 2)
        return 0;
    before -= (tally->last - tally->first) * tally->first_queries / later;
    return before > 0 ? before : 0;
}

/* ---- stages ---- */

static double
since_last(Phases *phases)
{
    double now = clock_now(), seconds = now - phases->last;

    phases->last = now;
    return seconds;
}

void
phases_observe(Phases *phases, MetasdStage stage)
{
    double seconds = since_last(phases);

    if (stage == METASD_FULL_GRADIENT && !phases->started) {
        phases->started = true;
        phases->start += seconds;
        phases->epochs++;
    } else
        phases->seconds[stage] += seconds;
}

void
phases_batch(Phases *phases)
{
    phases->batches++;
    since_last(phases); /* nothing happens between a batch's last stage and its report */
}

void
phases_epoch(Phases *phases)
{
    phases->validation += since_last(phases);
    phases->started = false;
}

static void
print_stage(const char *name, double gradient, double update, double all)
{
    printf("  %-10s %9.3f  %9.3f  %5.1f %%\n", name, gradient, update,
           100 * (gradient + update) / all);
}

void
phases_print(const Phases *phases)
{
    const double *s = phases->seconds;
    size_t later = phases->batches - phases->epochs;
    /* The first batch of an epoch, taken to be as fast as the others. */
    double first = later > 0 ? s[METASD_FULL_GRADIENT] / (double)later * (double)phases->epochs : 0;
    double source = s[METASD_FULL_GRADIENT] + first, all = first;

    for (int i = 0; i < STAGES; i++)
        all += s[i];
    printf("seconds by stage of %zu batches (observed: with barriers between)\n", phases->batches);
    printf("  %-10s %9s  %9s\n", "", "gradients", "updates");
    print_stage("source", source, s[METASD_FULL_DONE], all);
    print_stage("trial", s[METASD_TRIAL_GRADIENT], 0, all);
    print_stage("quiz", s[METASD_QUIZ_GRADIENT], 0, all);
    print_stage("correction", s[METASD_QUIZ_FULL_GRADIENT], s[METASD_QUIZ_DONE], all);
    print_stage("mutual", s[METASD_MUTUAL_GRADIENT], s[METASD_MUTUAL_DONE], all);
    printf("the rest: %.3f s before first batches (copies, masks, orders), %.3f s validation\n",
           phases->start > first ? phases->start - first : 0, phases->validation);
}
