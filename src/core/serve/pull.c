#include "core/serve/pull.h"

#include <math.h>
#include <string.h>

/* The gradients, two rows of a fact, and a gradient or query. */
#define FLOAT_ROWS (METASD_PULL_ROWS + 3)

size_t
metasd_pull_bytes(uint32_t width)
{
    return FLOAT_ROWS * width * sizeof(float) + metasd_query_scratch_bytes(width);
}

static uint32_t
reciprocal_of(const MetasdImage *image, uint32_t relation)
{
    return relation + image->plan.relations;
}

static void
add_row(uint32_t width, const float *row, float *sum)
{
    for (uint32_t j = 0; j < width; j++)
        sum[j] += row[j];
}

/* Sets a gradient to 0 in the columns that the row prunes. */
static void
mask_row(uint32_t width, const float *row, float *gradient)
{
    for (uint32_t j = 0; j < width; j++)
        if (row[j] == 0)
            gradient[j] = 0;
}

static float
dot(uint32_t width, const float *a, const float *b)
{
    float sum = 0;

    for (uint32_t j = 0; j < width; j++)
        sum += a[j] * b[j];
    return sum;
}

/* ---- rows ---- */

/* The row from elsewhere that an entity of the triple has, or NULL. */
static const float *
find_elsewhere(const MetasdPull *pull, uint32_t entity)
{
    const MetasdGiven *head = &pull->given[METASD_PULL_HEAD];
    const MetasdGiven *tail = &pull->given[METASD_PULL_TAIL];

    return entity == head->id ? head->row : entity == tail->id ? tail->row : NULL;
}

/* The row of an entity, which may be one of the triple's. */
static void
read_entity(const MetasdPull *pull, uint32_t entity, float *weights)
{
    const float *row = find_elsewhere(pull, entity);

    if (row)
        memcpy(weights, row, pull->image->plan.width * sizeof(*weights));
    else
        metasd_query_embedding(pull->image, entity, weights);
}

/* A row of a relation or of its reciprocal, which may be that of the triple. */
static void
read_relation(const MetasdPull *pull, uint32_t relation, bool reciprocal, float *weights)
{
    const MetasdGiven *given =
        &pull->given[reciprocal ? METASD_PULL_RECIPROCAL : METASD_PULL_RELATION];

    if (relation == pull->relation && given->row)
        memcpy(weights, given->row, pull->image->plan.width * sizeof(*weights));
    else
        metasd_query_relation_row(
            pull->image, reciprocal ? reciprocal_of(pull->image, relation) : relation, weights);
}

void
metasd_pull_read_row(const MetasdPull *pull, MetasdPullRow row, float *weights)
{
    if (row == METASD_PULL_HEAD || row == METASD_PULL_TAIL)
        read_entity(pull, pull->given[row].id, weights);
    else
        read_relation(pull, pull->relation, row == METASD_PULL_RECIPROCAL, weights);
}

/* ---- the triple ---- */

/*
 * Adds the gradients of <compose(asked, relation), answer>, the score of one direction, towards the
 * asked entity, the answer and the relation.
 */
static void
add_gradients(MetasdPull *pull, MetasdPullRow asked, MetasdPullRow relation, MetasdPullRow answer,
              float *towards_asked, float *towards_answer, float *towards_relation)
{
    const MetasdFamily *family = pull->image->plan.family;
    uint32_t width = pull->image->plan.width;
    float *row = pull->rows[0], *factor = pull->rows[1];

    metasd_pull_read_row(pull, answer, row);
    metasd_pull_read_row(pull, relation, factor);
    family->adjoint_head(width, factor, row, towards_asked);
    metasd_pull_read_row(pull, asked, factor);
    family->adjoint_relation(width, factor, row, towards_relation);
    metasd_pull_read_row(pull, relation, row);
    family->compose(width, factor, row, pull->gradient);
    add_row(width, pull->gradient, towards_answer);
}

/* Adds the gradients of the triple, in the directions of SIDES. */
static void
add_triple(MetasdPull *pull, MetasdPullSides sides)
{
    float **towards = pull->towards;
    bool loop = pull->head == pull->tail;
    float *tail = towards[loop ? METASD_PULL_HEAD : METASD_PULL_TAIL];

    if (sides & METASD_PULL_TAILS)
        add_gradients(pull, METASD_PULL_HEAD, METASD_PULL_RELATION, METASD_PULL_TAIL,
                      towards[METASD_PULL_HEAD], tail, towards[METASD_PULL_RELATION]);
    if (sides & METASD_PULL_HEADS)
        add_gradients(pull, METASD_PULL_TAIL, METASD_PULL_RECIPROCAL, METASD_PULL_HEAD, tail,
                      towards[METASD_PULL_HEAD], towards[METASD_PULL_RECIPROCAL]);
}

void
metasd_pull_start(MetasdPull *pull, const MetasdImage *image,
                  const MetasdGiven given[METASD_PULL_ROWS], MetasdPullSides sides, void *memory)
{
    uint32_t width = image->plan.width;
    float *rows = memory;

    *pull = (MetasdPull){.image = image,
                         .head = given[METASD_PULL_HEAD].id,
                         .relation = given[METASD_PULL_RELATION].id,
                         .tail = given[METASD_PULL_TAIL].id};
    memcpy(pull->given, given, sizeof(pull->given));
    for (int i = 0; i < METASD_PULL_ROWS; i++, rows += width)
        pull->towards[i] = rows;
    memset(memory, 0, METASD_PULL_ROWS * width * sizeof(*rows));
    for (int i = 0; i < 2; i++, rows += width)
        pull->rows[i] = rows;
    pull->gradient = rows;
    pull->scratch = rows + width;
    add_triple(pull, sides);
    for (int i = 0; i < METASD_PULL_ROWS; i++) {
        metasd_pull_read_row(pull, (MetasdPullRow)i, pull->rows[0]);
        mask_row(width, pull->rows[0], pull->towards[i]);
    }
}

