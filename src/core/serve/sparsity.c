#include "core/serve/sparsity.h"

#include <stdlib.h>
#include <string.h>

#include "core/serve/dense_columns.h"

void
metasd_sparsity_take(MetasdSparsity *sparsity, MetasdArena *arena, const MetasdImagePlan *plan)
{
    *sparsity = (MetasdSparsity){.width = plan->width,
                                 .rows = METASD_TAKE(arena, uint32_t, (size_t)plan->width + 1),
                                 .columns = METASD_TAKE(arena, uint32_t, plan->width)};
}

/* Is a stored code of column j of a tile that of a kept weight? */
static bool
is_kept(const MetasdImage *image, size_t at)
{
    return image->plan.codes == METASD_CODES_FLOAT
               ? ((const float *)image->dimension.codes)[at] != 0
               : ((const uint8_t *)image->dimension.codes)[at] != METASD_CODE_ZERO;
}

/* Adds the weights of up to METASD_WORD entities in columns, which lie one column after another. */
static void
count_tile(const MetasdImage *image, size_t tile, size_t entities, uint32_t *kept,
           uint32_t *columns)
{
    for (size_t j = 0; j < image->plan.columns; j++) {
        size_t at = (tile * image->plan.columns + j) * METASD_WORD;

        for (size_t e = 0; e < entities; e++) {
            bool is = is_kept(image, at + e);

            kept[e] += is;
            columns[j] += is;
        }
    }
}

/* Adds an entity's weights in lists, which are counted behind the columns. */
static uint32_t
count_lists(const MetasdSparsity *sparsity, const MetasdImage *image, uint32_t entity)
{
    uint64_t end = image->entity.start[entity + 1];
    uint32_t kept = 0;

    for (uint64_t i = image->entity.start[entity]; i < end && i < image->entity.kept; i++) {
        uint32_t id = image->entity.ids[i];
        uint32_t place = id < sparsity->width ? image->dimension.place[id] : sparsity->width;

        if (place < sparsity->width && place >= image->plan.columns) {
            sparsity->columns[place]++;
            kept++;
        }
    }
    return kept;
}

static int
compare_descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x < y) - (x > y);
}

MetasdStatus
metasd_sparsity_count(MetasdSparsity *sparsity, MetasdTeam *team, const MetasdImage *image)
{
    uint32_t width = sparsity->width, entities = image->plan.entities;

    sparsity->kept = 0;
    memset(sparsity->rows, 0, ((size_t)width + 1) * sizeof(*sparsity->rows));
    memset(sparsity->columns, 0, width * sizeof(*sparsity->columns));
    for (size_t tile = 0; tile < metasd_words(entities); tile++) {
        size_t first = tile * METASD_WORD, left = entities - first;
        size_t n = left < METASD_WORD ? left : METASD_WORD;
        uint32_t kept[METASD_WORD] = {0};

        count_tile(image, tile, n, kept, sparsity->columns);
        for (size_t e = 0; e < n; e++) {
            uint32_t all = kept[e] + count_lists(sparsity, image, (uint32_t)(first + e));

            sparsity->rows[all < width ? all : width]++;
            sparsity->kept += all;
        }
        METASD_TRY(metasd_team_work(team, METASD_WORD * (METASD_FAR_WORK + (size_t)width)));
    }
    qsort(sparsity->columns, width, sizeof(*sparsity->columns), compare_descending);
    return METASD_OK;
}
