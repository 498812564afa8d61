#include "core/graph/negatives.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"

size_t
metasd_negatives_most(uint32_t entities, size_t negatives, size_t n)
{
    size_t most = negatives > SIZE_MAX - n ? SIZE_MAX : negatives + n;

    return most < entities ? most : entities;
}

size_t
metasd_negatives_most_touched(uint32_t entities, size_t negatives, size_t n, bool quiz)
{
    size_t most = metasd_negatives_most(entities, negatives, n), times = quiz ? 2 : 1;

    return n > entities || most + n > entities / times ? entities : times * (most + n);
}

/* All rows may lie in one part, and all parts have as many slices. */
static int
slices_a_part(size_t most)
{
    return (int)((most + METASD_SLICE_ROWS - 1) / METASD_SLICE_ROWS) + 1;
}

MetasdSlices
metasd_negatives_slices(const MetasdSlices *entities, size_t most)
{
    return (MetasdSlices){.rows = (uint32_t)most,
                          .parts = entities->parts,
                          .count = entities->parts * slices_a_part(most)};
}

void
metasd_negatives_take(MetasdNegatives *sampler, MetasdArena *arena, const MetasdSlices *entities,
                      size_t negatives, size_t n, bool quiz)
{
    size_t most = metasd_negatives_most(entities->rows, negatives, n);
    size_t touched = metasd_negatives_most_touched(entities->rows, negatives, n, quiz);
    size_t spare = negatives > n ? negatives : n;
    int cuts = metasd_negatives_slices(entities, most).count + 1;

    *sampler = (MetasdNegatives){.slices = *entities, .negatives = negatives};
    sampler->drawn = METASD_TAKE(arena, uint32_t, negatives);
    sampler->sorted = METASD_TAKE(arena, uint32_t, n);
    sampler->spare = METASD_TAKE(arena, uint32_t, spare > touched ? spare : touched);
    for (int i = 0; i < (quiz ? 2 : 1); i++) {
        sampler->sample[i].ids = METASD_TAKE(arena, uint32_t, most);
        sampler->sample[i].each = METASD_TAKE(arena, float, most);
        sampler->sample[i].cuts = METASD_TAKE(arena, uint32_t, (size_t)cuts);
        sampler->sample[i].targets = METASD_TAKE(arena, uint32_t, n);
    }
    sampler->touched = METASD_TAKE(arena, uint32_t, touched);
}

/* ---- sorted numbers ---- */

#define DIGIT_BITS 11
#define DIGITS ((size_t)1 << DIGIT_BITS)

/* One stable pass of a sort by digits. */
static void
sort_by_digit(const uint32_t *from, uint32_t *to, size_t n, int shift)
{
    size_t starts[DIGITS + 1] = {0};

    for (size_t i = 0; i < n; i++)
        starts[(from[i] >> shift & (DIGITS - 1)) + 1]++;
    for (size_t d = 1; d < DIGITS; d++)
        starts[d] += starts[d - 1];
    for (size_t i = 0; i < n; i++)
        to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
}

/* Sorts n numbers; `spare` has as much room. */
static MetasdStatus
sort_ids(MetasdTeam *team, uint32_t *ids, size_t n, uint32_t *spare)
{
    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        sort_by_digit(ids, spare, n, shift);
        memcpy(ids, spare, n * sizeof(*ids));
        METASD_TRY(metasd_team_work(team, 8 * n + 4 * DIGITS));
    }
    return METASD_OK;
}

