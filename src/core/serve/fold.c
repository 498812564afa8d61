#include "core/serve/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exp.h"
#include "core/base/simd.h"
#include "core/serve/query.h"

/* Entities of a sample. */
#define SAMPLE 128
#define RUN 4

/* Steps at most, and products of weights that all of them together may take: 1 ms. */
#define MOST_STEPS 8
#define MOST_WORK 1e7

/* Of Adagrad: weights of a row are around 0.2. */
#define LEARNING_RATE 0.05f

/* The prior of a weight: its variance is 1. */
#define PRECISION 1.0f

/* Floats that are summed side by side, so that the order of a sum is that of no instruction set. */
#define LANES ((size_t)16)

/* ---- vectors of `stride` floats ---- */

METASD_VECTORISE static void
score_rows(size_t n, size_t stride, const float *restrict rows, const float *restrict query,
           float *restrict scores)
{
    for (size_t i = 0; i < n; i++) {
        const float *restrict row = rows + i * stride;
        float lane[LANES] = {0}, sum = 0;

        for (size_t j = 0; j < stride; j += LANES)
            for (size_t l = 0; l < LANES; l++)
                lane[l] += row[j + l] * query[j + l];
        for (size_t l = 0; l < LANES; l++)
            sum += lane[l];
        scores[i] = sum;
    }
}

/* sum += the weighted rows; weights that make no difference are 0. */
METASD_VECTORISE static void
add_rows(size_t n, size_t stride, const float *restrict rows, const float *restrict weights,
         float *restrict sum)
{
    for (size_t i = 0; i < n; i++) {
        const float *restrict row = rows + i * stride;
        float weight = weights[i];

        if (weight == 0)
            continue;
        for (size_t j = 0; j < stride; j++)
            sum[j] += weight * row[j];
    }
}

METASD_VECTORISE static void
descend(size_t stride, const float *restrict gradient, float *restrict sums, float *restrict row)
{
    for (size_t j = 0; j < stride; j++) {
        float g = gradient[j] + PRECISION * row[j];

        sums[j] += g * g;
        row[j] -= LEARNING_RATE * g / sqrtf(sums[j] + 1e-10f);
    }
}

