/*
 * search.c - questions to an image of many entities: answered exactly, and from a few clusters.
 *
 *   build/bench/search [KIND ENTITIES RANK [CLUSTERS]]
 *   build/bench/search rows KIND ENTITIES RANK
 *
 * The second form prints the rows of the entities, for scale.sh. KIND is the made-up model: "flat"
 * rows have no structure and one norm, which is the worst case for every index; "random" rows have
 * no structure either, but norms; "groups" are 200 entities each around a center; "aligned" are
 * groups whose weights are in the same columns, as pruning "aligned" leaves them. Half of the
 * weights are kept, and norms follow a power law. A question is a point near a group; of rows
 * without groups, an entity with a relation.
 *
 * Prints bytes an entity, the time to make the clusters, and for each number of entities to score
 * the processor time of a question (median, 99 of 100 within), recall@10 and how far the log odds
 * of the first answer are from those of all entities (median). Times are those of scores, the
 * choice of ten and the sum of exponentials.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "core/base/exp.h"
#include "core/base/random.h"
#include "core/ranking/topk.h"
#include "core/serve/clusters.h"
#include "core/serve/image.h"
#include "core/serve/query.h"
#include "core/serve/search.h"

#define STREAM 96
#define RELATIONS 50
#define GROUP 200
#define BEST 10
#define QUESTIONS 60
#define LABEL 8

typedef enum Kind { FLAT, RANDOM, GROUPS, ALIGNED } Kind;

static void
check(MetasdStatus status, const char *what)
{
    if (status != METASD_OK) {
        fprintf(stderr, "search: could not %s\n", what);
        exit(1);
    }
}

/* ---- made-up models ---- */

typedef struct Model {
    Kind kind;
    uint32_t entities, rank;
    uint32_t *positions;
    int8_t *codes;
} Model;

/* COUNT bytes at random, by position. */
static void
fill_bytes(uint64_t seed, uint64_t number, int8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word = metasd_random(seed, STREAM, number * 4096 + i);

        memcpy(bytes + i, &word, count - i < 8 ? count - i : 8);
    }
}

/* The group's center, or zeros: 2 rank weights. */
static void
make_center(const Model *model, uint64_t group, int8_t *center)
{
    memset(center, 0, 2 * (size_t)model->rank);
    if (model->kind > RANDOM)
        fill_bytes(1, group, center, 2 * (size_t)model->rank);
}

/* Is complex number J of a row kept? Half of them on average. */
static bool
is_kept(const Model *model, uint64_t number, uint32_t j)
{
    uint64_t draw = metasd_random(2, STREAM, number * 4096 + j) >> 32;
    double part = model->kind != ALIGNED ? 0.5 : j % 2 ? 0.97 : 0.03;

    return (double)draw < part * 4294967296.0;
}

/* Row NUMBER; entities have norms by a power law. */
static MetasdSparseRow
make_row(const Model *model, uint64_t number, bool relation)
{
    static int8_t center[8192], noise[8192];
    uint32_t rank = model->rank, kept = 0;
    double draw = ((double)(metasd_random(3, STREAM, number) >> 11) + 1) / 9007199254740993.0;
    double size = relation || model->kind == FLAT ? 1 : fmin(0.3 * pow(draw, -0.35), 3);

    make_center(model, relation ? 0 : number / GROUP, center);
    fill_bytes(4, number, noise, 2 * (size_t)rank);
    for (uint32_t j = 0; j < 2 * rank; j++) {
        int code = (center[j] * 10 + noise[j] * 6) / 16;

        if (!is_kept(model, number, j % rank))
            continue;
        model->positions[kept] = j;
        model->codes[kept++] = (int8_t)(code == 0 ? 1 : code < -127 ? -127 : code);
    }
    return (MetasdSparseRow){.kept = kept,
                             .positions = model->positions,
                             .codes = model->codes,
                             .most_code = 127,
                             .step = size / 64 * sqrt(8.0 / rank)};
}

static void
add_label_and_row(MetasdImageWriter *writer, const Model *model, uint32_t e)
{
    char label[16];

    snprintf(label, sizeof(label), "%08u", e);
    check(metasd_image_add_entity(writer, e, label, LABEL, make_row(model, e, false)),
          "add an entity");
}

static MetasdImagePlan
plan_model(const Model *model, uint32_t clusters, uint32_t *counts)
{
    MetasdImagePlan plan = {.family = &metasd_family_complex,
                            .entities = model->entities,
                            .relations = RELATIONS,
                            .width = 2 * model->rank,
                            .entity_label_bytes = LABEL * (uint64_t)model->entities,
                            .relation_label_bytes = LABEL * (uint64_t)RELATIONS};

    for (uint64_t e = 0; e < model->entities; e++)
        for (uint32_t j = 0; j < model->rank; j++)
            if (is_kept(model, e, j)) {
                counts[j]++;
                counts[j + model->rank]++;
                plan.entity_kept += 2;
            }
    for (uint64_t r = 0; r < RELATIONS; r++)
        plan.relation_kept += make_row(model, UINT32_MAX + r, true).kept;
    plan.relation_kept *= 2;
    metasd_image_choose_columns(&plan, METASD_CODES_INT8, counts);
    plan.clusters = clusters;
    return plan;
}

