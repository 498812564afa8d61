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
                      size_t negatives, size_t n)
{
    size_t rows = entities->rows, most = metasd_negatives_most(entities->rows, negatives, n);
    int cuts = metasd_negatives_slices(entities, most).count + 1;

    *sampler = (MetasdNegatives){.slices = *entities, .negatives = negatives};
    sampler->mark = METASD_TAKE(arena, uint8_t, rows);
    sampler->row = METASD_TAKE(arena, uint32_t, rows);
    for (int i = 0; i < 2; i++) {
        sampler->sample[i].ids = METASD_TAKE(arena, uint32_t, most);
        sampler->sample[i].each = METASD_TAKE(arena, float, most);
        sampler->sample[i].cuts = METASD_TAKE(arena, uint32_t, (size_t)cuts);
        sampler->sample[i].targets = METASD_TAKE(arena, uint32_t, n);
    }
    /* Touched are both samples and both batches' heads. */
    sampler->touched = METASD_TAKE(arena, MetasdSpan, 2 * (most + n) + 1);
}

void
metasd_negatives_prepare(MetasdNegatives *sampler)
{
    memset(sampler->mark, 0, sampler->slices.rows);
}

/* ---- drawing ---- */

enum { DRAWN = 1, TARGET };

static MetasdStatus
mark_rows(MetasdNegatives *sampler, MetasdTeam *team, uint64_t seed, uint64_t stream,
          const MetasdBatch *batch)
{
    for (size_t i = 0; i < sampler->negatives; i++) {
        sampler->mark[metasd_random_below(seed, stream, i, sampler->slices.rows)] = DRAWN;
        METASD_TRY(metasd_team_work(team, 2 * METASD_FAR_WORK));
    }
    for (size_t i = 0; i < batch->n; i++) {
        sampler->mark[batch->tails[i]] = TARGET;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* 1 / the probability that one of the draws is a given entity. */
static float
weight_of_drawn(const MetasdNegatives *sampler)
{
    double chance = 1.0 / (double)sampler->slices.rows;

    return chance < 1 ? (float)(-1 / expm1((double)sampler->negatives * log1p(-chance))) : 1.0f;
}

/* Marked entities of rows first .. end - 1 become rows of the sample from *n on. */
static MetasdStatus
collect_rows(MetasdNegatives *sampler, MetasdTeam *team, MetasdSample *sample, uint32_t first,
             uint32_t end, uint32_t *n)
{
    float weight = weight_of_drawn(sampler);

    for (uint32_t e = first; e < end; e++) {
        if (sampler->mark[e]) {
            sample->ids[*n] = e;
            sample->each[*n] = sampler->mark[e] == TARGET ? 1.0f : weight;
            sampler->row[e] = (*n)++;
            sampler->mark[e] = 0;
        }
        METASD_TRY(metasd_team_work(team, 1));
    }
    return METASD_OK;
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
    uint32_t parts[METASD_MAX_PARTS + 1] = {0};

    METASD_TRY(mark_rows(sampler, team, seed, stream, batch));
    for (int p = 0; p < slices->parts; p++) {
        parts[p + 1] = parts[p];
        METASD_TRY(collect_rows(sampler, team, sample, metasd_team_slice_start(slices, p * each),
                                metasd_team_slice_start(slices, (p + 1) * each), &parts[p + 1]));
    }
    cut_parts(sample, parts, slices->parts);
    for (size_t i = 0; i < batch->n; i++) {
        sample->targets[i] = sampler->row[batch->tails[i]];
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

/* ---- the rows that a step touches ---- */

static MetasdStatus
mark_touched(MetasdNegatives *sampler, MetasdTeam *team, int which, const MetasdBatch *batch)
{
    const MetasdSample *sample = &sampler->sample[which];

    for (uint32_t i = 0; i < sample->slices.rows; i++) {
        sampler->mark[sample->ids[i]] = 1;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    for (size_t g = 0; g < batch->groups; g++) {
        sampler->mark[batch->heads[g]] = 1;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}

MetasdStatus
metasd_negatives_touch(MetasdNegatives *sampler, MetasdTeam *team, size_t width,
                       const MetasdSpan own[2], const MetasdBatch *batch, const MetasdBatch *quiz)
{
    MetasdSpan *span = sampler->touched;

    METASD_TRY(mark_touched(sampler, team, 0, batch));
    if (quiz)
        METASD_TRY(mark_touched(sampler, team, 1, quiz));
    for (size_t e = 0; e < sampler->slices.rows; e++) {
        size_t at = e * width;

        METASD_TRY(metasd_team_work(team, 1));
        if (!sampler->mark[e])
            continue;
        sampler->mark[e] = 0;
        if (at < own[0].first || at >= own[0].end)
            continue;
        if (span > sampler->touched && span[-1].end == at)
            span[-1].end += width;
        else
            *span++ = (MetasdSpan){at, at + width};
    }
    *span++ = own[1];
    sampler->ntouched = (int)(span - sampler->touched);
    return METASD_OK;
}