static double
norm_of(size_t width, const float *row)
{
    double sum = 0;

    for (size_t j = 0; j < width; j++)
        sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

/* ---- the sample ---- */

void
metasd_fold_sample_take(MetasdArena *arena, const MetasdImage *image, MetasdFoldSample *sample)
{
    const MetasdImagePlan *plan = &image->plan;
    size_t stride = ((size_t)plan->width + LANES - 1) / LANES * LANES;
    uint32_t count = plan->entities < SAMPLE ? plan->entities : SAMPLE;

    *sample = (MetasdFoldSample){.count = count,
                                 .stride = stride,
                                 .rows = METASD_TAKE(arena, float, count *stride),
                                 .mean = METASD_TAKE(arena, float, stride),
                                 .variance = METASD_TAKE(arena, float, stride)};
}

/* Number i of n at equal distances among `all`. */
static uint32_t
pick(uint32_t i, uint32_t n, uint32_t all)
{
    return (uint32_t)((uint64_t)i * all / n);
}

/*
 * Entity i of the sample. Of many, always RUN come from the same tile of columns: to read one of
 * them brings the others into a cache.
 */
static uint32_t
pick_entity(uint32_t i, uint32_t all)
{
    uint32_t tiles = all / METASD_WORD;

    if (tiles < SAMPLE / RUN)
        return pick(i, all < SAMPLE ? all : SAMPLE, all);
    return pick(i / RUN, SAMPLE / RUN, tiles) * (uint32_t)METASD_WORD +
           i % RUN * ((uint32_t)METASD_WORD / RUN);
}

/* Mean norm of the relation rows, or of some; in the order of their numbers. */
static MetasdStatus
find_relation_norm(const MetasdImage *image, MetasdTeam *team, float *row, double *norm)
{
    uint32_t all = 2 * image->plan.relations, n = all < SAMPLE ? all : SAMPLE;

    *norm = 0;
    for (uint32_t i = 0; i < n; i++) {
        metasd_query_relation_row(image, pick(i, n, all), row);
        *norm += norm_of(image->plan.width, row) / n;
        METASD_TRY(metasd_team_work(team, image->plan.width));
    }
    return METASD_OK;
}

MetasdStatus
metasd_fold_sample_fill(const MetasdImage *image, MetasdTeam *team, MetasdFoldSample *sample)
{
    size_t stride = sample->stride, width = image->plan.width;
    float part = 1.0f / (float)sample->count;

    METASD_TRY(find_relation_norm(image, team, sample->mean, &sample->norm[METASD_FOLD_RELATION]));
    memset(sample->rows, 0, sample->count * stride * sizeof(float));
    memset(sample->mean, 0, stride * sizeof(float));
    memset(sample->variance, 0, stride * sizeof(float));
    for (uint32_t i = 0; i < sample->count; i++) {
        uint32_t e = pick_entity(i, image->plan.entities);
        float *row = sample->rows + i * stride;

        metasd_query_embedding(image, e, row);
        add_rows(1, stride, row, &part, sample->mean);
        sample->norm[METASD_FOLD_ENTITY] += (double)image->norms[e] / sample->count;
        METASD_TRY(metasd_team_work(team, 4 * width));
    }
    for (uint32_t i = 0; i < sample->count; i++)
        for (size_t j = 0; j < width; j++) {
            float d = sample->rows[i * stride + j] - sample->mean[j];

            sample->variance[j] += part * d * d;
        }
    return metasd_team_work(team, sample->count * width);
}

/* ---- the facts of a row ---- */

/* One row that is being folded. */
typedef struct Work {
    const MetasdImage *image;
    const MetasdFoldSample *sample;
    MetasdFoldKind kind;
    MetasdTeam *team;
    const MetasdFold *fold;
    size_t groups;
} Work;

void
metasd_fold_take(MetasdArena *arena, const MetasdFoldSample *sample, size_t capacity,
                 MetasdFold *fold)
{
    size_t stride = sample->stride, floats;

    if (__builtin_mul_overflow(capacity, stride, &floats))
        floats = SIZE_MAX; /* overflows the arena */
    *fold = (MetasdFold){.capacity = capacity,
                         .answers = METASD_TAKE(arena, float, floats),
                         .given = METASD_TAKE(arena, float, floats),
                         .start = METASD_TAKE(arena, size_t, capacity + 1),
                         .scores = METASD_TAKE(arena, float, sample->count + capacity),
                         .query = METASD_TAKE(arena, float, stride),
                         .dquery = METASD_TAKE(arena, float, stride),
                         .gradient = METASD_TAKE(arena, float, stride),
                         .sums = METASD_TAKE(arena, float, stride),
                         .row = METASD_TAKE(arena, float, stride)};
}

static int
compare_facts(const void *a, const void *b)
{
    const MetasdFoldFact *x = a, *y = b;

    if (x->given != y->given)
        return x->given < y->given ? -1 : 1;
    return x->answer < y->answer ? -1 : x->answer > y->answer;
}

size_t
metasd_fold_sort(MetasdFoldFact *facts, size_t n)
{
    size_t count = 0;

    qsort(facts, n, sizeof(*facts), compare_facts);
    for (size_t i = 0; i < n; i++)
        if (count == 0 || compare_facts(&facts[i], &facts[count - 1]) != 0)
            facts[count++] = facts[i];
    return count;
}

/* Reads the rows of all facts, by groups. */
static MetasdStatus
read_facts(Work *work, const MetasdFoldFact *facts, size_t n)
{
    const MetasdFold *fold = work->fold;
    size_t stride = work->sample->stride, width = work->image->plan.width;

    memset(fold->answers, 0, n * stride * sizeof(float));
    memset(fold->given, 0, n * stride * sizeof(float));
    work->groups = 0;
    for (size_t i = 0; i < n; i++) {
        metasd_query_embedding(work->image, facts[i].answer, fold->answers + i * stride);
        if (i == 0 || facts[i].given != facts[i - 1].given) {
            float *given = fold->given + work->groups * stride;

            if (work->kind == METASD_FOLD_ENTITY)
                metasd_query_relation_row(work->image, facts[i].given, given);
            else
                metasd_query_embedding(work->image, facts[i].given, given);
            fold->start[work->groups++] = i;
        }
        METASD_TRY(metasd_team_work(work->team, 4 * width));
    }
    fold->start[work->groups] = n;
    return METASD_OK;
}

static void
compose(const Work *work, const float *given)
{
    const MetasdFamily *family = work->image->plan.family;
    const MetasdFold *fold = work->fold;

    if (work->kind == METASD_FOLD_ENTITY)
        family->compose(work->image->plan.width, fold->row, given, fold->query);
    else
        family->compose(work->image->plan.width, given, fold->row, fold->query);
}

/* out += the gradient of <query, dquery> towards the row. */
static void
carry_back(const Work *work, const float *given, float *out)
{
    const MetasdFamily *family = work->image->plan.family;
    const float *dquery = work->fold->dquery;

    if (work->kind == METASD_FOLD_ENTITY)
        family->adjoint_head(work->image->plan.width, given, dquery, out);
    else
        family->adjoint_relation(work->image->plan.width, given, dquery, out);
}

/* ---- the start ---- */

/* curvature[j] += facts x |given component|^2 x the variance of the entities there. */
static void
add_curvature(const Work *work, const float *given, float facts, float *curvature)
{
    size_t reals = work->image->plan.family->reals_per_rank, rank = work->image->plan.width / reals;

    for (size_t j = 0; j < rank; j++) {
        float modulus2 = 0, variance = 0;

        for (size_t part = 0; part < reals; part++) {
            float x = given[part * rank + j];

            modulus2 += x * x;
            variance += work->sample->variance[part * rank + j];
        }
        for (size_t part = 0; part < reals; part++)
            curvature[part * rank + j] += facts * modulus2 * variance / (float)reals;
    }
}

/* The linear discriminant; a prior as wide as the mean curvature keeps rare weights small. */
static void
start_row(const Work *work)
{
    const MetasdFold *fold = work->fold;
    size_t stride = work->sample->stride, width = work->image->plan.width;
    float *row = fold->row, *curvature = fold->sums, mean = 0;
    const float one = 1;
    double norm;

    memset(row, 0, stride * sizeof(float));
    memset(curvature, 0, stride * sizeof(float));
    for (size_t g = 0; g < work->groups; g++) {
        const float *given = fold->given + g * stride;
        size_t first = fold->start[g], n = fold->start[g + 1] - first;

        for (size_t j = 0; j < stride; j++)
            fold->dquery[j] = -(float)n * work->sample->mean[j];
        for (size_t i = 0; i < n; i++)
            add_rows(1, stride, fold->answers + (first + i) * stride, &one, fold->dquery);
        carry_back(work, given, row);
        add_curvature(work, given, (float)n, curvature);
    }
    for (size_t j = 0; j < width; j++)
        mean += curvature[j] / (float)width;
    for (size_t j = 0; j < width && mean > 0; j++)
        row[j] /= curvature[j] + mean;
    norm = norm_of(width, row);
    for (size_t j = 0; j < width && norm > 0; j++)
        row[j] = (float)((double)row[j] * (work->sample->norm[work->kind] / norm));
}

/* ---- steps ---- */

/* Makes scores the softmax of a group of COUNT facts, times COUNT; of all that are scored. */
static void
make_softmax(const Work *work, size_t count, size_t scored)
{
    uint32_t sample = work->sample->count;
    float *scores = work->fold->scores, top = scores[0];
    float each =
        (float)work->image->plan.entities / (float)sample; /* entities that one stands for */
    double sum = 0;

    for (size_t i = 1; i < scored; i++)
        top = scores[i] > top ? scores[i] : top;
    for (size_t i = 0; i < scored; i++) {
        scores[i] = metasd_exp_small(scores[i] - top) * (i < sample ? each : 1.0f);
        sum += (double)scores[i];
    }
    for (size_t i = 0; i < scored; i++) {
        scores[i] *= (float)((double)count / sum);
        if (scores[i] < 1e-6f)
            scores[i] = 0;
    }
}

/* Adds the gradient of group G: the softmax's expectation less the answers, carried back. */
static MetasdStatus
add_group(const Work *work, size_t g)
{
    const MetasdFold *fold = work->fold;
    const MetasdFoldSample *sample = work->sample;
    size_t stride = sample->stride, first = fold->start[g], n = fold->start[g + 1] - first;
    const float *answers = fold->answers + first * stride;
    bool whole = sample->count == work->image->plan.entities; /* the answers are in the sample */
    float *scores = fold->scores;

    compose(work, fold->given + g * stride);
    score_rows(sample->count, stride, sample->rows, fold->query, scores);
    if (!whole)
        score_rows(n, stride, answers, fold->query, scores + sample->count);
    make_softmax(work, n, sample->count + (whole ? 0 : n));
    memset(fold->dquery, 0, stride * sizeof(float));
    add_rows(sample->count, stride, sample->rows, scores, fold->dquery);
    for (size_t i = 0; i < n; i++)
        scores[sample->count + i] = (whole ? 0 : scores[sample->count + i]) - 1;
    add_rows(n, stride, answers, scores + sample->count, fold->dquery);
    carry_back(work, fold->given + g * stride, fold->gradient);
    return metasd_team_work(work->team, (sample->count + n) * stride);
}

static size_t
count_steps(const Work *work)
{
    double each = (double)work->groups * (double)work->sample->count * (double)work->sample->stride;
    double steps = MOST_WORK / each;

    return steps < 1 ? 1 : steps > MOST_STEPS ? MOST_STEPS : (size_t)steps;
}

static MetasdStatus
take_steps(const Work *work)
{
    const MetasdFold *fold = work->fold;
    size_t stride = work->sample->stride, steps = count_steps(work);

    memset(fold->sums, 0, stride * sizeof(float));
    memset(fold->query, 0, stride * sizeof(float));
    for (size_t s = 0; s < steps; s++) {
        memset(fold->gradient, 0, stride * sizeof(float));
        for (size_t g = 0; g < work->groups; g++)
            METASD_TRY(add_group(work, g));
        descend(stride, fold->gradient, fold->sums, fold->row);
    }
    return METASD_OK;
}

MetasdStatus
metasd_fold(const MetasdImage *image, const MetasdFoldSample *sample, MetasdFoldKind kind,
            const MetasdFoldFact *facts, size_t n, const MetasdFold *fold, MetasdTeam *team,
            float *row)
{
    Work work = {.image = image, .sample = sample, .kind = kind, .team = team, .fold = fold};
    size_t width = image->plan.width;

    if (n == 0 || n > fold->capacity)
        return METASD_INVALID;
    METASD_TRY(read_facts(&work, facts, n));
    start_row(&work);
    METASD_TRY(take_steps(&work));
    for (size_t j = 0; j < width; j++)
        if (!(fabsf(fold->row[j]) <= METASD_IMAGE_MAX_WEIGHT))
            return METASD_NON_FINITE;
    memcpy(row, fold->row, width * sizeof(*row));
    return METASD_OK;
}
