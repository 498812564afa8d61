/*
 * checkpoint.h - the progress and the tables of a training as a stream of bytes, for going on
 * later.
 *
 * One member of the team saves, for instance in the callback that ends an epoch:
 *
 *     metasd_checkpoint_save(&checkpoint, team, trainer, options, graph_hash)
 *     while ((n = metasd_checkpoint_next(&checkpoint, buffer, sizeof(buffer))) > 0)
 *         keep n bytes
 *
 * A later training loads them into a trainer that was just taken for the same graph and options:
 *
 *     metasd_checkpoint_load(&checkpoint, trainer, options, graph_hash)
 *     for all bytes: metasd_checkpoint_feed(&checkpoint, bytes, n)
 *     metasd_checkpoint_end(&checkpoint, team)
 *
 * The other members then get trainer->progress, and metasd_train ends with the same bits as if it
 * had never stopped. The stream is a header of 64-bit words, then tables (N + P) x width: weights,
 * Adagrad's sums, those of the quiz where there is one, the mask, and the best weights unless
 * there are none or they follow from the rest. A lean state has its mask in bits and its best
 * weights in 16 bits (best_weights.h). Only hosts of the same byte order and number formats can
 * read it.
 */
#ifndef METASD_CORE_TRAIN_CHECKPOINT_H
#define METASD_CORE_TRAIN_CHECKPOINT_H

#include "core/train/train.h"

#define METASD_CHECKPOINT_WORDS 64
#define METASD_CHECKPOINT_AREAS 7

typedef struct MetasdCheckpoint {
    uint64_t header[METASD_CHECKPOINT_WORDS];
    MetasdProgress progress; /* as in the header */
    struct {
        void *memory;
        size_t bytes;
    } area[METASD_CHECKPOINT_AREAS]; /* the header, then tables */
    int areas;
    size_t bytes; /* of all of them */

    int at;      /* area under way */
    size_t done; /* bytes of it */
    MetasdTrainer *trainer;
    const MetasdTrainOptions *options;
    uint64_t graph; /* hash of the training's graph */
} MetasdCheckpoint;

/* Bytes of the largest checkpoint of a trainer, which may be one that was only measured. */
extern size_t metasd_checkpoint_most(const MetasdTrainer *trainer,
                                     const MetasdTrainOptions *options);

/* Begins to save: between two epochs, and the tables must not change until all is copied. */
extern MetasdStatus metasd_checkpoint_save(MetasdCheckpoint *checkpoint, MetasdTeam *team,
                                           MetasdTrainer *trainer,
                                           const MetasdTrainOptions *options, uint64_t graph);

/* Copies up to `room` bytes, the next of the stream, and returns how many; 0 at its end. */
extern size_t metasd_checkpoint_next(MetasdCheckpoint *checkpoint, void *to, size_t room);

/* Begins to load. */
extern void metasd_checkpoint_load(MetasdCheckpoint *checkpoint, MetasdTrainer *trainer,
                                   const MetasdTrainOptions *options, uint64_t graph);

/*
 * Takes the next n bytes of the stream. METASD_INVALID for a checkpoint of another graph, or of
 * other options, METASD_CORRUPT for bytes that are no checkpoint, or too many.
 */
extern MetasdStatus metasd_checkpoint_feed(MetasdCheckpoint *checkpoint, const void *from,
                                           size_t n);

/* Sets trainer->progress; METASD_CORRUPT unless all bytes have come and are as they were. */
extern MetasdStatus metasd_checkpoint_end(MetasdCheckpoint *checkpoint, MetasdTeam *team);

#endif
