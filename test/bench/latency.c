/*
 * latency.c - a question answered by the image of a model, and by a scan of its dense rows.
 *
 *   build/bench/latency [ENTITIES RANK]...
 *   build/bench/latency IMAGE...
 *
 * The best ten tails of (head, relation) at random: by the image's columns and lists, and by
 * the inner products of the same query with all rows as dense float32, four rows at a time with the
 * widest vectors there are, both with the same choice of the ten. Prints processor time: medians,
 * and of the image what 99 of 100 questions take; the two take turns, so that whatever else runs
 * disturbs both. And what a question takes by the image among 32 that are scored together, without
 * the choice.
 *
 * A made-up model (ComplEx, 237 relations, 90 % pruned, int8) keeps its columns as unevenly as
 * aligned pruning makes it; IMAGE is a file of a server (base/pgsql_tmp/pgsql_tmp_metasd_...).
 * Without arguments: a small one.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "core/serve/image.h"
#include "core/math/softmax.h"
#include "core/serve/postings.h"
#include "core/serve/query.h"
#include "core/base/random.h"
#include "core/ranking/rank_counts.h"
#include "core/ranking/topk.h"

#define STREAM 95
#define RELATIONS 237
#define BEST 10
#define QUESTIONS 400
#define BATCH 32
#define FRAME 64 /* bytes before the image in a file */

/* ---- models ---- */

/* A row that keeps column j with probability part[j]; returns how many. */
static size_t
make_row(uint64_t number, const double *part, uint32_t width, uint32_t *positions, int8_t *codes)
{
    size_t kept = 0;

    for (uint32_t j = 0; j < width; j++) {
        uint64_t at = number * width + j;

        if (part[j] > 1e-4 &&
            (double)(metasd_random(1, STREAM, at) >> 11) < part[j] * 9007199254740992.0) {
            positions[kept] = j;
            double code = 40 * metasd_random_normal(2, STREAM, at);

            codes[kept++] = (int8_t)(code < 0 ? fmax(code - 1, -127) : fmin(code + 1, 127));
        }
    }
    return kept;
}

static MetasdSparseRow
row_of(const uint32_t *positions, const int8_t *codes, size_t kept)
{
    return (MetasdSparseRow){
        .positions = positions, .codes = codes, .kept = kept, .most_code = 127, .step = 1.0 / 40};
}

/* What part of the rows keeps each column: MEAN on average, from nearly none to all. */
static double *
uneven_columns(uint32_t width, double mean)
{
    double *part = memory_take_lines(width * sizeof(*part)), scale = 1e-6, sum = 0;

    for (; sum < mean * width; scale *= 1.05) {
        sum = 0;
        for (uint32_t j = 0; j < width; j++) {
            part[j] = scale * exp(5 * metasd_random_normal(3, STREAM, j));
            part[j] = part[j] < 1 ? part[j] : 0.99;
            sum += part[j];
        }
    }
    return part;
}

/* Rows as they are added: those of the entities, then two of each relation. */
static void
fill(MetasdImageWriter *writer, const MetasdImagePlan *plan, const double *part,
     const double *relation_part)
{
    uint32_t *positions = memory_take_lines(2 * plan->width * sizeof(*positions)), w = plan->width;
    int8_t *codes = memory_take_lines(2 * plan->width * sizeof(*codes));
    uint64_t n = plan->entities;
    char label[16];

    for (uint32_t e = 0; e < plan->entities; e++) {
        size_t kept = make_row(e, part, w, positions, codes);

        (void)metasd_image_add_entity(writer, e, label, (size_t)sprintf(label, "%07u", e),
                                      row_of(positions, codes, kept));
    }
    for (uint32_t r = 0; r < plan->relations; r++) {
        size_t kept = make_row(n + 2 * r, relation_part, w, positions, codes);
        size_t more = make_row(n + 2 * r + 1, relation_part, w, positions + w, codes + w);

        (void)metasd_image_add_relation(writer, r, label, (size_t)sprintf(label, "%07u", r),
                                        row_of(positions, codes, kept),
                                        row_of(positions + w, codes + w, more));
    }
    free(positions);
    free(codes);
}

