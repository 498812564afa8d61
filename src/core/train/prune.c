#include "core/train/prune.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/train/lean.h"

/* ---- memory ---- */

void
metasd_prune_take(MetasdPruner *pruner, MetasdArena *arena, const MetasdState *state, int members)
{
    size_t parts = (size_t)state->entity_slices.parts;

    pruner->bins = METASD_TAKE(arena, uint64_t, (size_t)members * METASD_PRUNE_BINS);
    pruner->column_sums = METASD_TAKE(arena, double, parts * state->width);
    pruner->factors = METASD_TAKE(arena, MetasdFactor, state->width);
    pruner->rows =
        METASD_TAKE(arena, uint32_t, state->size.lean ? (size_t)members * state->width : 0);
}

/* ---- keys ---- */

/*
 * The position of a size is its exponent and its 24 bits, like those of a float whose exponent has
 * no limits; 0 is the position of 2^(LEAST - 1). Positions of PLAIN exponents from there on, those
 * of all floats up to 2^74, are keys without loss. Sizes below or above share the keys of COARSE
 * exponents, with 11 of their 23 bits: enough for 2^16 exponents.
 */
#define BITS 23
#define LEAST (-149)
#define PLAIN 224
#define COARSE 16
#define DROPPED 12

#define FIRST_PLAIN ((int64_t)COARSE << BITS)
#define END_PLAIN ((int64_t)(COARSE + PLAIN) << BITS)

uint32_t
metasd_prune_key(double size, int exponent)
{
    const int64_t unit = (int64_t)1 << BITS;
    int64_t position, key;
    int own;

    if (!(size > 0))
        return 0;
    if (size > DBL_MAX)
        return METASD_PRUNE_MUST - 1;
    position = llrint(frexp(size, &own) * (double)(2 * unit)) - unit;
    position += ((int64_t)own + exponent - LEAST) * unit;
    if (position < 0)
        key = FIRST_PLAIN - 1 - (-1 - position) / ((int64_t)1 << DROPPED);
    else if (position < END_PLAIN - FIRST_PLAIN)
        key = FIRST_PLAIN + position;
    else
        key = END_PLAIN + ((position - (END_PLAIN - FIRST_PLAIN)) >> DROPPED);
    return key < 1 ? 1 : key > METASD_PRUNE_MUST - 1 ? METASD_PRUNE_MUST - 1 : (uint32_t)key;
}

double
metasd_prune_size(uint32_t key)
{
    const int64_t unit = (int64_t)1 << BITS, step = (int64_t)1 << DROPPED;
    int64_t place = (int64_t)(key & (METASD_PRUNE_MUST - 1)), position, own;

    if (place == 0)
        return 0;
    if (place < FIRST_PLAIN)
        position = (place - FIRST_PLAIN) * step;
    else if (place < END_PLAIN)
        position = place - FIRST_PLAIN;
    else
        position = END_PLAIN - FIRST_PLAIN + (place - END_PLAIN) * step;
    own = position >= 0 ? position / unit : -1 - (-1 - position) / unit;
    return fmin(ldexp((double)(unit + position - own * unit), (int)own + LEAST - BITS - 1),
                DBL_MAX);
}

/* The work of computing a key. */
#define KEY_WORK 8

/* ---- the threshold ---- */

/* Counts keys: upper halves, or the lower halves of those whose upper is `upper`. */
static void
count_keys(const uint32_t *keys, size_t n, int64_t upper, uint64_t *bins)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = keys[i];

        if (upper < 0)
            bins[bits >> 16]++;
        else if (bits >> 16 == (uint32_t)upper)
            bins[bits & 0xffff]++;
    }
}

/* The keys of all weights, and this member's part of them. */
typedef struct Keys {
    const uint32_t *all; /* NULL: `next` gives those of a row */
    const MetasdPruner *pruner;
    const MetasdState *state;
    const MetasdSpan *spans;
    int nspans;
} Keys;

static const uint32_t *row_keys(const Keys *keys, const MetasdTeam *team, size_t at);

/* The same for this member's keys. */
static MetasdStatus
count_bits(MetasdTeam *team, const Keys *keys, int64_t upper, uint64_t *bins)
{
    MetasdChunks chunk;

    memset(bins, 0, METASD_PRUNE_BINS * sizeof(*bins));
    if (!keys->all) {
        for (int i = 0; i < keys->nspans; i++)
            for (size_t at = keys->spans[i].first, width = keys->state->width;
                 at < keys->spans[i].end; at += width) {
                count_keys(row_keys(keys, team, at), width, upper, bins);
                METASD_TRY(metasd_team_work(team, KEY_WORK * width));
            }
        return METASD_OK;
    }
    for (chunk = metasd_team_chunks(team, keys->spans, keys->nspans, 1);
         metasd_team_next_chunk(&chunk);)
        count_keys(keys->all + chunk.first, chunk.end - chunk.first, upper, bins);
    return chunk.status;
}

