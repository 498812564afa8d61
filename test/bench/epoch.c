/*
 * epoch.c - trains a folder of triples (train.tsv, valid.tsv) by the core alone.
 *
 *   build/bench/epoch FOLDER [name=value ...]
 *
 * Prints an epoch a line: seconds, losses, filtered validation MRR of source and pruned model.
 * Names: rank sparsity epochs warmup ramp batch quiz_batch patience seed validation lr student_lr
 * meta_lr reg relation_weight tau kl_forward kl_reverse n3 class_weights quiz mutual quiz_fraction
 * validation_fraction. The last one above 0 draws validation from train.tsv instead.
 * The triples of all files, test.tsv too where there is one, are filtered out of the ranking.
 */
#define _GNU_SOURCE /* hsearch_r */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <search.h>
#include <time.h>

#include "train.h"

typedef struct Reading {
    MetasdTriple *triples;
    size_t n, room;
} Reading;

static uint32_t names[2]; /* entities and relations seen so far */
static struct hsearch_data tables[2];

static uint32_t
id_of(int table, const char *label)
{
    ENTRY want = {.key = (char *)label}, *found;

    if (hsearch_r(want, FIND, &found, &tables[table]))
        return (uint32_t)(uintptr_t)found->data;
    want.key = strdup(label);
    want.data = (void *)(uintptr_t)names[table];
    if (!hsearch_r(want, ENTER, &found, &tables[table])) {
        fprintf(stderr, "too many labels\n");
        exit(1);
    }
    return names[table]++;
}

/* Adds the triples of a file to those read so far; the file may be missing if it is optional. */
static void
read_file(Reading *reading, const char *folder, const char *name, bool optional)
{
    char path[4096], *line = NULL;
    size_t room = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    if (!file && optional)
        return;
    if (!file) {
        fprintf(stderr, "there is no %s\n", path);
        exit(1);
    }
    while (getline(&line, &room, file) > 0) {
        char *head = strtok(line, "\t\n"), *relation = strtok(NULL, "\t\n");
        char *tail = strtok(NULL, "\t\n");

        if (!tail)
            continue;
        if (reading->n == reading->room) {
            reading->room = reading->room ? 2 * reading->room : 1024;
            reading->triples = realloc(reading->triples, reading->room * sizeof(*reading->triples));
        }
        reading->triples[reading->n++] =
            (MetasdTriple){id_of(0, head), id_of(1, relation), id_of(0, tail)};
    }
    free(line);
    fclose(file);
}

static MetasdStatus
build_graph(MetasdGraph *graph, MetasdTeam *team, const Reading *source, const Reading *validation,
            const MetasdSplit *split)
{
    size_t bytes = metasd_graph_bytes(source->n, validation->n, names[0], names[1]);
    MetasdArena arena = metasd_arena_over(malloc(bytes), bytes);

    return metasd_graph_build(graph, team, &arena, source->triples, source->n, validation->triples,
                              validation->n, names[0], names[1], split);
}

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double started;

static double
mrr(const MetasdRanks *ranks)
{
    return ranks->n ? ranks->reciprocal / (double)ranks->n : 0;
}

static MetasdStatus
print_epoch(void *context, const MetasdEpoch *e)
{
    (void)context;
    printf("epoch %3d %6.1f s  source %.4f trial %.4f quiz %.4f mutual %.4f %.4f  mrr %.4f %.4f  "
           "h1 %.3f h10 %.3f sparsity %.3f came %zu went %zu%s\n",
           e->epoch, now() - started, e->losses.source, e->losses.trial, e->losses.quiz,
           e->losses.mutual_source, e->losses.mutual_student, mrr(&e->source), mrr(&e->student),
           (double)e->student.hits[0] / (double)e->student.n,
           (double)e->student.hits[2] / (double)e->student.n, e->sparsity, e->came, e->went,
           e->best ? " *" : "");
    fflush(stdout);
    return METASD_OK;
}

static MetasdStatus
print_repeat(void *context, int epoch, size_t batch, double lr, bool again)
{
    (void)context;
    printf("epoch %d batch %zu: loss not finite, lr %g, %s\n", epoch, batch, lr,
           again ? "again" : "given up");
    return METASD_OK;
}