/* An image of a made-up model; *seconds to complete it once its rows are there. */
static MetasdImage
make_model(uint32_t entities, uint32_t rank, size_t *bytes, double *seconds)
{
    uint32_t width = 2 * rank;
    MetasdImagePlan plan = {.family = &metasd_family_complex,
                            .entities = entities,
                            .relations = RELATIONS,
                            .width = width,
                            .entity_label_bytes = 7 * (uint64_t)entities,
                            .relation_label_bytes = 7 * (uint64_t)RELATIONS};
    double *part = uneven_columns(width, 0.1), *relation_part = uneven_columns(width, 0.14);
    uint32_t *positions = memory_take_lines(width * sizeof(*positions));
    uint32_t *counts = memory_take_lines(width * sizeof(*counts));
    int8_t *codes = memory_take_lines(width * sizeof(*codes));
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer;

    memset(counts, 0, width * sizeof(*counts));
    for (uint64_t i = 0; i < entities + 2 * (uint64_t)RELATIONS; i++) {
        size_t kept = make_row(i, i < entities ? part : relation_part, width, positions, codes);

        *(i < entities ? &plan.entity_kept : &plan.relation_kept) += kept;
        for (size_t k = 0; k < kept && i < entities; k++)
            counts[positions[k]]++;
    }
    metasd_image_choose_columns(&plan, METASD_CODES_INT8, counts);
    *bytes = metasd_image_bytes(&plan);
    (void)metasd_image_begin(&writer, &plan, counts, memory_take_lines(*bytes));
    fill(&writer, &plan, part, relation_part);
    *seconds = clock_own();
    if (metasd_image_finish(&writer, &team) != METASD_OK) {
        fprintf(stderr, "latency: could not build an image\n");
        exit(1);
    }
    *seconds = clock_own() - *seconds;
    free(part);
    free(relation_part);
    free(positions);
    free(counts);
    free(codes);
    return writer.image;
}

static MetasdImage
read_image(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    MetasdTeam team = metasd_team_of_one();
    MetasdImage index;
    char *memory;
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) <= FRAME ||
        fseek(file, FRAME, SEEK_SET) != 0) {
        perror(path);
        exit(1);
    }
    *bytes = (size_t)size - FRAME;
    memory = memory_take_lines(*bytes);
    if (fread(memory, 1, *bytes, file) != *bytes ||
        metasd_image_open(memory, *bytes, &team, &index) != METASD_OK) {
        fprintf(stderr, "latency: \"%s\" is not an image of this version\n", path);
        exit(1);
    }
    fclose(file);
    return index;
}

/* ---- the dense scan ---- */

/* scores[n] = <query, every row>; width is even. */
METASD_VECTORISE static void
scan(size_t n, size_t width, const float *restrict rows, const float *restrict query,
     float *restrict scores)
{
    size_t e = 0;

    for (; e + 4 <= n; e += 4) {
        const float *a = rows + e * width, *b = a + width, *c = b + width, *d = c + width;
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;

#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (size_t j = 0; j < width; j++) {
            s0 += a[j] * query[j];
            s1 += b[j] * query[j];
            s2 += c[j] * query[j];
            s3 += d[j] * query[j];
        }
        memcpy(scores + e, (float[]){s0, s1, s2, s3}, 4 * sizeof(float));
    }
    for (; e < n; e++) {
        float sum = 0;

#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < width; j++)
            sum += rows[e * width + j] * query[j];
        scores[e] = sum;
    }
}

static void
best_ten(uint32_t n, const float *scores, uint32_t *ids, uint32_t *best)
{
    MetasdTopk topk;
    float score;

    metasd_topk_start(&topk, n, scores, ids);
    for (int i = 0; i < BEST; i++)
        if (!metasd_topk_next(&topk, &best[i], &score))
            best[i] = UINT32_MAX;
}

/* ---- measuring ---- */

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* What is asked and answered; n floats each. */
typedef struct Desk {
    const MetasdImage *index;
    float *rows; /* dense */
    void *scratch;
    float *scores, *dense_scores;
    uint32_t *ids;
    double image[QUESTIONS], choice[QUESTIONS], dense[QUESTIONS]; /* seconds */
} Desk;

static void
draw_question(const MetasdImage *index, int i, uint32_t *head, uint32_t *relation)
{
    *head = (uint32_t)metasd_random_below(4, STREAM, (uint64_t)i, index->plan.entities);
    *relation = (uint32_t)metasd_random_below(5, STREAM, (uint64_t)i, index->plan.relations);
}

/*
 * Asks question I both ways; true if the answers are the same, but for what rounding makes equal.
 */
static bool
ask(Desk *desk, int i)
{
    const MetasdImagePlan *plan = &desk->index->plan;
    uint32_t n = plan->entities, w = plan->width, best[BEST], dense_best[BEST];
    uint32_t head, relation;
    double start, scored;
    bool same = true;

    draw_question(desk->index, i, &head, &relation);
    start = clock_own();
    metasd_query_scores_tails(desk->index, head, relation, desk->scores, desk->scratch);
    scored = clock_own();
    best_ten(n, desk->scores, desk->ids, best);
    desk->choice[i] = clock_own() - scored;
    desk->image[i] = clock_own() - start;
    /* the scratch starts with the query */
    start = clock_own();
    scan(n, w, desk->rows, desk->scratch, desk->dense_scores);
    if (desk->scores[head] == METASD_IMPOSSIBLE) /* in this relation to itself */
        desk->dense_scores[head] = METASD_IMPOSSIBLE;
    best_ten(n, desk->dense_scores, desk->ids, dense_best);
    desk->dense[i] = clock_own() - start;
    for (int k = 0; k < BEST && best[k] < n; k++)
        same = same && fabsf(desk->scores[best[k]] - desk->dense_scores[dense_best[k]]) <=
                           1e-4f * (1 + fabsf(desk->scores[best[k]]));
    return same;
}

