/*
 * epoch.c - trains triples by the core alone and measures its epochs.
 *
 *   build/bench/epoch FOLDER [name=value ...]
 *
 * FOLDER holds train.tsv, valid.tsv and perhaps test.tsv, all of which are filtered out of the
 * ranking; or it is synthetic:ENTITIES:TRIPLES:RELATIONS[:SEED], a made-up graph. Prints an epoch a
 * line: seconds, losses, filtered validation MRR of full and pruned model; then how the seconds
 * of its batches compare with what the library's products alone would take.
 *
 * members=N      processes that train together, 1
 * phases=1       seconds by stage of the step; costs barriers
 * seconds=S      stop after S seconds of batches within an epoch, and extrapolate by batches
 * memory=GB      refuse what needs more, or more than is free; exit status 3
 * negatives=N  score a batch against its targets and N more entities
 * lean_from=N  entities from which on such a training keeps little of each, 100000; 0: never
 *
 * and rank sparsity epochs warmup warmup_lr ramp finetune finetune_lr finetune_relation_weight
 * salience alignment by_component batch quiz_batch patience seed validation lr student_lr quiz_lr
 * reg relation_weight tau kl_forward kl_reverse n3 class_weights quiz mutual quiz_fraction
 * validation_fraction. The last one above 0 draws validation from train.tsv instead.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "memory.h"
#include "training.h"
#include "yardstick.h"

/* ---- what was measured ---- */

static void
print_yardstick(const char *when, const Yardstick *y, int members)
{
    printf("sgemm %s: %.1f GFLOP/s by %d (scores %.1f, table gradient %.1f, query gradient %.1f; "
           "%zu queries x %zu entities x %zu)\n",
           when, y->rate / 1e9, members, y->forms[0] / 1e9, y->forms[1] / 1e9, y->forms[2] / 1e9,
           y->queries, y->entities, y->width);
}

/* Flop of one product G over an epoch. */
static double
product_flop(const BenchTraining *training, const Tally *tally)
{
    return 2 * tally_queries(tally) * training->graph.entities *
           (double)training->trainer.state.width;
}

static int
compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Seconds of the epochs of so many units, ascending; the number of them. */
static int
sort_seconds(const BenchTraining *training, int units, double *seconds, const Tally **one)
{
    int n = 0;

    for (int i = 0; i < training->epochs; i++)
        if (training->tallies[i].units == units && training->tallies[i].batches > 0) {
            *one = &training->tallies[i];
            seconds[n++] = tally_seconds(*one);
        }
    qsort(seconds, (size_t)n, sizeof(*seconds), compare_numbers);
    return n;
}

/* A line of the epochs of so many units; a last one for scripts. */
static void
print_epochs(const BenchTraining *training, int units, double rate)
{
    double *seconds = memory_take((size_t)training->epochs * sizeof(*seconds)), product, ideal;
    const Tally *tally = NULL;
    int n = sort_seconds(training, units, seconds, &tally);

    if (n == 0) {
        free(seconds);
        return;
    }
    product = product_flop(training, tally);
    ideal = units * product / rate;
    printf("epochs of %d G: %.4g TFLOP each (G = %.4g: %zu batches, %.0f queries); ideal %.4g s; "
           "median %.4g s, best %.4g s of %d; median / ideal %.2f\n",
           units, units * product / 1e12, product / 1e12, tally->total, tally_queries(tally), ideal,
           seconds[n / 2], seconds[0], n, seconds[n / 2] / ideal);
    if (tally->batches < tally->total)
        printf("extrapolated from %zu of %zu batches\n", tally->batches, tally->total);
    printf("result units=%d seconds=%.4g ideal=%.4g batches=%zu of=%zu shared_mb=%.1f own_mb=%.1f "
           "graph_mb=%.1f peak_mb=%.1f others=%.2f own_batch=%.4f\n",
           units, seconds[n / 2], ideal, tally->batches, tally->total,
           (double)training->shared_bytes / 1e6, (double)training->own_bytes / 1e6,
           (double)training->graph_bytes / 1e6, (double)memory_peak() / 1e6,
           training->others / (training->ended - training->started), tally_own(tally));
    free(seconds);
}

static void
print_training(const BenchTraining *training, double rate)
{
    for (int units = 3; units <= 9; units += 3)
        print_epochs(training, units, rate);
    if (training->options->phases)
        phases_print(&training->phases);
    printf("%.3f s in all; member 0 waited %.3f s in barriers; processors: %.2f s for the members, "
           "%.2f s for other work\n",
           training->ended - training->started, training->waited, training->own, training->others);
    if (training->best.epoch > 0)
        printf("best: epoch %d, mrr %.4f %.4f; %.1f s\n", training->best.epoch,
               training_mrr(&training->best.full), training_mrr(&training->best.student),
               training->ended - training->started);
}

/* ---- the program ---- */

/* Ends the program where the training needs more memory than it may have. */
static void
check_memory(const BenchOptions *options, const TripleSet *set)
{
    double needed = (double)training_bytes(options, set) / 1e9;
    double free_now = (double)memory_free() / 1e9;

    if (needed <= options->memory && needed < free_now - 1)
        return;
    printf("skipped: %.1f GB needed, %.1f GB allowed, %.1f GB free\n", needed, options->memory,
           free_now);
    exit(3);
}

/* Queries that a batch has on average: before it is known, as if groups filled batches evenly. */
static size_t
batch_queries(const BenchTraining *training)
{
    const MetasdGroups *train = &training->graph.part[METASD_TRAIN];
    const MetasdTrainOptions *options = &training->options->train;
    double each = (double)train->count / (double)train->examples;
    double queries = each * (double)metasd_batch_most(train, options->batch);

    return queries < 1 ? 1 : (size_t)queries;
}

static Yardstick
measure(const BenchTraining *training, const char *when)
{
    int members = training->options->members;
    Yardstick yardstick = yardstick_measure(
        members, batch_queries(training), training->graph.entities,
        training->options->train.rank * training->options->train.family->reals_per_rank);

    print_yardstick(when, &yardstick, members);
    fflush(stdout);
    return yardstick;
}

int
main(int argc, char **argv)
{
    BenchTraining training;
    BenchOptions options;
    Yardstick before, after;
    TripleSet set;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [name=value ...]\n", argv[0]);
        return 2;
    }
    options = options_parse(argc - 2, argv + 2);
    set = triples_open(argv[1]);
    check_memory(&options, &set);
    check(training_prepare(&training, &options, &set));
    triples_free(&set);
    printf("%u entities, %u relations, %zu triples, %zu groups; %.1f MB shared, %.1f MB a member, "
           "%.1f MB graph\n",
           training.graph.entities, training.graph.relations, training.graph.triples,
           training.graph.part[METASD_TRAIN].count, (double)training.shared_bytes / 1e6,
           (double)training.own_bytes / 1e6, (double)training.graph_bytes / 1e6);
    before = measure(&training, "before");
    check(training_run(&training));
    after = measure(&training, "after");
    print_training(&training, before.rate > after.rate ? before.rate : after.rate);
    return 0;
}