/* The bin of the weight at *index among those counted; *index becomes its index in the bin. */
static uint32_t
find_bin(const uint64_t *bins, int members, uint64_t *index)
{
    for (uint32_t bin = 0;; bin++) {
        uint64_t count = 0;

        for (int member = 0; member < members; member++)
            count += bins[(size_t)member * METASD_PRUNE_BINS + bin];
        if (*index < count || bin == METASD_PRUNE_BINS - 1)
            return bin;
        *index -= count;
    }
}

static MetasdStatus
find_threshold(MetasdTeam *team, const Keys *keys, size_t m, double sparsity, uint64_t *bins,
               uint32_t *threshold)
{
    uint64_t *mine = bins + (size_t)team->rank * METASD_PRUNE_BINS;
    uint32_t upper;
    uint64_t index;
    double at;

    if (m == 0 || !(sparsity >= 0 && sparsity <= 1))
        return METASD_INVALID;
    at = ceil(sparsity * (double)m);
    index = at >= (double)m ? (uint64_t)m - 1 : (uint64_t)at;
    METASD_TRY(count_bits(team, keys, -1, mine));
    METASD_TRY(team->barrier(team));
    upper = find_bin(bins, team->size, &index);
    METASD_TRY(team->barrier(team)); /* all have read the bins before they are counted anew */
    METASD_TRY(count_bits(team, keys, upper, mine));
    METASD_TRY(team->barrier(team));
    *threshold = upper << 16 | find_bin(bins, team->size, &index);
    return team->barrier(team);
}

MetasdStatus
metasd_prune_threshold(MetasdTeam *team, const uint32_t *keys, size_t m, const MetasdSpan *spans,
                       int nspans, double sparsity, uint64_t *bins, uint32_t *threshold)
{
    Keys of = {.all = keys, .spans = spans, .nspans = nspans};

    return find_threshold(team, &of, m, sparsity, bins, threshold);
}

/* ---- columns ---- */

/* A weight that no batch has touched has no sum yet: its magnitude counts among its like. */
#define LEAST_SUM 1e-20f

/* The sums of squares of one part's columns. */
static MetasdStatus
sum_columns(MetasdPruner *pruner, const MetasdState *state, MetasdTeam *team, int part)
{
    const MetasdSlices *slices = &state->entity_slices;
    int each = slices->count / slices->parts;
    double *sums = pruner->column_sums + (size_t)part * state->width;

    memset(sums, 0, state->width * sizeof(*sums));
    for (uint32_t e = metasd_team_slice_start(slices, part * each);
         e < metasd_team_slice_start(slices, (part + 1) * each); e++) {
        const float *row = state->weights + e * state->width;

        for (size_t j = 0; j < state->width; j++)
            sums[j] += (double)row[j] * (double)row[j];
        METASD_TRY(metasd_team_work(team, 2 * state->width));
    }
    return METASD_OK;
}

/* The sum of squares of column j, in the order of the parts. */
static double
column_sum(const MetasdPruner *pruner, const MetasdState *state, size_t j)
{
    double sum = 0;

    for (int part = 0; part < state->entity_slices.parts; part++)
        sum += pruner->column_sums[(size_t)part * state->width + j];
    return sum;
}

/* x^power for x in 0 .. 1, rounded to the digits of a float; it may be less than any double. */
static MetasdFactor
power_of(double x, double power)
{
    double result = pow(x, power), exponent;
    MetasdFactor factor = {.exponent = 0};

    if (x > 0 && result < DBL_MIN) {
        exponent = floor(power * log2(x));
        factor.size = (float)exp2(power * log2(x) - exponent);
        factor.exponent = (int)exponent;
    } else
        factor.size = (float)frexp(result, &factor.exponent);
    return factor;
}

