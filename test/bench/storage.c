/*
 * storage.c - what the kinds of storage cost and lose.
 *
 *   build/bench/storage FOLDER [name=value ...]
 *
 * Trains as epoch.c does, whose names these are. Then a line for each kind: the bytes of all rows,
 * their part of the bytes of int8, the filtered validation MRR of the weights as they are stored,
 * the root of the mean squared error over that of the weights, and the seconds of rounding.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "core/base/random.h"
#include "core/codec/row_codec.h"
#include "memory.h"
#include "training.h"

static const char *const names[METASD_STORAGES] = {"float32", "int8", "int6", "int4"};

/* What a kind makes of a table. */
typedef struct Stored {
    double bytes, error, all, seconds; /* error and all: sums of squares */
} Stored;

static Stored
store_rows(MetasdStorage storage, const float *table, size_t rows, size_t width, float *rounded)
{
    size_t size = metasd_row_bound(width), used;
    uint8_t *bytes = memory_take(size);
    Stored stored = {0};
    double began;

    memcpy(rounded, table, rows * width * sizeof(float));
    began = clock_now();
    for (size_t i = 0; i < rows; i++)
        check(metasd_row_round(storage, width, rounded + i * width));
    stored.seconds = clock_now() - began;
    for (size_t i = 0; i < rows; i++) {
        check(metasd_row_encode(storage, width, rounded + i * width, bytes, size, &used));
        stored.bytes += (double)used;
    }
    for (size_t i = 0; i < rows * width; i++) {
        double less = (double)table[i] - (double)rounded[i];

        stored.error += less * less;
        stored.all += (double)table[i] * (double)table[i];
    }
    free(bytes);
    return stored;
}

static MetasdRanks
rank(MetasdTrainer *trainer, const MetasdGraph *graph, const float *table)
{
    MetasdTeam alone = metasd_team_of_one();
    MetasdRanks ranks = {0};

    trainer->validation.next = 0;
    for (;;) {
        check(metasd_batcher_next(&trainer->validation, &alone));
        if (trainer->validation.batch.n == 0)
            return ranks;
        check(metasd_validate_batch(&trainer->validator, &trainer->state, &alone, table, false,
                                    &trainer->validation.batch, graph, &ranks));
    }
}

static void
compare_kinds(BenchTraining *training)
{
    const BenchOptions *options = training->options;
    MetasdArena shared = metasd_arena_over(training->shared, training->shared_bytes);
    MetasdArena own = metasd_arena_over(memory_take(training->own_bytes), training->own_bytes);
    MetasdTeam alone = metasd_team_of_one();
    MetasdTrainer trainer;
    size_t rows, width;
    Stored kinds[METASD_STORAGES];
    float *rounded;

    metasd_trainer_take(&trainer, &shared, &own, &training->graph, &options->train,
                        options->members);
    check(metasd_batcher_prepare(&trainer.validation, &alone));
    check(metasd_batcher_shuffle(&trainer.validation, &alone, options->train.seed,
                                 METASD_STREAM_SPLIT));
    width = trainer.state.width;
    rows = (size_t)trainer.state.entities + trainer.state.relation_rows;
    rounded = memory_take(rows * width * sizeof(float));
    for (int s = 0; s < METASD_STORAGES; s++) {
        MetasdRanks ranks;

        kinds[s] = store_rows((MetasdStorage)s, trainer.best, rows, width, rounded);
        ranks = rank(&trainer, &training->graph, rounded);
        printf("%-8s %9.0f bytes  %.3f of int8  mrr %.4f  error %.4f  %.3f s\n", names[s],
               kinds[s].bytes, kinds[s].bytes / kinds[s < METASD_INT8 ? s : METASD_INT8].bytes,
               training_mrr(&ranks), sqrt(kinds[s].error / kinds[s].all), kinds[s].seconds);
    }
    free(rounded);
}

int
main(int argc, char **argv)
{
    BenchTraining training;
    BenchOptions options;
    TripleSet set;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [name=value ...]\n", argv[0]);
        return 2;
    }
    options = options_parse(argc - 2, argv + 2);
    set = triples_open(argv[1]);
    check(training_prepare(&training, &options, &set));
    triples_free(&set);
    training.quiet = true;
    check(training_run(&training));
    printf("epoch %d of %d, mrr %.4f, %.1f s\n", training.best.epoch, options.train.epochs,
           training_mrr(&training.best.student), training.own);
    compare_kinds(&training);
    return 0;
}
