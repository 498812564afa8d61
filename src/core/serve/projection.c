#include "core/serve/projection.h"

#include <math.h>
#include <string.h>

#include "core/base/random.h"
#include "core/serve/query.h"

/* Vectors that are iterated: more than the components, so that these converge fast. */
#define VECTORS 8

#define LEAST_SAMPLE 64 /* rows, of any width */
#define MOST_STEPS 40
#define TOLERANCE 1e-5 /* of the variance that the components have */
#define STREAM 1
#define MOST_SWEEPS 30
#define BLOCK 256 /* rows whose sums may be floats */

static uint32_t
sample_size(const MetasdImagePlan *plan)
{
    size_t most = METASD_PROJECTION_FLOATS / (plan->width > 0 ? plan->width : 1);

    if (most < LEAST_SAMPLE)
        most = LEAST_SAMPLE;
    return plan->entities < most ? plan->entities : (uint32_t)most;
}

void
metasd_projection_take(MetasdProjection *projection, MetasdArena *arena,
                       const MetasdImagePlan *plan)
{
    size_t width = plan->width, sample = sample_size(plan), floats, components, vectors;

    if (__builtin_mul_overflow(sample, width, &floats) ||
        __builtin_mul_overflow(width, (size_t)METASD_COMPONENTS, &components) ||
        __builtin_mul_overflow(width, (size_t)VECTORS, &vectors)) {
        arena->overflowed = true;
        return;
    }
    *projection = (MetasdProjection){.width = plan->width,
                                     .sample = (uint32_t)sample,
                                     .mean = METASD_TAKE(arena, float, width),
                                     .axes = METASD_TAKE(arena, float, components),
                                     .rows = METASD_TAKE(arena, float, floats),
                                     .row = METASD_TAKE(arena, float, width),
                                     .basis = METASD_TAKE(arena, float, vectors),
                                     .image_of = METASD_TAKE(arena, float, vectors),
                                     .column = METASD_TAKE(arena, double, vectors)};
}

/* An entity's row at length 1; zeros where it keeps no weight. */
static void
read_row(const MetasdImage *image, uint32_t entity, float *row)
{
    float norm = image->norms[entity];

    metasd_query_embedding(image, entity, row);
    for (uint32_t j = 0; norm > 0 && j < image->plan.width; j++)
        row[j] /= norm;
}

/* Reads the sample, and moves its rows so that their mean is 0. */
static MetasdStatus
read_sample(MetasdProjection *p, MetasdTeam *team, const MetasdImage *image)
{
    size_t width = p->width;

    memset(p->column, 0, width * sizeof(*p->column));
    for (size_t i = 0; i < p->sample; i++) {
        uint64_t entity = (uint64_t)i * image->plan.entities / p->sample;

        read_row(image, (uint32_t)entity, p->rows + i * width);
        for (size_t j = 0; j < width; j++)
            p->column[j] += (double)p->rows[i * width + j];
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK + 4 * width));
    }
    for (size_t j = 0; j < width; j++)
        p->mean[j] = (float)(p->column[j] / (p->sample > 0 ? p->sample : 1));
    for (size_t i = 0; i < p->sample; i++) {
        for (size_t j = 0; j < width; j++) {
            float *weight = &p->rows[i * width + j];

            *weight -= p->mean[j];
            p->total += (double)*weight * (double)*weight;
        }
        METASD_TRY(metasd_team_work(team, 2 * width));
    }
    p->total /= p->sample > 0 ? p->sample : 1;
    return METASD_OK;
}

/* ---- vectors: element j of vector v is at [j x VECTORS + v] ---- */

static double
inner_product(const float *vectors, size_t width, int a, int b)
{
    double sum = 0;

    for (size_t j = 0; j < width; j++)
        sum += (double)vectors[j * VECTORS + a] * (double)vectors[j * VECTORS + b];
    return sum;
}

/*
 * Makes the vectors orthonormal, each by two passes over those before it. One that depends on them
 * becomes 0.
 */
static void
orthonormalize(float *vectors, size_t width)
{
    for (int v = 0; v < VECTORS; v++) {
        double before = sqrt(inner_product(vectors, width, v, v)), length;

        for (int pass = 0; pass < 2; pass++)
            for (int u = 0; u < v; u++) {
                double along = inner_product(vectors, width, u, v);

                for (size_t j = 0; j < width; j++)
                    vectors[j * VECTORS + v] -= (float)(along * (double)vectors[j * VECTORS + u]);
            }
        length = sqrt(inner_product(vectors, width, v, v));
        for (size_t j = 0; j < width; j++)
            vectors[j * VECTORS + v] =
                length > 1e-4 * before ? (float)((double)vectors[j * VECTORS + v] / length) : 0;
    }
}

/* image_of = the covariance of the sample x basis. */
static MetasdStatus
multiply(MetasdProjection *p, MetasdTeam *team)
{
    size_t width = p->width, n = width * VECTORS;

    memset(p->column, 0, n * sizeof(*p->column));
    for (size_t first = 0; first < p->sample; first += BLOCK) {
        size_t end = first + BLOCK < p->sample ? first + BLOCK : p->sample;

        memset(p->image_of, 0, n * sizeof(*p->image_of));
        for (size_t i = first; i < end; i++) {
            const float *row = p->rows + i * width;
            float along[VECTORS] = {0};

            for (size_t j = 0; j < width; j++)
                for (int v = 0; v < VECTORS; v++)
                    along[v] += row[j] * p->basis[j * VECTORS + v];
            for (size_t j = 0; j < width; j++)
                for (int v = 0; v < VECTORS; v++)
                    p->image_of[j * VECTORS + v] += row[j] * along[v];
            METASD_TRY(metasd_team_work(team, 4 * width));
        }
        for (size_t i = 0; i < n; i++)
            p->column[i] += (double)p->image_of[i];
    }
    for (size_t i = 0; i < n; i++)
        p->image_of[i] = (float)(p->column[i] / (p->sample > 0 ? p->sample : 1));
    return METASD_OK;
}