int
main(int argc, char **argv)
{
    MetasdTrainOptions o = {.seed = 1,
                            .family = &metasd_complex,
                            .rank = 200,
                            .sparsity = 0.9,
                            .epochs = 20,
                            .batch = 4500,
                            .quiz_batch = 1000,
                            .validation_most = 10000,
                            .step = {.lr = 0.1f,
                                     .student_lr = 0.1f,
                                     .meta_lr = 1e-4f,
                                     .reg = 0.05f,
                                     .relation_weight = 4,
                                     .tau = 3,
                                     .kl_forward = 3,
                                     .kl_reverse = 1,
                                     .quiz = true,
                                     .mutual = true}};
    MetasdSplit split = {.quiz_fraction = 0.02};
    MetasdTrainEvents events = {.epoch = print_epoch, .repeat = print_repeat};
    MetasdTeam team = metasd_team_of_one();
    Reading source = {0}, validation = {0}, all = {0}, nothing = {0};
    MetasdGraph graph, filter;
    MetasdTrainer trainer;
    MetasdArena arena, own;
    MetasdEpoch best;
    MetasdStatus status;
    size_t bytes, own_bytes;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [name=value ...]\n", argv[0]);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        double x = value ? atof(value + 1) : 0;

#define OPTION(name, place)                                                                        \
    if (value && strlen(name) == (size_t)(value - argv[i]) &&                                      \
        strncmp(argv[i], name, strlen(name)) == 0) {                                               \
        place = (__typeof__(place))x;                                                              \
        continue;                                                                                  \
    }
        OPTION("rank", o.rank)
        OPTION("sparsity", o.sparsity)
        OPTION("epochs", o.epochs)
        OPTION("warmup", o.warmup)
        OPTION("ramp", o.ramp)
        OPTION("batch", o.batch)
        OPTION("quiz_batch", o.quiz_batch)
        OPTION("patience", o.patience)
        OPTION("seed", o.seed)
        OPTION("validation", o.validation_most)
        OPTION("lr", o.step.lr)
        OPTION("student_lr", o.step.student_lr)
        OPTION("meta_lr", o.step.meta_lr)
        OPTION("reg", o.step.reg)
        OPTION("relation_weight", o.step.relation_weight)
        OPTION("tau", o.step.tau)
        OPTION("kl_forward", o.step.kl_forward)
        OPTION("kl_reverse", o.step.kl_reverse)
        OPTION("n3", o.step.regularizer)
        OPTION("class_weights", o.class_weights)
        OPTION("quiz", o.step.quiz)
        OPTION("mutual", o.step.mutual)
        OPTION("quiz_fraction", split.quiz_fraction)
        OPTION("validation_fraction", split.validation_fraction)
        fprintf(stderr, "unknown option %s\n", argv[i]);
        return 2;
    }
    split.seed = o.seed;
    hcreate_r(4000000, &tables[0]);
    hcreate_r(100000, &tables[1]);
    read_file(&source, argv[1], "train.tsv", false);
    if (split.validation_fraction <= 0)
        read_file(&validation, argv[1], "valid.tsv", false);
    read_file(&all, argv[1], "train.tsv", false);
    read_file(&all, argv[1], "valid.tsv", true);
    read_file(&all, argv[1], "test.tsv", true);

    status = build_graph(&graph, &team, &source, &validation, &split);
    if (status == METASD_OK)
        status = build_graph(&filter, &team, &all, &nothing, &split);
    graph.known = filter.known;
    if (status == METASD_OK) {
        arena = own = metasd_arena_measure();
        metasd_trainer_take(&trainer, &arena, &own, &graph, &o, 1);
        bytes = arena.used;
        own_bytes = own.used;
        printf("%u entities, %u relations, %zu triples, %zu groups; %.0f MB\n", names[0], names[1],
               graph.triples, graph.part[METASD_TRAIN].count, (double)bytes / 1e6);
        arena = metasd_arena_over(malloc(bytes), bytes);
        own = metasd_arena_over(malloc(own_bytes), own_bytes);
        metasd_trainer_take(&trainer, &arena, &own, &graph, &o, 1);
        started = now();
        status = metasd_train(&trainer, &team, &graph, &o, &events, &best);
    }
    if (status != METASD_OK) {
        fprintf(stderr, "%s\n", metasd_status_text(status));
        return 1;
    }
    printf("best: epoch %d, mrr %.4f %.4f; %.1f s\n", best.epoch, mrr(&best.source),
           mrr(&best.student), now() - started);
    return 0;
}
