#include "core/train/checkpoint.h"

#include <string.h>

#include "core/base/hash.h"

#define MAGIC UINT64_C(0x31706b636473656d) /* "mesdckp1", as a little-endian host stores it */

/* ---- the header ---- */

/* Where in the header the next number is, on its way in or out. */
typedef struct Pen {
    uint64_t *word;
    bool writes;
} Pen;

static void
pass_word(Pen *pen, uint64_t *number)
{
    if (pen->writes)
        *pen->word = *number;
    else
        *number = *pen->word;
    pen->word++;
}

static void
pass_double(Pen *pen, double *number)
{
    memcpy(pen->writes ? (void *)pen->word : number, pen->writes ? number : (void *)pen->word,
           sizeof(*number));
    pen->word++;
}

/* Numbers of other types: what does not fit them is no progress that a training can have. */
#define PASS(pen, number)                                                                          \
    do {                                                                                           \
        uint64_t word_ = (uint64_t)(number);                                                       \
        pass_word((pen), &word_);                                                                  \
        (number) = (__typeof__(number))word_;                                                      \
    } while (0)

static void
pass_ranks(Pen *pen, MetasdRanks *ranks)
{
    PASS(pen, ranks->n);
    pass_double(pen, &ranks->reciprocal);
    pass_double(pen, &ranks->rank);
    for (int i = 0; i < 3; i++)
        PASS(pen, ranks->hits[i]);
}

static void
pass_epoch(Pen *pen, MetasdEpoch *epoch)
{
    MetasdLosses *losses = &epoch->losses;
    double *loss[] = {&losses->tail,          &losses->relation,      &losses->reg,
                      &losses->source,        &losses->trial,         &losses->quiz,
                      &losses->mutual_source, &losses->mutual_student};

    PASS(pen, epoch->epoch);
    PASS(pen, epoch->pruned);
    PASS(pen, epoch->alone);
    PASS(pen, epoch->best);
    for (size_t i = 0; i < sizeof(loss) / sizeof(loss[0]); i++)
        pass_double(pen, loss[i]);
    pass_ranks(pen, &epoch->source);
    pass_ranks(pen, &epoch->student);
    pass_double(pen, &epoch->sparsity);
    pass_double(pen, &epoch->cut);
    pass_double(pen, &epoch->lr);
    PASS(pen, epoch->came);
    PASS(pen, epoch->went);
}

static void
pass_progress(Pen *pen, MetasdProgress *progress)
{
    PASS(pen, progress->epoch);
    PASS(pen, progress->repeats);
    PASS(pen, progress->masked);
    pass_double(pen, &progress->sparsity);
    pass_double(pen, &progress->cut);
    pass_ranks(pen, &progress->source);
    PASS(pen, progress->quiz_rounds);
    PASS(pen, progress->quiz_next);
    pass_epoch(pen, &progress->best);
}

/* What must be the same in who saves and who loads. */
enum {
    WORD_MAGIC,
    WORD_GRAPH,
    WORD_ENTITIES,
    WORD_RELATIONS,
    WORD_WIDTH,
    WORD_QUIZZED,
    SHAPE_WORDS
};

static void
describe(const MetasdCheckpoint *checkpoint, uint64_t shape[SHAPE_WORDS])
{
    const MetasdState *step = &checkpoint->trainer->step;

    shape[WORD_MAGIC] = MAGIC;
    shape[WORD_GRAPH] = checkpoint->graph;
    shape[WORD_ENTITIES] = step->entities;
    shape[WORD_RELATIONS] = step->relation_rows;
    shape[WORD_WIDTH] = step->width;
    shape[WORD_QUIZZED] = step->quizzed;
}

/* Behind the progress, at the end: the hash of the tables, and that of all words before. */
#define WORD_TABLES (METASD_CHECKPOINT_WORDS - 2)
#define WORD_HEADER (METASD_CHECKPOINT_WORDS - 1)

static uint64_t
hash_header(const MetasdCheckpoint *checkpoint)
{
    return metasd_hash(0, checkpoint->header, WORD_HEADER * sizeof(uint64_t));
}

static bool
is_possible(const MetasdProgress *progress, const MetasdTrainOptions *options)
{
    return progress->epoch > 0 && progress->epoch <= options->epochs && progress->repeats >= 0 &&
           progress->repeats <= METASD_REPEATS && progress->best.epoch >= 0 &&
           progress->best.epoch <= progress->epoch;
}

/* ---- the tables ---- */

static void
add_area(MetasdCheckpoint *checkpoint, void *memory, size_t bytes)
{
    checkpoint->area[checkpoint->areas].memory = memory;
    checkpoint->area[checkpoint->areas++].bytes = bytes;
    checkpoint->bytes += bytes;
}

static void
add_tables(MetasdCheckpoint *checkpoint, bool best)
{
    const MetasdTrainer *trainer = checkpoint->trainer;
    const MetasdState *step = &trainer->step;
    size_t weights = ((size_t)step->entities + step->relation_rows) * step->width;

    add_area(checkpoint, step->weights, weights * sizeof(float));
    add_area(checkpoint, step->sums, weights * sizeof(float));
    if (step->quizzed)
        add_area(checkpoint, step->quiz_sums, weights * sizeof(float));
    add_area(checkpoint, step->mask, weights);
    if (best)
        add_area(checkpoint, trainer->best, weights * sizeof(float));
}