void
metasd_pull_center(MetasdPull *pull, const float *rival, const float *mean)
{
    const MetasdFamily *family = pull->image->plan.family;
    uint32_t width = pull->image->plan.width;
    float *row = pull->rows[0], *factor = pull->rows[1];
    const MetasdPullRow rows[2] = {METASD_PULL_HEAD, METASD_PULL_RELATION};

    pull->mean = mean;
    for (int i = 0; i < 2; i++) {
        memset(pull->gradient, 0, width * sizeof(*pull->gradient));
        if (rows[i] == METASD_PULL_HEAD) {
            metasd_pull_read_row(pull, METASD_PULL_RELATION, factor);
            family->adjoint_head(width, factor, rival, pull->gradient);
        } else {
            metasd_pull_read_row(pull, METASD_PULL_HEAD, factor);
            family->adjoint_relation(width, factor, rival, pull->gradient);
        }
        metasd_pull_read_row(pull, rows[i], row);
        mask_row(width, row, pull->gradient);
        for (uint32_t j = 0; j < width; j++)
            pull->towards[rows[i]][j] -= pull->gradient[j];
    }
}

/* ---- facts ---- */

/*
 * Sets the query to the sum of two: ASKED composed with a relation row, for facts whose others are
 * answers, and the adjoint of the other row at ANSWER, for facts whose others are asked; NULL:
 * these do not count. Returns what the mean answer has of the first.
 */
static float
join_queries(MetasdPull *pull, const float *asked, const float *by, const float *answer,
             const float *by_other)
{
    const MetasdFamily *family = pull->image->plan.family;
    uint32_t width = pull->image->plan.width;
    float common;

    family->compose(width, asked, by, pull->gradient);
    common = pull->mean ? dot(width, pull->gradient, pull->mean) : 0;
    if (answer)
        family->adjoint_head(width, by_other, answer, pull->gradient);
    return common;
}

/* The products of the query with others that may be of the triple, so from elsewhere. */
static void
multiply(MetasdPull *pull, const uint32_t *others, size_t n, float common, float *pulls)
{
    size_t first = 0; /* of those that wait for one query of the image */

    for (size_t i = 0; i <= n; i++) {
        const float *elsewhere = i < n ? find_elsewhere(pull, others[i]) : NULL;

        if (i < n && !elsewhere)
            continue;
        if (i > first)
            metasd_query_products(pull->image, pull->gradient, others + first, i - first,
                                  pulls + first, pull->scratch);
        if (elsewhere)
            pulls[i] = dot(pull->image->plan.width, pull->gradient, elsewhere);
        first = i + 1;
    }
    for (size_t i = 0; i < n; i++)
        pulls[i] -= common;
}

/*
 * The gradient of a fact towards the shared entity is linear in its other entity. So one query, the
 * adjoint of that at the triple's gradient, gives the pulls of all facts of the relation. As a
 * fact's head the entity is asked for tails by the relation, and is an answer by the reciprocal.
 */
static float
query_entity(MetasdPull *pull, MetasdPullRow row, uint32_t relation, bool is_head)
{
    const float *towards = pull->towards[row];

    read_relation(pull, relation, !is_head, pull->rows[0]);
    read_relation(pull, relation, is_head, pull->rows[1]);
    return join_queries(pull, towards, pull->rows[0], pull->given[row].row ? NULL : towards,
                        pull->rows[1]);
}

void
metasd_pull_entity(MetasdPull *pull, MetasdPullRow row, uint32_t relation, bool is_head,
                   const uint32_t *others, size_t n, float *pulls)
{
    float common = query_entity(pull, row, relation, is_head);

    multiply(pull, others, n, common, pulls);
}

float
metasd_pull_reach(MetasdPull *pull, MetasdPullRow row, uint32_t relation, bool is_head)
{
    (void)query_entity(pull, row, relation, is_head);
    return sqrtf(dot(pull->image->plan.width, pull->gradient, pull->gradient));
}

/*
 * The entity is an answer of its facts if it is their tail, so that against the mean of all it
 * stands less the mean; if it is their head, others are.
 */
static const float *
read_answer(MetasdPull *pull, bool is_head)
{
    if (!pull->mean || is_head)
        return pull->rows[0];
    for (uint32_t j = 0; j < pull->image->plan.width; j++)
        pull->rows[1][j] = pull->rows[0][j] - pull->mean[j];
    return pull->rows[1];
}

void
metasd_pull_relation(MetasdPull *pull, uint32_t entity, bool is_head, const uint32_t *others,
                     size_t n, float *pulls)
{
    const float *forward = pull->towards[METASD_PULL_RELATION];
    const float *reciprocal = pull->towards[METASD_PULL_RECIPROCAL];
    float common;

    read_entity(pull, entity, pull->rows[0]);
    common = join_queries(pull, pull->rows[0], is_head ? forward : reciprocal,
                          read_answer(pull, is_head), is_head ? reciprocal : forward);
    multiply(pull, others, n, common, pulls);
}