/* Seconds of a question among BATCH that are scored together: the median of some batches. */
static double
measure_batch(Desk *desk, int batches, int *differ)
{
    const MetasdImagePlan *plan = &desk->index->plan;
    size_t n = plan->entities;
    float *scores = memory_take_lines(BATCH * n * sizeof(float));
    void *scratch = memory_take_lines(metasd_query_batch_bytes(plan->width, BATCH));
    double seconds[QUESTIONS];
    MetasdAsk asks[BATCH];

    for (int b = 0; b < batches; b++) {
        double start;

        for (int i = 0; i < BATCH; i++) {
            uint32_t head, relation;

            draw_question(desk->index, b * BATCH + i, &head, &relation);
            asks[i] = (MetasdAsk){.head = metasd_given(head),
                                  .relation = metasd_given(relation),
                                  .scores = scores + (size_t)i * n};
        }
        start = clock_own();
        metasd_query_scores_tails_of_batch(desk->index, asks, BATCH, scratch);
        seconds[b] = (clock_own() - start) / BATCH;
        for (int i = 0; i < BATCH; i++) {
            metasd_query_scores_tails_of(desk->index, asks[i].head, asks[i].relation, desk->scores,
                                         desk->scratch);
            *differ += memcmp(desk->scores, asks[i].scores, n * sizeof(float)) != 0;
        }
    }
    free(scores);
    free(scratch);
    qsort(seconds, (size_t)batches, sizeof(double), by_size);
    return seconds[batches / 2];
}

static void
measure(const MetasdImage *index, size_t bytes, double seconds)
{
    const MetasdImagePlan *plan = &index->plan;
    size_t n = plan->entities, w = plan->width;
    Desk *desk = memory_take_lines(sizeof(*desk));
    int questions = n * w > 20000000 ? QUESTIONS / 4 : QUESTIONS, half, differ = 0;
    char completed[32] = "-";
    double batch;

    *desk = (Desk){.index = index,
                   .rows = memory_take_lines(n * w * sizeof(float)),
                   .scratch = memory_take_lines(metasd_query_scratch_bytes(plan->width)),
                   .scores = memory_take_lines(n * sizeof(float)),
                   .dense_scores = memory_take_lines(n * sizeof(float)),
                   .ids = memory_take_lines(n * sizeof(uint32_t))};
    for (size_t e = 0; e < n; e++)
        metasd_query_embedding(index, (uint32_t)e, desk->rows + e * w);
    for (int i = 0; i < questions; i++)
        differ += !ask(desk, i);
    batch = measure_batch(desk, questions / BATCH, &differ);
    half = questions / 2;
    qsort(desk->image, (size_t)questions, sizeof(double), by_size);
    qsort(desk->choice, (size_t)questions, sizeof(double), by_size);
    qsort(desk->dense, (size_t)questions, sizeof(double), by_size);
    if (!isnan(seconds)) /* an image from a file has been completed long ago */
        sprintf(completed, "%.1f", seconds * 1e3);
    printf("| %zu | %zu | %u | %.1f | %.1f | %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f |\n", n,
           w / 2, plan->columns, (double)bytes * 1e-6, (double)(n * w) * 4e-6, completed,
           desk->image[half] * 1e6, desk->image[questions * 99 / 100] * 1e6,
           desk->choice[half] * 1e6, batch * 1e6, desk->dense[half] * 1e6,
           desk->dense[half] / desk->image[half]);
    fflush(stdout);
    if (differ > 0) {
        fprintf(stderr, "latency: %d of %d answers differ\n", differ, questions);
        exit(1);
    }
    free(desk->rows);
    free(desk->scratch);
    free(desk->scores);
    free(desk->dense_scores);
    free(desk->ids);
    free(desk);
}

int
main(int argc, char **argv)
{
    static char *small[] = {"", "2000", "50"};
    size_t bytes;

    if (argc < 2) {
        argc = 3;
        argv = small;
    }
    printf("by %s\n\n", metasd_postings_kernels()->name);
    printf(
        "| entities | rank | columns | image, MB | dense rows, MB | completed in, ms | image, us | "
        "99 %% within | of which choice | of a batch, us | dense, us | ratio "
        "|\n|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 1; i < argc; i++) {
        MetasdImage index;
        double seconds = NAN;

        if (i + 1 < argc && isdigit((unsigned char)argv[i][0])) {
            index =
                make_model((uint32_t)atoi(argv[i]), (uint32_t)atoi(argv[i + 1]), &bytes, &seconds);
            i++;
        } else
            index = read_image(argv[i], &bytes);
        measure(&index, bytes, seconds);
    }
    return 0;
}