/* Are the best weights neither missing nor those of the student? */
static bool
has_best(const MetasdProgress *progress)
{
    return progress->best.epoch > 0 && progress->best.epoch < progress->epoch;
}

static MetasdStatus
hash_tables(const MetasdCheckpoint *checkpoint, MetasdTeam *team, uint64_t *hash)
{
    *hash = 0;
    for (int i = 1; i < checkpoint->areas; i++)
        METASD_TRY(
            metasd_hash_array(team, checkpoint->area[i].memory, checkpoint->area[i].bytes, hash));
    return METASD_OK;
}

static void
start(MetasdCheckpoint *checkpoint, MetasdTrainer *trainer, const MetasdTrainOptions *options,
      uint64_t graph)
{
    memset(checkpoint, 0, sizeof(*checkpoint));
    checkpoint->trainer = trainer;
    checkpoint->options = options;
    checkpoint->graph = graph;
    add_area(checkpoint, checkpoint->header, sizeof(checkpoint->header));
}

size_t
metasd_checkpoint_most(const MetasdTrainer *trainer, const MetasdTrainOptions *options)
{
    MetasdTrainer measured = *trainer;
    MetasdCheckpoint checkpoint;

    start(&checkpoint, &measured, options, 0);
    add_tables(&checkpoint, true);
    return checkpoint.bytes;
}

/* ---- saving ---- */

MetasdStatus
metasd_checkpoint_save(MetasdCheckpoint *checkpoint, MetasdTeam *team, MetasdTrainer *trainer,
                       const MetasdTrainOptions *options, uint64_t graph)
{
    Pen pen = {.word = checkpoint->header + SHAPE_WORDS, .writes = true};

    start(checkpoint, trainer, options, graph);
    checkpoint->progress = trainer->progress;
    add_tables(checkpoint, has_best(&checkpoint->progress));
    describe(checkpoint, checkpoint->header);
    pass_progress(&pen, &checkpoint->progress);
    METASD_TRY(hash_tables(checkpoint, team, &checkpoint->header[WORD_TABLES]));
    checkpoint->header[WORD_HEADER] = hash_header(checkpoint);
    return METASD_OK;
}

/* Up to n bytes of the area under way: *here = where they are. */
static size_t
next_bytes(MetasdCheckpoint *checkpoint, size_t n, char **here)
{
    size_t left;

    while (checkpoint->at < checkpoint->areas &&
           checkpoint->done == checkpoint->area[checkpoint->at].bytes) {
        checkpoint->at++;
        checkpoint->done = 0;
    }
    if (checkpoint->at == checkpoint->areas)
        return 0;
    left = checkpoint->area[checkpoint->at].bytes - checkpoint->done;
    n = n < left ? n : left;
    *here = (char *)checkpoint->area[checkpoint->at].memory + checkpoint->done;
    checkpoint->done += n;
    return n;
}

size_t
metasd_checkpoint_next(MetasdCheckpoint *checkpoint, void *to, size_t room)
{
    size_t copied = 0, n;
    char *here;

    while (copied < room && (n = next_bytes(checkpoint, room - copied, &here)) > 0) {
        memcpy((char *)to + copied, here, n);
        copied += n;
    }
    return copied;
}

/* ---- loading ---- */

void
metasd_checkpoint_load(MetasdCheckpoint *checkpoint, MetasdTrainer *trainer,
                       const MetasdTrainOptions *options, uint64_t graph)
{
    start(checkpoint, trainer, options, graph);
}

/* The header is complete: checks it, and makes room for what follows. */
static MetasdStatus
open_header(MetasdCheckpoint *checkpoint)
{
    Pen pen = {.word = checkpoint->header + SHAPE_WORDS, .writes = false};
    uint64_t shape[SHAPE_WORDS];

    if (checkpoint->header[WORD_MAGIC] != MAGIC ||
        checkpoint->header[WORD_HEADER] != hash_header(checkpoint))
        return METASD_CORRUPT;
    describe(checkpoint, shape);
    if (memcmp(shape, checkpoint->header, sizeof(shape)) != 0)
        return METASD_INVALID;
    pass_progress(&pen, &checkpoint->progress);
    if (!is_possible(&checkpoint->progress, checkpoint->options))
        return METASD_INVALID;
    add_tables(checkpoint, has_best(&checkpoint->progress));
    return METASD_OK;
}

MetasdStatus
metasd_checkpoint_feed(MetasdCheckpoint *checkpoint, const void *from, size_t n)
{
    while (n > 0) {
        char *here;
        size_t taken = next_bytes(checkpoint, n, &here);

        if (taken == 0)
            return METASD_CORRUPT;
        memcpy(here, from, taken);
        from = (const char *)from + taken;
        n -= taken;
        if (checkpoint->areas == 1 && checkpoint->done == sizeof(checkpoint->header))
            METASD_TRY(open_header(checkpoint));
    }
    return METASD_OK;
}

MetasdStatus
metasd_checkpoint_end(MetasdCheckpoint *checkpoint, MetasdTeam *team)
{
    uint64_t hash;
    char *here;

    if (checkpoint->areas == 1 || next_bytes(checkpoint, 1, &here) > 0)
        return METASD_CORRUPT;
    METASD_TRY(hash_tables(checkpoint, team, &hash));
    if (hash != checkpoint->header[WORD_TABLES])
        return METASD_CORRUPT;
    checkpoint->trainer->progress = checkpoint->progress;
    return METASD_OK;
}
