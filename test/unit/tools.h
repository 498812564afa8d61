/*
 * tools.h - what several unit tests need: memory of a state, batches from lists, formulas,
 * distances.
 */
#ifndef METASD_UNIT_TOOLS_H
#define METASD_UNIT_TOOLS_H

#include "core/graph/batch.h"
#include "core/train/prune.h"
#include "core/train/regularizer.h"

/* malloc that ends the program where there is no memory. */
extern void *tools_alloc(size_t bytes);

/* Is METASD_UNIT_QUICK set? Slow tests then try fewer cases of the same kinds: under valgrind. */
extern bool tools_quick(void);

/* Takes the memory of a state for a team of up to `members`; to be freed by the caller. */
extern void *tools_state_take(MetasdState *state, int members, size_t score_floats);

/* Takes the memory of a pruner of such a state; to be freed by the caller. */
extern void *tools_pruner_take(MetasdPruner *pruner, const MetasdState *state, int members);

/* Floats in a weight table of the state. */
extern size_t tools_table_floats(const MetasdState *state);

/*
 * Makes a batch of n triples, whose relation is a row of the relation table: of groups of all
 * that share head and relation, or of one group an example. To be freed by the caller.
 */
extern void *tools_batch(MetasdBatch *batch, const MetasdTriple *triples, size_t n, bool grouped);

/* Builds the graph of n triples, which are reordered. To be freed by the caller. */
extern void *tools_graph(MetasdGraph *graph, MetasdTriple *triples, size_t n, uint32_t entities,
                         uint32_t relations, const MetasdSplit *split);

#define TOOLS_FAMILIES 2

/* Every family. */
extern const MetasdFamily *const tools_families[TOOLS_FAMILIES];

/* The score of a triple, and its part of a regulariser, as the papers write them. */
extern double tools_score(const MetasdFamily *family, size_t width, const double *head,
                          const double *relation, const double *tail);
extern double tools_regularizer(MetasdRegularizer kind, const MetasdFamily *family, size_t width,
                                const double *head, const double *relation, const double *tail);

/* |a - b| / |b| in the Euclidean norm; |a - b| where b is 0. Not a number counts as infinite. */
extern double tools_distance(const double *a, const double *b, size_t n);

#endif