static MetasdImage
make_image(Model *model, uint32_t clusters, size_t *bytes, double *seconds)
{
    uint32_t width = 2 * model->rank, *counts = calloc(width, sizeof(*counts));
    MetasdImagePlan plan;
    MetasdTeam team = metasd_team_of_one();
    MetasdImageWriter writer;
    void *memory;

    model->positions = memory_take_lines(width * sizeof(uint32_t));
    model->codes = memory_take_lines(width);
    plan = plan_model(model, clusters, counts);
    *bytes = metasd_image_bytes(&plan);
    check(metasd_image_begin(&writer, &plan, counts, memory_take_lines(*bytes)), "begin an image");
    for (uint32_t e = 0; e < model->entities; e++)
        add_label_and_row(&writer, model, e);
    for (uint32_t r = 0; r < RELATIONS; r++) {
        MetasdSparseRow row = make_row(model, UINT32_MAX + (uint64_t)r, true);
        char label[16];

        snprintf(label, sizeof(label), "%08u", r);
        check(metasd_image_add_relation(&writer, r, label, LABEL, row, row), "add a relation");
    }
    memory = memory_take_lines(metasd_clusters_bytes(&plan));
    *seconds = clock_own();
    check(metasd_clusters_make(&writer.image, memory, &team), "make clusters");
    *seconds = clock_own() - *seconds;
    free(memory);
    check(metasd_image_finish(&writer, &team), "finish the image");
    free(counts);
    return writer.image;
}

/* ---- questions ---- */

typedef struct Desk {
    const MetasdImage *image;
    const Model *model;
    float *head, *relation; /* rows */
    float *scores, *found;  /* of all entities, and of those visited */
    uint32_t *ids, *found_ids;
    void *scratch, *memory;
    double seconds[QUESTIONS], odds[QUESTIONS];
    float best[QUESTIONS][BEST];
    double sums[QUESTIONS]; /* the logarithm of the sum of exponentials of all scores */
} Desk;

/* What question I gives: a point near a group, as a head with a relation that changes nothing. */
static void
pose(const Desk *desk, int i, MetasdGiven *head, MetasdGiven *relation)
{
    uint32_t rank = desk->model->rank, n = desk->model->entities;
    uint32_t entity = (uint32_t)metasd_random_below(5, STREAM, (uint64_t)i, n);
    static int8_t center[8192], noise[8192];

    if (desk->model->kind <= RANDOM) {
        *head = metasd_given(entity);
        *relation = metasd_given((uint32_t)i % RELATIONS);
        return;
    }
    make_center(desk->model, entity / GROUP, center);
    fill_bytes(6, (uint64_t)i, noise, 2 * (size_t)rank);
    for (uint32_t j = 0; j < 2 * rank; j++) {
        desk->head[j] = is_kept(desk->model, (uint64_t)n + (uint64_t)i, j % rank)
                            ? (float)(center[j] * 10 + noise[j] * 6) / 1024
                            : 0;
        desk->relation[j] = j < rank ? 1 : 0;
    }
    *head = (MetasdGiven){.row = desk->head};
    *relation = (MetasdGiven){.row = desk->relation};
}

