#include "tools.h"
#include "core/graph/graph_build.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>

void *
tools_alloc(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);

    if (!memory)
        abort();
    return memory;
}

bool
tools_quick(void)
{
    return getenv("METASD_UNIT_QUICK") != NULL;
}

void *
tools_state_take(MetasdState *state, int members, size_t score_floats)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;
    void *memory;

    if (state->size.queries == 0)
        state->size.queries = state->size.batch;
    metasd_state_take(state, &arena, members, score_floats);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    if (!metasd_arena_ok(&arena))
        abort();
    arena = metasd_arena_over(memory, bytes);
    metasd_state_take(state, &arena, members, score_floats);
    if (!metasd_arena_ok(&arena))
        abort();
    return memory;
}

void *
tools_pruner_take(MetasdPruner *pruner, const MetasdState *state, int members)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;
    void *memory;

    metasd_prune_take(pruner, &arena, state, members);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    arena = metasd_arena_over(memory, bytes);
    metasd_prune_take(pruner, &arena, state, members);
    if (!metasd_arena_ok(&arena))
        abort();
    return memory;
}

size_t
tools_table_floats(const MetasdState *state)
{
    return ((size_t)state->entities + state->relation_rows) * state->width;
}

void *
tools_batch(MetasdBatch *batch, const MetasdTriple *triples, size_t n, bool grouped)
{
    MetasdArena arena = metasd_arena_measure();
    size_t bytes;
    bool *done = tools_alloc(n * sizeof(*done));
    void *memory;

    metasd_batch_take(batch, &arena, n);
    bytes = arena.used;
    memory = tools_alloc(bytes);
    arena = metasd_arena_over(memory, bytes);
    metasd_batch_take(batch, &arena, n);
    for (size_t i = 0; i < n; i++)
        done[i] = false;
    for (size_t i = 0; i < n; i++) {
        if (done[i])
            continue;
        batch->heads[batch->groups] = triples[i].head;
        batch->relations[batch->groups] = triples[i].relation;
        batch->start[batch->groups] = batch->n;
        for (size_t j = i; j < (grouped ? n : i + 1); j++)
            if (triples[j].head == triples[i].head && triples[j].relation == triples[i].relation) {
                done[j] = true;
                batch->group_of[batch->n] = (uint32_t)batch->groups;
                batch->tails[batch->n++] = triples[j].tail;
            }
        batch->groups++;
    }
    batch->start[batch->groups] = batch->n;
    free(done);
    return memory;
}

void *
tools_graph(MetasdGraph *graph, MetasdTriple *triples, size_t n, uint32_t entities,
            uint32_t relations, const MetasdSplit *split)
{
    size_t bytes = metasd_graph_bytes(n, 0, entities, relations);
    void *memory = tools_alloc(bytes);
    MetasdArena arena = metasd_arena_over(memory, bytes);
    MetasdTeam team = metasd_team_of_one();

    if (metasd_graph_build(graph, &team, &arena, triples, n, NULL, 0, entities, relations, split) !=
        METASD_OK)
        abort();
    return memory;
}

/* ---- formulas ---- */

const MetasdFamily *const tools_families[TOOLS_FAMILIES] = {&metasd_family_complex,
                                                            &metasd_family_distmult};

/* Component j of d: a complex number, whatever the family. */
static double complex
component(const MetasdFamily *family, const double *x, size_t d, size_t j)
{
    return family == &metasd_family_complex ? x[j] + x[d + j] * I : x[j];
}

double
tools_score(const MetasdFamily *family, size_t width, const double *head, const double *relation,
            const double *tail)
{
    size_t d = family == &metasd_family_distmult ? width : width / 2;
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += creal(component(family, head, d, j) * component(family, relation, d, j) *
                     conj(component(family, tail, d, j)));
    return sum;
}

double
tools_regularizer(MetasdRegularizer kind, const MetasdFamily *family, size_t width,
                  const double *head, const double *relation, const double *tail)
{
    size_t d = family == &metasd_family_distmult ? width : width / 2;
    double sum = 0;

    for (size_t j = 0; j < d; j++) {
        double h = cabs(component(family, head, d, j));
        double r = cabs(component(family, relation, d, j));
        double t = cabs(component(family, tail, d, j));

        sum += kind == METASD_N3 ? pow(h, 3) + pow(r, 3) + pow(t, 3)
                                 : 0.5 * (h * h + t * t) + 1.5 * (h * h + t * t) * r * r;
    }
    return sum;
}

double
tools_distance(const double *a, const double *b, size_t n)
{
    double apart = 0, norm = 0;

    for (size_t i = 0; i < n; i++) {
        apart += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    if (!isfinite(apart))
        return INFINITY;
    return norm > 0 ? sqrt(apart / norm) : sqrt(apart);
}
