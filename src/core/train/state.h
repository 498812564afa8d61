/*
 * state.h - the tables of a training, which its team shares.
 *
 * A weight table holds the N entity rows, then the P relation rows, of `width` floats each. The
 * full model has weights of its own; the student is these weights times a 0/1 mask.
 */
#ifndef METASD_CORE_TRAIN_STATE_H
#define METASD_CORE_TRAIN_STATE_H

#include "core/codec/row_values.h"
#include "core/model/family.h"
#include "core/train/packed_mask.h"
#include "core/train/workspace.h"

/* The sizes of batches, and of the memory for the student's products. */
typedef struct MetasdStateSize {
    size_t batch;     /* examples of a batch at most, of training or quiz */
    size_t queries;   /* groups that a block of scores has room for; larger batches take several */
    size_t negatives; /* entities that a batch is scored against, besides its targets; 0: all */
    bool has_student; /* for quiz, mutual learning or fine-tuning */
    bool has_quiz;    /* stages 1 and 2 */
    bool single;      /* full model and student are never scored side by side: stage 0 only */
    bool rounds;      /* fine-tuning ends with weights as they will be stored (rounding.h) */
    /*
     * Up to this part of a table's weights the student's products with it are sparse, with a
     * pattern of the mask; 0: never. metasd_sparse_kernels()->most_density where that is fastest.
     */
    double most_density;
    /*
     * The least part of the entities' weights that the masks prune: there is memory for a pattern
     * of the others only. Where a mask prunes less, the products are dense.
     */
    double pruned;
    /*
     * A column that at least this part of a table's rows keep is multiplied whole (pattern.h); 0:
     * none is. Dense products are faster column by column from most_density on.
     */
    double whole_from;
    /*
     * Every step is scored against a sample: there are no more tables of all rows than weights,
     * sums and the mask, that one in bits (lean.h). What a step needs besides is in an excerpt
     * (excerpt.h).
     */
    bool lean;
} MetasdStateSize;

/*
 * The kept weights of all entities, packed like patterns[0], while the student is fine-tuned
 * (finetune.h). The tables of weights and sums are then out of date for entities, and the student's
 * is up to date only for the rows that a batch names.
 */
typedef struct MetasdPackedWeights {
    float *values; /* NULL: nothing is packed */
    float *seen;   /* by products and batches: the values or, where they are rounded, a copy */
    float *sums;   /* Adagrad's */
    float *gradient;
} MetasdPackedWeights;

typedef struct MetasdState {
    /* set by the caller before metasd_state_take */
    uint32_t entities;      /* N */
    uint32_t relation_rows; /* P */
    size_t width;           /* floats per row */
    const MetasdFamily *family;
    MetasdStateSize size;

    /* tables of (N + P) x width */
    float *weights;         /* of the full model */
    float *sums;            /* Adagrad's, of stages 0 and 3 */
    float *quiz_sums;       /* Adagrad's, of stage 2; only where there is a quiz */
    float *student;         /* mask x weights; every step keeps it so, but for rounding */
    uint8_t *mask;          /* 1 = kept */
    uint8_t *bits;          /* (N + P) x bytes of a row: the mask of a lean state, which has no */
                            /* student, mask, and gradients */
    uint8_t *relation_mask; /* P x width: the same for relations, as `mask` */
    float *masked_gradient; /* of the student; only where there is one */
    /*
     * Two tables of memory that have several uses, each at a time of its own. Whoever begins a use
     * overwrites the memory of the one before.
     */
    union {
        float *gradient;        /* in a step: of the full model */
        uint32_t *keys;         /* while a mask is taken, between batches: of saliences (prune.c) */
        uint32_t *descriptions; /* N; before the first epoch, counts of triples (warm_start.c) */
        float *packed_room; /* in an epoch of fine-tuning, when the full model has no gradient */
    };
    union {                      /* NULL where no use needs it */
        float *trial;            /* in a step with a quiz: the student after its trial step */
        float *more_packed_room; /* in an epoch of fine-tuning, where packed_room is too small */
    };

    /* Only where size.rounds: */
    float *scales;      /* N + P: of each row (row_levels.h) */
    float *seen_packed; /* room for packed.seen */

    MetasdStorage student_as; /* of a lean state: its student is rounded as this (lean.h) */
    MetasdStorage rounds; /* of a step: the student is rounded as this; METASD_FLOAT32: it is not */
    MetasdSlices entity_slices, relation_slices;
    MetasdPattern patterns[2];  /* of the mask: entities, relations */
    bool sparse[2];             /* whether they are used; set with the mask */
    MetasdPackedWeights packed; /* between metasd_finetune_begin and metasd_finetune_end */
    MetasdWorkspace work;       /* of a batch */
} MetasdState;

