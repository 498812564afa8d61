/*
 * warm.c - what a training that starts from the rows of an earlier one is worth.
 *
 *   build/bench/warm FOLDER [name=value ...] [warm:name=value,... ...]
 *
 * Trains a part of train.tsv; then all of it, from random weights and, once for each argument that
 * begins with warm:, from the rows that the first training left, as they would be stored. Prints
 * filtered validation MRR of source and pruned model, and processor seconds.
 *
 * facts=P      part of the triples that the first training has, 0.9
 * entities=P   part of the entities that it has, 1
 *
 * The other names are those of epoch.c. Those of a warm training are its options, where they differ, and
 *
 * sum=S        where Adagrad's sums begin
 * times=N      trainings one after another, each from the one before
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "memory.h"
#include "random.h"
#include "training.h"
#include "warm.h"

/* What a training left: rows, and which of them there are. */
typedef struct Rows {
    float *rows;
    uint8_t *known;
    float sums[2];
} Rows;

static void
check(MetasdStatus status)
{
    if (status == METASD_OK)
        return;
    fprintf(stderr, "%s\n", metasd_status_text(status));
    exit(1);
}

static MetasdStatus
fill(BenchTraining *training, MetasdTeam *team)
{
    MetasdStep *step = &training->trainer.step;
    const Rows *from = training->from;
    size_t all = ((size_t)step->entities + step->relation_rows) * step->width;

    memcpy(step->weights, from->rows, all * sizeof(float));
    training->trainer.progress.warm = true;
    (void)team;
    METASD_TRY(metasd_warm_fill(step, &(MetasdTeam){.size = 1, .barrier = team->barrier, .poll = team->poll, .context = team->context}, &training->graph, from->known,
                                training->options->train.seed, from->sums));
    return METASD_OK;
}

static void
round_rows(Rows *rows, const MetasdStep *step)
{
    size_t n = (size_t)step->entities + step->relation_rows;
    uint8_t *bytes = memory_take(16 * step->width + 64);
    size_t used;

    for (size_t i = 0; i < n; i++) {
        float *row = rows->rows + i * step->width;

        check(metasd_encode(METASD_INT8, step->width, row, bytes, 16 * step->width + 64, &used));
        check(metasd_decode_dense(bytes, used, step->width, row));
    }
    free(bytes);
}

/* Trains, and leaves rows. */
static Rows
train(const char *name, const BenchOptions *options, TripleSet *set, const Rows *from, Rows *kept)
{
    BenchTraining training;
    Rows rows = {0};
    MetasdStep *step = &training.trainer.step;
    size_t all, n;

    check(training_prepare(&training, options, set));
    training.quiet = getenv("QUIET") != NULL;
    training.from = from;
    training.start = from ? fill : NULL;
    check(training_run(&training));
    n = (size_t)step->entities + step->relation_rows;
    all = n * step->width;
    rows.rows = memory_take(all * sizeof(float));
    rows.known = memory_take(n);
    memset(rows.known, 0, n);
    memcpy(rows.rows, training.trainer.best, all * sizeof(float));
    round_rows(&rows, step);
    for (size_t g = 0; g < training.graph.part[METASD_TRAIN].count; g++) {
        rows.known[training.graph.part[METASD_TRAIN].heads[g]] = 1;
        rows.known[step->entities + training.graph.part[METASD_TRAIN].relations[g]] = 1;
    }
    for (int t = 0; t < 2; t++) {
        double sum[2] = {0}, count[2] = {0}, root[2] = {0}, w[2] = {0};
        size_t first = t ? step->entities * step->width : 0, end = t ? all : step->entities * step->width;

        for (size_t i = first; i < end; i++) {
            int k = rows.rows[i] != 0;

            sum[k] += step->sums[i];
            root[k] += sqrt(step->sums[i]);
            w[k] += fabs(step->weights[i]);
            count[k]++;
        }
        if (getenv("SUMS"))
        printf("  %s sums: pruned %g (root %g) |w| %g, kept %g (root %g) |w| %g; part kept %g\n", t ? "relation" : "entity",
               sum[0] / count[0], root[0] / count[0], w[0] / count[0], sum[1] / count[1], root[1] / count[1], w[1] / count[1], count[1] / (count[0] + count[1]));
    }
    printf("%-40s mrr %.4f %.4f  epoch %d  %.1f s\n", name, training_mrr(&training.best.source),
           training_mrr(&training.best.student), training.best.epoch, training.own);
    fflush(stdout);
    memory_unshare(training.shared, training.shared_bytes);
    free(training.graph_memory);
    free(training.filter_memory);
    free(training.tallies);
    (void)kept;
    return rows;
}

static TripleSet
part_of(const char *folder, double facts, double entities, uint64_t seed)
{
    TripleSet set = triples_open(folder);
    size_t n = 0;

    for (size_t i = 0; i < set.train.n; i++) {
        MetasdTriple t = set.train.triples[i];

        if ((double)metasd_random_below(seed, 77, i, 1000000) >= 1e6 * facts ||
            (double)metasd_random_below(seed, 78, t.head, 1000000) >= 1e6 * entities ||
            (double)metasd_random_below(seed, 78, t.tail, 1000000) >= 1e6 * entities)
            continue;
        set.train.triples[n++] = t;
    }
    set.train.n = n;
    return set;
}

static void
train_warm(const char *folder, int n, char **arguments, const char *argument, Rows first)
{
    char *copy = strdup(argument + 5), *each[32];
    int m = 0;
    float sums[2] = {0};
    int times = 1;
    BenchOptions options;

    for (int i = 0; i < n; i++)
        each[m++] = arguments[i];
    for (char *word = strtok(copy, ","); word; word = strtok(NULL, ",")) {
        if (strncmp(word, "sum=", 4) == 0)
            sums[0] = sums[1] = (float)atof(word + 4);
        else if (strncmp(word, "kept=", 5) == 0)
            sums[1] = (float)atof(word + 5);
        else if (strncmp(word, "times=", 6) == 0)
            times = atoi(word + 6);
        else
            each[m++] = word;
    }
    options = options_parse(m, each);
    for (int i = 0; i < times; i++) {
        TripleSet set = part_of(folder, 1, 1, 0);
        char name[64];
        Rows next;

        first.sums[0] = sums[0];
        first.sums[1] = sums[1];
        snprintf(name, sizeof(name), "%s%s%d", argument, i ? " #" : " ", i + 1);
        next = train(argument, &options, &set, &first, NULL);
        triples_free(&set);
        first = next;
    }
}

int
main(int argc, char **argv)
{
    double facts = 0.9, entities = 1;
    char *plain[32], *warm[64];
    int nplain = 0, nwarm = 0;
    BenchOptions options;
    TripleSet set;
    Rows first;

    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "warm:", 5) == 0)
            warm[nwarm++] = argv[i];
        else if (strncmp(argv[i], "facts=", 6) == 0)
            facts = atof(argv[i] + 6);
        else if (strncmp(argv[i], "entities=", 9) == 0)
            entities = atof(argv[i] + 9);
        else
            plain[nplain++] = argv[i];
    }
    options = options_parse(nplain, plain);
    set = part_of(argv[1], facts, entities, options.train.seed);
    first = train("first", &options, &set, NULL, NULL);
    triples_free(&set);
    if (!getenv("NOCOLD")) {
        set = part_of(argv[1], 1, 1, 0);
        train("cold", &options, &set, NULL, NULL);
        triples_free(&set);
    }
    for (int i = 0; i < nwarm; i++)
        train_warm(argv[1], nplain, plain, warm[i], first);
    return 0;
}
