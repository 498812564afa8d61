#include "core/train/cross_entropy.h"

#include <math.h>

double
metasd_cross_entropy_loss(const MetasdPass *pass, int t, const MetasdTargets *targets,
                          const MetasdSoftmaxPair *pairs)
{
    const float *target = pass->scores->target_scores[t];
    double loss = 0;

    for (size_t i = 0; i < pass->rows; i++) {
        const MetasdSoftmaxRow *row = t ? &pairs[i].student : &pairs[i].full;
        double log_sum = log(row->sum);

        for (size_t x = targets->start[i]; x < targets->start[i + 1]; x++) {
            double weight = targets->weights ? (double)targets->weights[x] : 1.0;

            loss += (double)targets->scale * weight * (row->max - (double)target[x] + log_sum);
        }
    }
    return loss;
}

/* Slice s of block[b] holds exp(z - max of the slice): makes it the gradient, targets aside. */
static MetasdStatus
scale_slice(const MetasdPass *pass, int s, int b, const MetasdSoftmaxPair *pairs)
{
    MetasdTiles tile;

    for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);) {
        const float *max = pass->scores->partials[0][tile.part].max;
        size_t at = tile.tile * METASD_TILE;
        float scale[METASD_TILE] = {0};

        for (size_t i = 0; i < METASD_TILE && at + i < pass->rows; i++) {
            const MetasdSoftmaxPair *pair = &pairs[at + i];

            scale[i] = (float)((double)pair->weight / pair->full.sum *
                               exp((double)max[i] - pair->full.max));
        }
        metasd_softmax_scale(tile.rows, pass->stride, pass->scores->block[b] + tile.first, scale);
    }
    return tile.status;
}

MetasdStatus
metasd_cross_entropy(const MetasdPass *pass, int b, const MetasdTable *table,
                     const MetasdQueries *queries, const MetasdTargets *targets,
                     MetasdSoftmaxPair *pairs, float *gradient, float *dqueries, double *loss)
{
    MetasdScores *scores = pass->scores;
    int first, end;
    MetasdTiles tile;

    metasd_team_slices(pass->team, pass->slices, &first, &end);
    for (int s = first; s < end; s++) {
        METASD_TRY(metasd_products_scores(pass, s, b, table, queries, false));
        METASD_TRY(metasd_pass_keep_targets(pass, s, b, 0, targets));
        for (tile = metasd_pass_tiles(pass, s); metasd_pass_next_tile(&tile);)
            metasd_softmax_sums(tile.rows, pass->stride, scores->block[b] + tile.first, tile.each,
                                &scores->partials[0][tile.part]);
        METASD_TRY(tile.status);
    }
    METASD_TRY(metasd_pass_join(pass, false, 1, pairs));
    for (int s = first; s < end; s++) {
        METASD_TRY(scale_slice(pass, s, b, pairs));
        METASD_TRY(metasd_pass_subtract_targets(pass, s, b, targets));
        METASD_TRY(metasd_products_back(pass, s, b, table, queries, gradient));
    }
    *loss += metasd_cross_entropy_loss(pass, 0, targets, pairs);
    return metasd_products_reduce(pass, table, dqueries);
}