/* Standard deviation of the initial weights. */
#define METASD_INITIAL_SCALE 1e-3f

/* Takes all memory of a state for a team of `members`; measures on a measuring arena. */
extern void metasd_state_take(MetasdState *state, MetasdArena *arena, int members,
                              size_t score_floats);

/* The bits of a row of a lean state's mask. */
static inline uint8_t *
metasd_state_bits(const MetasdState *state, size_t row)
{
    return state->bits + row * metasd_packed_mask_bytes(state->width);
}

/* How a row is rounded where those of entities are rounded as `storage`. */
static inline MetasdStorage
metasd_state_storage_of(const MetasdState *state, size_t row, MetasdStorage storage)
{
    return row < state->entities ? storage : metasd_row_levels_of_relations(storage);
}

/* The mask of the relations, a byte a weight. */
static inline const uint8_t *
metasd_state_relation_mask(const MetasdState *state)
{
    return state->size.lean ? state->relation_mask
                            : state->mask + (size_t)state->entities * state->width;
}

/* Takes only the tables of a state without patterns. */
extern void metasd_state_take_tables(MetasdState *state, MetasdArena *arena);

/* This member's rows of a weight table, as spans of floats: entities, then relations. */
extern void metasd_state_own(const MetasdState *state, const MetasdTeam *team, MetasdSpan own[2]);

/* The same as numbers of rows, of both tables one behind the other. */
extern void metasd_state_own_rows(const MetasdState *state, const MetasdTeam *team,
                                  MetasdSpan rows[2]);

/* The relations' part of a weight table. */
static inline const float *
metasd_state_relations(const MetasdState *state, const float *table)
{
    return table + (size_t)state->entities * state->width;
}

/*
 * Fills weights with normal numbers of deviation `scale`, sums with 0, the mask with 1. Weights of
 * a relation's row that a family does not use are 0.
 */
extern MetasdStatus metasd_state_init(MetasdState *state, MetasdTeam *team, uint64_t seed,
                                      float scale);

/*
 * Adagrad's sums where a training starts from earlier weights (warm_start.h). They begin near
 * those that pruned weights have at the end of a training, which are 3e-6 to 1e-4 on different
 * graphs. Those of kept weights are 20 to 100 times larger, but models are worse from there, or
 * from 1e-3; between 1e-5 and 1e-4 differences are those of seeds
 * (measured at commit 93a0908).
 */
#define METASD_WARM_SUM 1e-5f

/* In spans of the tables, weights that are 0 get normal numbers, and sums begin at `sum`. */
extern MetasdStatus metasd_state_fill_weights(MetasdState *state, MetasdTeam *team,
                                              const MetasdSpan *spans, int nspans, uint64_t seed,
                                              float scale, float sum);

/*
 * In spans of the tables, weights that are 0 get normal numbers of deviation `scale`, sums begin at
 * `sum`, those of the quiz at 0, and the mask keeps all weights.
 */
extern MetasdStatus metasd_state_fill(MetasdState *state, MetasdTeam *team, const MetasdSpan *spans,
                                      int nspans, uint64_t seed, float scale, float sum);

#endif
