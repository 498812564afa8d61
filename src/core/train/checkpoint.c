#include "core/train/checkpoint.h"

#include <string.h>

#include "core/base/hash.h"

#define MAGIC UINT64_C(0x31706b636473656d) /* "mesdckp1", as a little-endian host stores it */

/* ---- the header ---- */

/* The place of the next number in the header, which is written or read. */
typedef struct HeaderCursor {
    uint64_t *word;
    bool writes;
} HeaderCursor;

static void
pass_word(HeaderCursor *cursor, uint64_t *number)
{
    if (cursor->writes)
        *cursor->word = *number;
    else
        *number = *cursor->word;
    cursor->word++;
}

static void
pass_double(HeaderCursor *cursor, double *number)
{
    memcpy(cursor->writes ? (void *)cursor->word : number,
           cursor->writes ? number : (void *)cursor->word, sizeof(*number));
    cursor->word++;
}

/* Numbers of other types. A number that does not fit its type is no possible progress. */
#define PASS(cursor, number)                                                                       \
    do {                                                                                           \
        uint64_t word_ = (uint64_t)(number);                                                       \
        pass_word((cursor), &word_);                                                               \
        (number) = (__typeof__(number))word_;                                                      \
    } while (0)

static void
pass_ranks(HeaderCursor *cursor, MetasdRanks *ranks)
{
    PASS(cursor, ranks->n);
    pass_double(cursor, &ranks->reciprocal);
    pass_double(cursor, &ranks->rank);
    for (int i = 0; i < 3; i++)
        PASS(cursor, ranks->hits[i]);
}

static void
pass_epoch(HeaderCursor *cursor, MetasdEpoch *epoch)
{
    MetasdLosses *losses = &epoch->losses;
    double *loss[] = {&losses->tail,        &losses->relation,       &losses->reg,
                      &losses->full,        &losses->trial,          &losses->quiz,
                      &losses->mutual_full, &losses->mutual_student, &losses->finetune};

    PASS(cursor, epoch->epoch);
    PASS(cursor, epoch->pruned);
    PASS(cursor, epoch->finetunes);
    PASS(cursor, epoch->best);
    for (size_t i = 0; i < sizeof(loss) / sizeof(loss[0]); i++)
        pass_double(cursor, loss[i]);
    pass_ranks(cursor, &epoch->full);
    pass_ranks(cursor, &epoch->student);
    pass_double(cursor, &epoch->sparsity);
    pass_double(cursor, &epoch->threshold);
    pass_double(cursor, &epoch->lr);
    PASS(cursor, epoch->regrown);
    PASS(cursor, epoch->dropped);
}

static void
pass_progress(HeaderCursor *cursor, MetasdProgress *progress)
{
    PASS(cursor, progress->epoch);
    PASS(cursor, progress->repeats);
    PASS(cursor, progress->masked);
    pass_double(cursor, &progress->sparsity);
    pass_double(cursor, &progress->threshold);
    pass_ranks(cursor, &progress->full);
    PASS(cursor, progress->quiz_rounds);
    PASS(cursor, progress->quiz_next);
    pass_epoch(cursor, &progress->best);
    pass_double(cursor, &progress->top);
    PASS(cursor, progress->top_epoch);
}

/* Words that must be the same in the training that saves and the one that loads. */
enum {
    WORD_MAGIC,
    WORD_GRAPH,
    WORD_ENTITIES,
    WORD_RELATIONS,
    WORD_WIDTH,
    WORD_TABLES_KIND,
    SHAPE_WORDS
};

static void
describe_shape(const MetasdCheckpoint *checkpoint, uint64_t shape[SHAPE_WORDS])
{
    const MetasdState *state = &checkpoint->trainer->state;

    shape[WORD_MAGIC] = MAGIC;
    shape[WORD_GRAPH] = checkpoint->graph;
    shape[WORD_ENTITIES] = state->entities;
    shape[WORD_RELATIONS] = state->relation_rows;
    shape[WORD_WIDTH] = state->width;
    shape[WORD_TABLES_KIND] = state->size.has_quiz | (uint64_t)state->size.lean << 1;
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
           progress->best.epoch <= progress->epoch && progress->top_epoch >= 0 &&
           progress->top_epoch <= progress->epoch;
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
    const MetasdState *state = &trainer->state;
    size_t rows = (size_t)state->entities + state->relation_rows, weights = rows * state->width;
    bool lean = state->size.lean;

    add_area(checkpoint, state->weights, weights * sizeof(float));
    add_area(checkpoint, state->sums, weights * sizeof(float));
    if (state->size.has_quiz)
        add_area(checkpoint, state->quiz_sums, weights * sizeof(float));
    if (lean)
        add_area(checkpoint, state->bits, rows * metasd_packed_mask_bytes(state->width));
    else
        add_area(checkpoint, state->mask, weights);
    if (!best)
        return;
    if (lean) {
        add_area(checkpoint, trainer->lean_best.values,
                 weights * sizeof(*trainer->lean_best.values));
        add_area(checkpoint, trainer->lean_best.steps, rows * sizeof(*trainer->lean_best.steps));
    } else
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
start_stream(MetasdCheckpoint *checkpoint, MetasdTrainer *trainer,
             const MetasdTrainOptions *options, uint64_t graph)
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

    start_stream(&checkpoint, &measured, options, 0);
    add_tables(&checkpoint, true);
    return checkpoint.bytes;
}

/* ---- saving ---- */

MetasdStatus
metasd_checkpoint_save(MetasdCheckpoint *checkpoint, MetasdTeam *team, MetasdTrainer *trainer,
                       const MetasdTrainOptions *options, uint64_t graph)
{
    HeaderCursor cursor = {.word = checkpoint->header + SHAPE_WORDS, .writes = true};

    start_stream(checkpoint, trainer, options, graph);
    checkpoint->progress = trainer->progress;
    add_tables(checkpoint, has_best(&checkpoint->progress));
    describe_shape(checkpoint, checkpoint->header);
    pass_progress(&cursor, &checkpoint->progress);
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
    start_stream(checkpoint, trainer, options, graph);
}

/* The header is complete: checks it, and adds the tables that follow. */
static MetasdStatus
open_header(MetasdCheckpoint *checkpoint)
{
    HeaderCursor cursor = {.word = checkpoint->header + SHAPE_WORDS, .writes = false};
    uint64_t shape[SHAPE_WORDS];

    if (checkpoint->header[WORD_MAGIC] != MAGIC ||
        checkpoint->header[WORD_HEADER] != hash_header(checkpoint))
        return METASD_CORRUPT;
    describe_shape(checkpoint, shape);
    if (memcmp(shape, checkpoint->header, sizeof(shape)) != 0)
        return METASD_INVALID;
    pass_progress(&cursor, &checkpoint->progress);
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