static void
take_best(uint32_t n, const float *scores, uint32_t *ids, float best[BEST])
{
    MetasdTopk topk;
    uint32_t id;

    metasd_topk_start(&topk, n, scores, ids);
    for (int k = 0; k < BEST; k++)
        if (!metasd_topk_next(&topk, &id, &best[k]))
            best[k] = -INFINITY;
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
quantile(double *values, double part)
{
    qsort(values, QUESTIONS, sizeof(*values), by_size);
    return values[(int)(part * (QUESTIONS - 1) + 0.5)];
}

static void
ask_exactly(Desk *desk)
{
    uint32_t n = desk->model->entities;
    MetasdGiven head, relation;
    double part[2] = {0};

    for (int i = 0; i < QUESTIONS; i++) {
        double start, scored;

        pose(desk, i, &head, &relation);
        start = clock_own();
        metasd_query_scores_tails_of(desk->image, head, relation, desk->scores, desk->scratch);
        scored = clock_own();
        take_best(n, desk->scores, desk->ids, desk->best[i]);
        part[0] += clock_own() - scored;
        scored = clock_own();
        desk->sums[i] =
            (double)desk->best[i][0] + log(metasd_exp_sum(n, desk->scores, desk->best[i][0]));
        part[1] += clock_own() - scored;
        desk->seconds[i] = clock_own() - start;
    }
    printf("| all | %u | %.2f | %.2f | 1 | 0 | choice %.2f ms, sum %.2f ms\n", n,
           quantile(desk->seconds, 0.5) * 1e3, quantile(desk->seconds, 0.99) * 1e3,
           part[0] / QUESTIONS * 1e3, part[1] / QUESTIONS * 1e3);
    fflush(stdout);
}

static void
ask_clusters(Desk *desk, uint32_t most)
{
    MetasdGiven head, relation;
    MetasdSearch search;
    double recall = 0, scored = 0;

    metasd_search_start(&search, desk->image, desk->memory);
    for (int i = 0; i < QUESTIONS; i++) {
        float best[BEST];
        uint32_t n;
        double start, sum;

        pose(desk, i, &head, &relation);
        start = clock_own();
        (void)metasd_search_tails_of(&search, head, relation, most);
        n = metasd_search_scores(&search, desk->found, desk->found_ids);
        take_best(n, desk->found, desk->ids, best);
        sum = (double)best[0] +
              log(metasd_exp_sum(n, desk->found, best[0]) + metasd_search_rest(&search, best[0]));
        desk->seconds[i] = clock_own() - start;
        desk->odds[i] = fabs(sum - desk->sums[i]);
        scored += n;
        for (int k = 0; k < BEST; k++)
            recall += best[k] >= desk->best[i][BEST - 1];
    }
    printf("| %u | %.0f | %.2f | %.2f | %.3f | %.3f |\n", most, scored / QUESTIONS,
           quantile(desk->seconds, 0.5) * 1e3, quantile(desk->seconds, 0.99) * 1e3,
           recall / (BEST * QUESTIONS), quantile(desk->odds, 0.5));
    fflush(stdout);
}

static void
measure(Model *model, uint32_t clusters)
{
    size_t bytes, n = model->entities, width = 2 * (size_t)model->rank;
    double seconds;
    uint32_t largest = 0;
    MetasdImage image = make_image(model, clusters, &bytes, &seconds);
    Desk *desk = memory_take_lines(sizeof(*desk));

    *desk = (Desk){.image = &image,
                   .model = model,
                   .head = memory_take_lines(width * sizeof(float)),
                   .relation = memory_take_lines(width * sizeof(float)),
                   .scores = memory_take_lines(n * sizeof(float)),
                   .found = memory_take_lines((n + 64) * sizeof(float)),
                   .ids = memory_take_lines(n * sizeof(uint32_t)),
                   .found_ids = memory_take_lines((n + 64) * sizeof(uint32_t)),
                   .scratch = memory_take_lines(metasd_query_scratch_bytes((uint32_t)width)),
                   .memory = memory_take_lines(metasd_search_bytes(&image.plan))};
    for (uint32_t c = 0; c < clusters; c++)
        largest = image.cluster.sizes[c] > largest ? image.cluster.sizes[c] : largest;
    printf(
        "\n%zu entities, rank %zu: %.0f MB, %.0f bytes an entity; %u columns; %u clusters, of %u "
        "at most, made in %.1f s\n\n| entities | scored | ms | 99 %% within | recall@10 | log odds "
        "off by |\n"
        "|---|---|---|---|---|---|\n",
        n, width / 2, (double)bytes * 1e-6, (double)bytes / (double)n, image.plan.columns, clusters,
        largest, seconds);
    fflush(stdout);
    ask_exactly(desk);
    for (uint32_t most = 1000; most <= n / 2 && most <= 1000000; most *= 3)
        ask_clusters(desk, most);
}

/* Prints the rows of the entities as COPY reads them: number, label, bytes in hexadecimal. */
static void
print_rows(Model *model)
{
    size_t width = 2 * (size_t)model->rank, bound = metasd_row_bound(width), used;
    float *row = memory_take_lines(width * sizeof(*row));
    uint8_t *bytes = memory_take_lines(bound);

    model->positions = memory_take_lines(width * sizeof(uint32_t));
    model->codes = memory_take_lines(width);
    for (uint32_t e = 0; e < model->entities; e++) {
        MetasdSparseRow sparse = make_row(model, e, false);

        memset(row, 0, width * sizeof(*row));
        for (size_t i = 0; i < sparse.kept; i++)
            row[sparse.positions[i]] = metasd_row_weight(&sparse, i);
        check(metasd_row_encode(METASD_INT8, width, row, bytes, bound, &used), "encode a row");
        printf("%u\t%08u\t\\\\x", e, e);
        for (size_t i = 0; i < used; i++) {
            putchar("0123456789abcdef"[bytes[i] >> 4]);
            putchar("0123456789abcdef"[bytes[i] & 15]);
        }
        putchar('\n');
    }
}

int
main(int argc, char **argv)
{
    static char *small[] = {"", "groups", "20000", "16", "200"};
    static const char *const kinds[] = {"flat", "random", "groups", "aligned"};

    if (argc < 4) {
        argc = 5;
        argv = small;
    }
    bool rows = strcmp(argv[1], "rows") == 0 && argc > 4;

    argv += rows;
    argc -= rows;
    Model model = {.entities = (uint32_t)atoi(argv[2]), .rank = (uint32_t)atoi(argv[3])};

    while (model.kind < ALIGNED && strcmp(argv[1], kinds[model.kind]) != 0)
        model.kind++;
    if (rows)
        print_rows(&model);
    else
        measure(&model,
                argc > 4 ? (uint32_t)atoi(argv[4]) : metasd_clusters_default(model.entities));
    return 0;
}
