/*
 * warm.c - what a training is worth that starts from the rows of an earlier one.
 *
 *   build/bench/warm FOLDER [name=value ...] [warm:name=value,... ...]
 *
 * Trains a part of train.tsv; then all of it, anew and, for each argument that begins with warm:,
 * from the rows that the first training left, as int8 stores them. A line a training: filtered
 * validation MRR of full and pruned model, the best epoch, processor seconds.
 *
 * facts=P      part of the triples that the first training has, 0.9
 * entities=P   part of the entities that it has, 1
 * anew=0       leaves out the training of all that starts anew
 *
 * The other names are those of epoch.c. What follows warm: changes them for trainings of that kind;
 * times=N trains N times, each from the one before. MRRs of `first` are lower than its worth: facts
 * of train.tsv that it has not are not filtered out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "core/train/warm_start.h"
#include "memory.h"
#include "training.h"

#define MOST_ARGUMENTS 64

/* Streams of random numbers that no training uses. */
enum { STREAM_FACTS = 1001, STREAM_ENTITIES };

/* What a training has left. */
typedef struct Rows {
    float *weights;
    uint8_t *known; /* a byte a row */
} Rows;

/* The command line. */
typedef struct Request {
    const char *folder;
    double facts, entities;
    bool anew;
    char *plain[MOST_ARGUMENTS], *warm[MOST_ARGUMENTS];
    int plains, warms;
} Request;

/* ---- rows ---- */

static size_t
row_count(const MetasdState *step)
{
    return (size_t)step->entities + step->relation_rows;
}

/* As member 0, for all. */
static MetasdStatus
fill(BenchTraining *training, MetasdTeam *team)
{
    MetasdState *step = &training->trainer.state;
    const Rows *from = training->from;

    memcpy(step->weights, from->weights, row_count(step) * step->width * sizeof(float));
    return metasd_warm_start(step, team, &training->graph, from->known,
                             training->options->train.seed);
}

/* As they are read back once stored. */
static void
round_rows(float *weights, size_t rows, size_t width)
{
    for (size_t i = 0; i < rows; i++)
        check(metasd_row_round(METASD_INT8, width, weights + i * width));
}

static Rows
rows_of(const BenchTraining *training)
{
    const MetasdState *step = &training->trainer.state;
    const MetasdGroups *train = &training->graph.part[METASD_TRAIN];
    size_t rows = row_count(step);
    Rows left = {memory_take(rows * step->width * sizeof(float)), memory_take(rows)};

    memcpy(left.weights, training->trainer.best, rows * step->width * sizeof(float));
    round_rows(left.weights, rows, step->width);
    memset(left.known, 0, rows);
    for (size_t g = 0; g < train->count; g++)
        left.known[train->heads[g]] = left.known[step->entities + train->relations[g]] = 1;
    return left;
}

static void
free_rows(Rows *rows)
{
    free(rows->weights);
    free(rows->known);
}

/* ---- trainings ---- */

/* Of the training triples those that the first training has. */
static void
take_part(TripleSet *set, const Request *request, uint64_t seed)
{
    size_t n = 0;

    for (size_t i = 0; i < set->train.n; i++) {
        MetasdTriple t = set->train.triples[i];
        double chance[3] = {
            (double)metasd_random_below(seed, STREAM_FACTS, i, 1000000) / 1e6,
            (double)metasd_random_below(seed, STREAM_ENTITIES, t.head, 1000000) / 1e6,
            (double)metasd_random_below(seed, STREAM_ENTITIES, t.tail, 1000000) / 1e6};

        if (chance[0] < request->facts && chance[1] < request->entities &&
            chance[2] < request->entities)
            set->train.triples[n++] = t;
    }
    set->train.n = n;
}

/* Trains, all or a part, from other rows or from none; what it leaves. */
static Rows
train(const char *name, const Request *request, const BenchOptions *options, bool part,
      const Rows *from)
{
    TripleSet set = triples_open(request->folder);
    BenchTraining training;
    Rows left;

    if (part)
        take_part(&set, request, options->train.seed);
    check(training_prepare(&training, options, &set));
    triples_free(&set);
    training.quiet = true;
    training.from = from;
    training.fill = from ? fill : NULL;
    check(training_run(&training));
    printf("%-60s mrr %.4f %.4f  epoch %d  %.1f s\n", name, training_mrr(&training.best.full),
           training_mrr(&training.best.student), training.best.epoch, training.own);
    fflush(stdout);
    left = rows_of(&training);
    memory_unshare(training.shared, training.shared_bytes);
    free(training.graph_memory);
    free(training.filter_memory);
    free(training.tallies);
    return left;
}

/* One after another, as one argument says. */
static void
train_warm(const Request *request, const char *argument, const Rows *first)
{
    char *words = strdup(strchr(argument, ':') + 1), *each[2 * MOST_ARGUMENTS];
    int n = request->plains, times = 1;
    BenchOptions options;
    Rows from = *first;

    memcpy(each, request->plain, sizeof(request->plain));
    for (char *word = strtok(words, ","); word && n < 2 * MOST_ARGUMENTS; word = strtok(NULL, ","))
        if (sscanf(word, "times=%d", &times) != 1)
            each[n++] = word;
    options = options_parse(n, each);
    for (int i = 0; i < times; i++) {
        Rows left = train(argument, request, &options, false, &from);

        if (i > 0)
            free_rows(&from);
        from = left;
    }
    if (times > 0)
        free_rows(&from);
    free(words);
}

static Request
read_request(int argc, char **argv)
{
    Request request = {.folder = argv[1], .facts = 0.9, .entities = 1, .anew = true};

    for (int i = 2; i < argc && i < MOST_ARGUMENTS; i++) {
        if (strncmp(argv[i], "warm:", 5) == 0)
            request.warm[request.warms++] = argv[i];
        else if (strncmp(argv[i], "facts=", 6) == 0)
            request.facts = atof(argv[i] + 6);
        else if (strncmp(argv[i], "entities=", 9) == 0)
            request.entities = atof(argv[i] + 9);
        else if (strncmp(argv[i], "anew=", 5) == 0)
            request.anew = atoi(argv[i] + 5) != 0;
        else
            request.plain[request.plains++] = argv[i];
    }
    return request;
}

int
main(int argc, char **argv)
{
    BenchOptions options;
    Request request;
    Rows first, anew;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [name=value ...] [warm:name=value,... ...]\n", argv[0]);
        return 2;
    }
    request = read_request(argc, argv);
    options = options_parse(request.plains, request.plain);
    first = train("first", &request, &options, true, NULL);
    if (request.anew) {
        anew = train("anew", &request, &options, false, NULL);
        free_rows(&anew);
    }
    for (int i = 0; i < request.warms; i++)
        train_warm(&request, request.warm[i], &first);
    free_rows(&first);
    return 0;
}