/* ---- the eigenvectors within the subspace ---- */

typedef double Matrix[VECTORS][VECTORS];

/* A rotation that makes a[p][q] of a symmetric matrix 0 (Jacobi 1846); `turn` collects them. */
static void
rotate(Matrix a, Matrix turn, int p, int q)
{
    double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;

    for (int k = 0; k < VECTORS; k++) {
        double x = a[k][p], y = a[k][q];

        a[k][p] = c * x - s * y;
        a[k][q] = s * x + c * y;
    }
    for (int k = 0; k < VECTORS; k++) {
        double x = a[p][k], y = a[q][k];

        a[p][k] = c * x - s * y;
        a[q][k] = s * x + c * y;
    }
    for (int k = 0; k < VECTORS; k++) {
        double x = turn[k][p], y = turn[k][q];

        turn[k][p] = c * x - s * y;
        turn[k][q] = s * x + c * y;
    }
}

/* The columns of `turn` become the eigenvectors of a, whose diagonal becomes the eigenvalues. */
static void
diagonalize(Matrix a, Matrix turn)
{
    double size = 0;

    for (int i = 0; i < VECTORS; i++)
        for (int j = 0; j < VECTORS; j++) {
            turn[i][j] = i == j;
            size += fabs(a[i][j]);
        }
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++)
        for (int p = 0; p < VECTORS; p++)
            for (int q = p + 1; q < VECTORS; q++)
                if (fabs(a[p][q]) > 1e-14 * size)
                    rotate(a, turn, p, q);
}

/* The numbers of the eigenvalues, the largest first. */
static void
sort_eigenvalues(Matrix a, int order[VECTORS])
{
    for (int v = 0; v < VECTORS; v++) {
        int place = v;

        for (; place > 0 && a[order[place - 1]][order[place - 1]] < a[v][v]; place--)
            order[place] = order[place - 1];
        order[place] = v;
    }
}

/*
 * The eigenvalues within the subspace of `basis`, of which `image_of` is the product with the
 * covariance. KEEP: the components are set. Returns the variance that they have.
 */
static double
solve(MetasdProjection *p, bool keep)
{
    Matrix a, turn;
    int order[VECTORS];
    double sum = 0;

    for (int u = 0; u < VECTORS; u++)
        for (int v = u; v < VECTORS; v++) {
            double product = 0;

            for (size_t j = 0; j < p->width; j++)
                product += (double)p->basis[j * VECTORS + u] * (double)p->image_of[j * VECTORS + v];
            a[u][v] = a[v][u] = product;
        }
    diagonalize(a, turn);
    sort_eigenvalues(a, order);
    for (int c = 0; c < METASD_COMPONENTS; c++) {
        double variance = a[order[c]][order[c]];

        sum += variance;
        p->variance[c] = variance > 0 ? variance : 0;
        for (size_t j = 0; keep && j < p->width; j++) {
            double weight = 0;

            for (int v = 0; v < VECTORS; v++)
                weight += (double)p->basis[j * VECTORS + v] * turn[v][order[c]];
            p->axes[(size_t)c * p->width + j] = (float)weight;
        }
    }
    return sum;
}

/* Both directions of an axis are right: this chooses one. */
static void
fix_signs(const MetasdProjection *p)
{
    for (int c = 0; c < METASD_COMPONENTS; c++) {
        float *axis = p->axes + (size_t)c * p->width, largest = 0;

        for (size_t j = 0; j < p->width; j++)
            if (fabsf(axis[j]) > fabsf(largest))
                largest = axis[j];
        for (size_t j = 0; largest < 0 && j < p->width; j++)
            axis[j] = -axis[j];
    }
}

MetasdStatus
metasd_projection_find(MetasdProjection *projection, MetasdTeam *team, const MetasdImage *image)
{
    MetasdProjection *p = projection;
    size_t n = (size_t)p->width * VECTORS;
    double before = -1, now = 0;

    p->total = 0;
    METASD_TRY(read_sample(p, team, image));
    for (size_t i = 0; i < n; i++)
        p->basis[i] = (float)metasd_random_normal(0, STREAM, i);
    for (int step = 0; step < MOST_STEPS && fabs(now - before) > TOLERANCE * fabs(now); step++) {
        before = now;
        orthonormalize(p->basis, p->width);
        METASD_TRY(multiply(p, team));
        now = solve(p, true);
        memcpy(p->basis, p->image_of, n * sizeof(*p->basis));
    }
    fix_signs(p);
    return METASD_OK;
}

void
metasd_projection_place(MetasdProjection *projection, const MetasdImage *image, uint32_t entity,
                        double place[METASD_COMPONENTS])
{
    size_t width = projection->width;

    read_row(image, entity, projection->row);
    for (int c = 0; c < METASD_COMPONENTS; c++) {
        const float *axis = projection->axes + (size_t)c * width;

        place[c] = 0;
        for (size_t j = 0; j < width; j++)
            place[c] += (double)(projection->row[j] - projection->mean[j]) * (double)axis[j];
    }
}