/* factors = the columns' norms, over the largest, to the power `alignment`. */
static MetasdStatus
weigh_columns(MetasdPruner *pruner, const MetasdState *state, MetasdTeam *team)
{
    size_t first, end;
    double most = 0;

    metasd_team_share(team, (size_t)state->entity_slices.parts, &first, &end);
    for (size_t part = first; part < end; part++)
        METASD_TRY(sum_columns(pruner, state, team, (int)part));
    METASD_TRY(team->barrier(team));
    for (size_t j = 0; j < state->width; j++)
        most = fmax(most, column_sum(pruner, state, j));
    metasd_team_share(team, state->width, &first, &end);
    for (size_t j = first; j < end; j++) {
        pruner->factors[j] = power_of(most > 0 ? column_sum(pruner, state, j) / most : 1,
                                      pruner->options.alignment / 2);
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return team->barrier(team);
}

/* ---- salience ---- */

/* s^(power / 2); with roots where possible, which are ten times faster. */
static inline float
sum_factor(float sum, float power)
{
    sum += LEAST_SUM;
    if (power == 0.5f)
        return sqrtf(sqrtf(sum));
    return power == 1.0f ? sqrtf(sum) : powf(sum, 0.5f * power);
}

/* A product rounded to a float, unless it is too small or too large for one. */
static inline double
multiply(float a, float b)
{
    float product = a * b;

    return isnormal(product) ? (double)product : (double)a * (double)b;
}

/* The salience of weight i, in column j, is the returned number times 2^*exponent. */
static inline double
salience_of(const MetasdPruner *pruner, const MetasdState *state, size_t i, size_t j, int *exponent)
{
    double size = (double)fabsf(state->weights[i]);

    *exponent = 0;
    if (pruner->options.salience > 0)
        size = multiply(fabsf(state->weights[i]),
                        sum_factor(state->sums[i], (float)pruner->options.salience));
    if (pruner->options.alignment > 0) {
        size *= (double)pruner->factors[j].size;
        *exponent = pruner->factors[j].exponent;
    }
    return size;
}

/*
 * The key of a component, whose reals are a stride apart: of the root of the sum of their squares,
 * as their parts in the change of the loss add up. Squares are taken relative to the largest one,
 * so that none underflows that the sum would show.
 */
static uint32_t
component_key(const MetasdPruner *pruner, const MetasdState *state, size_t row, size_t first,
              size_t stride)
{
    double sizes[METASD_MOST_REALS];
    int exponents[METASD_MOST_REALS], most = INT_MIN;
    size_t n = 0;
    float sum = 0;

    for (size_t j = first; j < state->width; j += stride, n++) {
        int own;

        sizes[n] = salience_of(pruner, state, row + j, j, &exponents[n]);
        if (sizes[n] > 0) {
            (void)frexp(sizes[n], &own);
            most = exponents[n] + own > most ? exponents[n] + own : most;
        }
    }
    for (size_t k = 0; k < n && most > INT_MIN; k++) {
        float part = (float)ldexp(sizes[k], exponents[k] - most);

        sum += part * part;
    }
    return sum > 0 ? metasd_prune_key((double)sqrtf(sum), most) : 0;
}

/* Are the reals of a component kept or pruned together? */
static bool
is_joined(const MetasdPruner *pruner, const MetasdState *state)
{
    return pruner->options.by_component && state->family->reals_per_rank > 1;
}

/* Marks the `floor` best of n keys, but for those that are 0, to be kept. */
static void
raise_best(uint32_t *row, size_t n, int floor)
{
    for (int k = 0; k < floor; k++) {
        size_t best = 0;
        uint32_t most = 0;

        for (size_t j = 0; j < n; j++)
            if (row[j] > most && row[j] < METASD_PRUNE_MUST) {
                best = j;
                most = row[j];
            }
        if (most > 0)
            row[best] |= METASD_PRUNE_MUST;
    }
}

/* The keys of a row of weights, which begins at `at` in the tables. */
static void
weigh_row(const MetasdPruner *pruner, const MetasdState *state, size_t at, uint32_t *row)
{
    size_t n =
        is_joined(pruner, state) ? state->width / state->family->reals_per_rank : state->width;

    for (size_t j = 0; j < n; j++) {
        int exponent;
        double size;

        if (n < state->width) {
            row[j] = component_key(pruner, state, at, j, n);
            continue;
        }
        size = salience_of(pruner, state, at + j, j, &exponent);
        row[j] = metasd_prune_key(size, exponent);
    }
    raise_best(row, n, pruner->options.floor);
    for (size_t j = n; j < state->width; j++)
        row[j] = row[j - n];
}

/* state->keys = the saliences of this member's rows. */
static MetasdStatus
weigh_tables(MetasdPruner *pruner, MetasdState *state, MetasdTeam *team, const MetasdSpan own[2])
{
    if (pruner->options.alignment > 0)
        METASD_TRY(weigh_columns(pruner, state, team));
    for (int table = 0; table < 2 && state->keys; table++)
        for (size_t at = own[table].first; at < own[table].end; at += state->width) {
            weigh_row(pruner, state, at, state->keys + at);
            METASD_TRY(metasd_team_work(team, KEY_WORK * state->width));
        }
    return METASD_OK;
}

/* The keys of a row of this member's, in room of its own. */
static const uint32_t *
row_keys(const Keys *keys, const MetasdTeam *team, size_t at)
{
    uint32_t *row = keys->pruner->rows + (size_t)team->rank * keys->state->width;

    weigh_row(keys->pruner, keys->state, at, row);
    return row;
}

/* ---- the mask ---- */

/* The least key that a threshold keeps: not 0, and those marked to be kept in any case. */
static uint32_t
least_kept(uint32_t threshold)
{
    return threshold < 1 ? 1 : threshold < METASD_PRUNE_MUST ? threshold : METASD_PRUNE_MUST;
}

static void
count_change(uint8_t before, uint8_t now, MetasdPruned *pruned)
{
    pruned->kept += now;
    pruned->regrown += now > before;
    pruned->dropped += now < before;
}

/* The same as mask_span for the rows of a lean state. */
static MetasdStatus
mask_rows(const Keys *keys, MetasdState *state, MetasdTeam *team, uint32_t threshold,
          MetasdPruned *pruned)
{
    size_t width = state->width;
    uint8_t *mask = (uint8_t *)(void *)(state->work.scratch + (size_t)team->rank * 2 * width);
    uint32_t least = least_kept(threshold);

    for (int i = 0; i < keys->nspans; i++)
        for (size_t at = keys->spans[i].first; at < keys->spans[i].end; at += width) {
            const uint32_t *row = row_keys(keys, team, at);

            metasd_lean_get_mask(state, at / width, mask);
            for (size_t j = 0; j < width; j++) {
                uint8_t before = mask[j];

                mask[j] = row[j] >= least;
                count_change(before, mask[j], pruned);
            }
            metasd_lean_put_mask(state, at / width, mask);
            METASD_TRY(metasd_team_work(team, KEY_WORK * width));
        }
    return METASD_OK;
}

/*
 * Keeps weights of a span of this member's whose keys are at least `threshold` and not 0, and those
 * marked to be kept; the student follows. Adds to the counts of *pruned.
 */
static MetasdStatus
mask_span(MetasdState *state, MetasdTeam *team, const MetasdSpan *span, uint32_t threshold,
          MetasdPruned *pruned)
{
    uint32_t least = least_kept(threshold);
    MetasdChunks chunk;

    for (chunk = metasd_team_chunks(team, span, 1, 3); metasd_team_next_chunk(&chunk);)
        for (size_t i = chunk.first; i < chunk.end; i++) {
            uint8_t before = state->mask[i], now = state->keys[i] >= least;

            state->mask[i] = now;
            state->student[i] = now ? state->weights[i] : 0.0f;
            count_change(before, now, pruned);
        }
    return chunk.status;
}

/* Sums the counts of all members. The bins are free: all members have the threshold. */
static MetasdStatus
sum_counts(MetasdTeam *team, uint64_t *bins, MetasdPruned *pruned)
{
    uint64_t *mine = bins + (size_t)team->rank * METASD_PRUNE_BINS;

    mine[0] = pruned->kept;
    mine[1] = pruned->regrown;
    mine[2] = pruned->dropped;
    METASD_TRY(team->barrier(team));
    pruned->kept = pruned->regrown = pruned->dropped = 0;
    for (int member = 0; member < team->size; member++) {
        const uint64_t *one = bins + (size_t)member * METASD_PRUNE_BINS;

        pruned->kept += one[0];
        pruned->regrown += one[1];
        pruned->dropped += one[2];
    }
    return team->barrier(team);
}

MetasdStatus
metasd_prune_patterns(MetasdState *state, MetasdTeam *team)
{
    METASD_TRY(metasd_pattern_build(&state->patterns[0], team, state->mask, &state->sparse[0]));
    return metasd_pattern_build(&state->patterns[1], team, metasd_state_relation_mask(state),
                                &state->sparse[1]);
}

MetasdStatus
metasd_prune_mask(MetasdPruner *pruner, MetasdState *state, MetasdTeam *team, double sparsity,
                  MetasdPruned *pruned)
{
    size_t all = ((size_t)state->entities + state->relation_rows) * state->width;
    MetasdSpan own[2];
    Keys keys = {.all = state->keys, .pruner = pruner, .state = state, .spans = own, .nspans = 2};
    uint32_t threshold;

    metasd_state_own(state, team, own);
    METASD_TRY(weigh_tables(pruner, state, team, own));
    METASD_TRY(find_threshold(team, &keys, all, sparsity, pruner->bins, &threshold));
    *pruned = (MetasdPruned){.threshold = metasd_prune_size(threshold)};
    if (state->size.lean)
        METASD_TRY(mask_rows(&keys, state, team, threshold, pruned));
    for (int i = 0; i < 2 && !state->size.lean; i++)
        METASD_TRY(mask_span(state, team, &own[i], threshold, pruned));
    METASD_TRY(sum_counts(team, pruner->bins, pruned));
    METASD_TRY(metasd_prune_patterns(state, team));
    return team->barrier(team);
}
