#include "yardstick.h"

#include <math.h>
#include <stdlib.h>

#include "clock.h"
#include "processes.h"
#include "memory.h"
#include "core/math/cblas.h"
#include "core/train/train.h"

/* Seconds for each form in each layout; a call is of so much work at most. */
#define FORM_SECONDS 0.12
#define CALL_FLOP 8e9
#define LEAST_ENTITIES 256

enum { SCORES, TABLE_GRADIENT, QUERY_GRADIENT, FORMS };
enum { ROW_IS_QUERY, ROW_IS_ENTITY, LAYOUTS };

/* In shared memory. */
typedef struct Contest {
    size_t queries, entities, width;
    double best[LAYOUTS][FORMS]; /* seconds */
    bool again;
} Contest;

typedef struct Operands {
    int queries, entities, width;
    float *table, *table_gradient; /* entities x width */
    float *query, *query_gradient; /* queries x width */
    float *scores;                 /* queries x entities, or the other way round */
} Operands;

static float *
matrix(size_t rows, size_t columns)
{
    float *m = memory_take(rows * columns * sizeof(*m));

    for (size_t i = 0; i < rows * columns; i++)
        m[i] = (float)(i % 31 + 1) / 1000;
    return m;
}

static Operands
take_operands(const Contest *contest)
{
    size_t n = contest->entities, g = contest->queries, w = contest->width;

    return (Operands){.queries = (int)g,
                      .entities = (int)n,
                      .width = (int)w,
                      .table = matrix(n, w),
                      .table_gradient = matrix(n, w),
                      .query = matrix(g, w),
                      .query_gradient = matrix(g, w),
                      .scores = matrix(g, n)};
}

static void
free_operands(Operands *o)
{
    free(o->table);
    free(o->table_gradient);
    free(o->query);
    free(o->query_gradient);
    free(o->scores);
}

/* One call: a product of the form, in the layout. */
static void
multiply(const Operands *o, int layout, int form)
{
    int g = o->queries, n = o->entities, w = o->width;
    bool by_query = layout == ROW_IS_QUERY;
    int row = by_query ? n : g; /* floats in a row of scores */
    CBLAS_TRANSPOSE turned = CblasTrans, plain = CblasNoTrans;

    if (form == SCORES && by_query)
        cblas_sgemm(CblasRowMajor, plain, turned, g, n, w, 1, o->query, w, o->table, w, 0,
                    o->scores, row);
    else if (form == SCORES)
        cblas_sgemm(CblasRowMajor, plain, turned, n, g, w, 1, o->table, w, o->query, w, 0,
                    o->scores, row);
    else if (form == TABLE_GRADIENT)
        cblas_sgemm(CblasRowMajor, by_query ? turned : plain, plain, n, w, g, 1, o->scores, row,
                    o->query, w, 0, o->table_gradient, w);
    else
        cblas_sgemm(CblasRowMajor, by_query ? plain : turned, plain, g, w, n, 1, o->scores, row,
                    o->table, w, 0, o->query_gradient, w);
}

/* The shortest time in which all members do one call, each its own. */
static MetasdStatus
time_form(Contest *contest, MetasdTeam *team, const Operands *operands, int layout, int form)
{
    double *best = &contest->best[layout][form], began = clock_now();

    do {
        double since;

        METASD_TRY(team->barrier(team));
        since = clock_now();
        multiply(operands, layout, form);
        METASD_TRY(team->barrier(team));
        if (team->rank == 0) {
            *best = fmin(*best, clock_now() - since);
            contest->again = clock_now() - began < FORM_SECONDS;
        }
        METASD_TRY(team->barrier(team));
    } while (contest->again);
    return METASD_OK;
}

static MetasdStatus
compete(MetasdTeam *team, void *context)
{
    Contest *contest = context;
    Operands operands = take_operands(contest);

    for (int layout = 0; layout < LAYOUTS; layout++)
        for (int form = 0; form < FORMS; form++)
            METASD_TRY(time_form(contest, team, &operands, layout, form));
    free_operands(&operands);
    return METASD_OK;
}

/* The sizes of a call: a slice of the entities, fewer where that would take too long. */
static Contest
sizes_of(size_t queries, uint32_t entities, size_t width)
{
    MetasdSlices slices = metasd_team_cut(entities);
    Contest contest = {.entities = metasd_team_slice_start(&slices, 1), .width = width};
    size_t block = METASD_SCORE_FLOATS / entities;
    double most;

    contest.queries = queries < block ? queries : block;
    if (contest.queries < 1)
        contest.queries = 1;
    most = fmax(CALL_FLOP / (2.0 * (double)contest.queries * (double)width), LEAST_ENTITIES);
    if ((double)contest.entities > most)
        contest.entities = (size_t)most;
    for (int i = 0; i < LAYOUTS * FORMS; i++)
        contest.best[i / FORMS][i % FORMS] = INFINITY;
    return contest;
}

Yardstick
yardstick_measure(int members, size_t queries, uint32_t entities, size_t width)
{
    Contest *contest = memory_share(sizeof(*contest));
    Yardstick best = {0};

    *contest = sizes_of(queries, entities, width);
    if (processes_run(members, compete, contest) == METASD_OK)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            Yardstick found = {contest->queries, contest->entities, contest->width, {0}, 0};
            double flop = 2.0 * (double)contest->queries * (double)contest->entities *
                          (double)contest->width * members;
            double seconds = 0;

            for (int form = 0; form < FORMS; form++) {
                found.forms[form] = flop / contest->best[layout][form];
                seconds += contest->best[layout][form];
            }
            found.rate = FORMS * flop / seconds;
            if (found.rate > best.rate)
                best = found;
        }
    memory_unshare(contest, sizeof(*contest));
    return best;
}