uint32_t
metasd_negatives_place(const uint32_t *ids, uint32_t n, uint32_t id)
{
    uint32_t low = 0, high = n;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- drawing ---- */

/* drawn and sorted = the draws, and the targets of a batch, each in order. */
static MetasdStatus
sort_draws(MetasdNegatives *sampler, MetasdTeam *team, uint64_t seed, uint64_t stream,
           const MetasdBatch *batch)
{
    for (size_t i = 0; i < sampler->negatives; i++) {
        sampler->drawn[i] = (uint32_t)metasd_random_below(seed, stream, i, sampler->slices.rows);
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    METASD_TRY(sort_ids(team, sampler->drawn, sampler->negatives, sampler->spare));
    memcpy(sampler->sorted, batch->tails, batch->n * sizeof(*batch->tails));
    return sort_ids(team, sampler->sorted, batch->n, sampler->spare);
}

/* 1 / the probability that one of the draws is a given entity. */
static float
weight_of_drawn(const MetasdNegatives *sampler)
{
    double chance = 1.0 / (double)sampler->slices.rows;

    return chance < 1 ? (float)(-1 / expm1((double)sampler->negatives * log1p(-chance))) : 1.0f;
}

/* The sample's ids, each once, and their weights; returns how many. */
static uint32_t
join_draws(const MetasdNegatives *sampler, size_t targets, MetasdSample *sample)
{
    float weight = weight_of_drawn(sampler);
    size_t d = 0, t = 0;
    uint32_t n = 0;

    while (d < sampler->negatives || t < targets) {
        bool drawn =
            t == targets || (d < sampler->negatives && sampler->drawn[d] < sampler->sorted[t]);
        uint32_t id = drawn ? sampler->drawn[d] : sampler->sorted[t];

        sample->ids[n] = id;
        sample->each[n++] = drawn ? weight : 1.0f;
        while (d < sampler->negatives && sampler->drawn[d] == id)
            d++;
        while (t < targets && sampler->sorted[t] == id)
            t++;
    }
    return n;
}

/* Cuts the rows of each part, which begin where `parts` says, into as many slices. */
static void
cut_parts(MetasdSample *sample, const uint32_t *parts, int count)
{
    uint32_t most = 1;
    int each;

    for (int p = 0; p < count; p++)
        most = parts[p + 1] - parts[p] > most ? parts[p + 1] - parts[p] : most;
    each = (int)((most + METASD_SLICE_ROWS - 1) / METASD_SLICE_ROWS);
    for (int p = 0; p < count; p++)
        for (int i = 0; i < each; i++)
            sample->cuts[p * each + i] = parts[p] + (uint32_t)((uint64_t)(parts[p + 1] - parts[p]) *
                                                               (uint64_t)i / (uint64_t)each);
    sample->cuts[count * each] = parts[count];
    sample->slices = (MetasdSlices){
        .rows = parts[count], .parts = count, .count = count * each, .cuts = sample->cuts};
}

MetasdStatus
metasd_negatives_draw(MetasdNegatives *sampler, MetasdTeam *team, int which, uint64_t seed,
                      uint64_t stream, const MetasdBatch *batch)
{
    const MetasdSlices *slices = &sampler->slices;
    MetasdSample *sample = &sampler->sample[which];
    int each = slices->count / slices->parts;
    uint32_t parts[METASD_MAX_PARTS + 1] = {0}, n;

    METASD_TRY(sort_draws(sampler, team, seed, stream, batch));
    n = join_draws(sampler, batch->n, sample);
    METASD_TRY(metasd_team_work(team, 8 * (sampler->negatives + batch->n)));
    for (int p = 1; p <= slices->parts; p++)
        parts[p] =
            metasd_negatives_place(sample->ids, n, metasd_team_slice_start(slices, p * each));
    cut_parts(sample, parts, slices->parts);
    for (size_t i = 0; i < batch->n; i++) {
        sample->targets[i] = metasd_negatives_place(sample->ids, n, batch->tails[i]);
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* ---- the rows that a step touches ---- */

/* touched = what it was and n ascending ids, each once. */
static MetasdStatus
join_touched(MetasdNegatives *sampler, MetasdTeam *team, const uint32_t *ids, size_t n)
{
    size_t a = 0, b = 0;
    uint32_t all = 0;

    while (a < sampler->ntouched || b < n) {
        uint32_t id = b == n || (a < sampler->ntouched && sampler->touched[a] < ids[b])
                          ? sampler->touched[a]
                          : ids[b];

        sampler->spare[all++] = id;
        while (a < sampler->ntouched && sampler->touched[a] == id)
            a++;
        while (b < n && ids[b] == id)
            b++;
    }
    memcpy(sampler->touched, sampler->spare, all * sizeof(*sampler->spare));
    sampler->ntouched = all;
    return metasd_team_work(team, 8 * (size_t)all);
}

static MetasdStatus
add_touched(MetasdNegatives *sampler, MetasdTeam *team, int which, const MetasdBatch *batch)
{
    const MetasdSample *sample = &sampler->sample[which];

    METASD_TRY(join_touched(sampler, team, sample->ids, sample->slices.rows));
    memcpy(sampler->sorted, batch->heads, batch->groups * sizeof(*batch->heads));
    METASD_TRY(sort_ids(team, sampler->sorted, batch->groups, sampler->spare));
    return join_touched(sampler, team, sampler->sorted, batch->groups);
}

MetasdStatus
metasd_negatives_touch(MetasdNegatives *sampler, MetasdTeam *team, const MetasdBatch *batch,
                       const MetasdBatch *quiz)
{
    sampler->ntouched = 0;
    METASD_TRY(add_touched(sampler, team, 0, batch));
    return quiz ? add_touched(sampler, team, 1, quiz) : METASD_OK;
}
