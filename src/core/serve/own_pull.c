#include "core/serve/own_pull.h"

#include <math.h>
#include <string.h>

#include "core/serve/query.h"

/* Code 1 is an energy of 2^LEAST; a code more is half a power of two more; 0 is no energy. */
#define LEAST (-64)
#define HALF_STEP 0.70710678118654752 /* a mantissa above it has the next code */

/* Rows of floats: as stored, without the pull, a gradient, a query. */
#define FLOAT_ROWS (2 * METASD_PULL_ROWS + 2)

size_t
metasd_own_pull_bytes(uint32_t width)
{
    return FLOAT_ROWS * width * sizeof(float) + metasd_query_scratch_bytes(width);
}

void
metasd_own_pull_start(MetasdOwnPull *own, const MetasdImage *image, const uint8_t *energies,
                      float step, void *memory)
{
    uint32_t width = image->plan.width;
    float *rows = memory;

    *own = (MetasdOwnPull){.image = image, .energies = energies};
    for (int i = 0; i < METASD_PULL_ROWS; i++, rows += 2 * width) {
        own->stored[i] = rows;
        own->rows[i] = rows + width;
    }
    own->gradient = rows;
    own->query = rows + width;
    own->scratch = rows + 2 * width;
    for (int code = 1; code <= UINT8_MAX; code++)
        own->step[code] = step / (float)sqrt(exp2(LEAST + 0.5 * (code - 1)));
}

/* The number of the reciprocal relation row. */
static uint32_t
reciprocal_of(const MetasdOwnPull *own)
{
    return own->id[1] + own->image->plan.relations;
}

void
metasd_own_pull_read(MetasdOwnPull *own, uint32_t head, uint32_t relation, uint32_t tail)
{
    size_t bytes = own->image->plan.width * sizeof(float);

    own->id[0] = head;
    own->id[1] = relation;
    own->id[2] = tail;
    metasd_query_embedding(own->image, head, own->stored[METASD_PULL_HEAD]);
    metasd_query_embedding(own->image, tail, own->stored[METASD_PULL_TAIL]);
    metasd_query_relation(own->image, relation, own->stored[METASD_PULL_RELATION]);
    metasd_query_relation(own->image, reciprocal_of(own), own->stored[METASD_PULL_RECIPROCAL]);
    for (int i = 0; i < METASD_PULL_ROWS; i++)
        memcpy(own->rows[i], own->stored[i], bytes);
}

/*
 * The gradient of the score of one direction towards a row, 0 in columns that the row prunes. False
 * if that direction does not read the row.
 */
static bool
find_gradient(MetasdOwnPull *own, MetasdPullSides side, MetasdPullRow row)
{
    bool tails = side == METASD_PULL_TAILS;
    const MetasdFamily *family = own->image->plan.family;
    const float *asked = own->stored[tails ? METASD_PULL_HEAD : METASD_PULL_TAIL];
    const float *answer = own->stored[tails ? METASD_PULL_TAIL : METASD_PULL_HEAD];
    const float *relation = own->stored[tails ? METASD_PULL_RELATION : METASD_PULL_RECIPROCAL];
    uint32_t width = own->image->plan.width;

    if (row == (tails ? METASD_PULL_RECIPROCAL : METASD_PULL_RELATION))
        return false;
    memset(own->gradient, 0, width * sizeof(*own->gradient));
    if (own->stored[row] == answer)
        family->compose(width, asked, relation, own->gradient);
    else if (own->stored[row] == asked)
        family->adjoint_head(width, relation, answer, own->gradient);
    else
        family->adjoint_relation(width, asked, answer, own->gradient);
    for (uint32_t j = 0; j < width; j++)
        if (own->stored[row][j] == 0)
            own->gradient[j] = 0;
    return true;
}

void
metasd_own_pull_add_energy(MetasdOwnPull *own, MetasdPullRow row, double *energy)
{
    for (int side = METASD_PULL_TAILS; side <= METASD_PULL_HEADS; side++)
        if (find_gradient(own, (MetasdPullSides)side, row))
            for (uint32_t j = 0; j < own->image->plan.width; j++)
                energy[j] += (double)own->gradient[j] * (double)own->gradient[j];
}

/* Without logarithms, so that all processors agree. */
static uint8_t
encode(double energy)
{
    int exponent, code;
    double mantissa = frexp(energy, &exponent); /* .5 to 1 */

    if (!(energy > 0))
        return 0;
    code = 2 * (exponent - 1 - LEAST) + (mantissa > HALF_STEP) + 1;
    return (uint8_t)(code < 1 ? 1 : code > UINT8_MAX ? UINT8_MAX : code);
}

void
metasd_own_pull_encode(uint32_t width, const double *energy, uint8_t *codes)
{
    for (uint32_t j = 0; j < width; j++)
        codes[j] = encode(energy[j]);
}

static const uint8_t *
energies_of(const MetasdOwnPull *own, MetasdPullRow row)
{
    size_t entities = own->image->plan.entities, number = 0;

    switch (row) {
        case METASD_PULL_HEAD:
            number = own->id[0];
            break;
        case METASD_PULL_TAIL:
            number = own->id[2];
            break;
        case METASD_PULL_RELATION:
            number = entities + own->id[1];
            break;
        default:
            number = entities + reciprocal_of(own);
    }
    return own->energies + number * own->image->plan.width;
}

void
metasd_own_pull_take_out(MetasdOwnPull *own)
{
    for (int row = 0; row < METASD_PULL_ROWS; row++)
        for (int side = METASD_PULL_TAILS; side <= METASD_PULL_HEADS; side++) {
            const uint8_t *codes = energies_of(own, (MetasdPullRow)row);

            if (find_gradient(own, (MetasdPullSides)side, (MetasdPullRow)row))
                for (uint32_t j = 0; j < own->image->plan.width; j++)
                    own->rows[row][j] -= own->step[codes[j]] * own->gradient[j];
        }
}

float
metasd_own_pull_scores(MetasdOwnPull *own, MetasdPullSides side, float *scores)
{
    bool tails = side == METASD_PULL_TAILS;
    uint32_t asked = own->id[tails ? 0 : 2], width = own->image->plan.width;
    const float *answer = own->rows[tails ? METASD_PULL_TAIL : METASD_PULL_HEAD];
    float score = 0;

    own->image->plan.family->compose(
        width, own->rows[tails ? METASD_PULL_HEAD : METASD_PULL_TAIL],
        own->rows[tails ? METASD_PULL_RELATION : METASD_PULL_RECIPROCAL], own->query);
    metasd_query_scores_composed(own->image, own->query, asked,
                                 tails ? own->id[1] : reciprocal_of(own), scores, own->scratch);
    for (uint32_t j = 0; j < width; j++)
        score += own->query[j] * answer[j];
    return score;
}
