/*
 * labelset.h - numbers for the labels of a graph while it is read.
 *
 * After metasd_labelset_sort numbers follow the labels' order as bytes, so the same set of
 * triples gives the same model in whatever order the rows of the source come.
 */
#ifndef METASD_PG_SOURCE_LABELSET_H
#define METASD_PG_SOURCE_LABELSET_H

#include "pg/base/compat.h"

typedef struct MetasdLabel {
    const char *data; /* not terminated */
    uint32 len;
} MetasdLabel;

/* The longest: what is stored as a row, read back and dumped must be far from 1 GB. */
#define METASD_MOST_LABEL ((size_t)64 << 20)

/* Memory that several share: what is taken is counted before, and refused beyond a limit. */
typedef struct MetasdBudget {
    size_t taken, most; /* bytes; most 0: no limit */
    /* Raises an error for so many bytes in all. */
    void (*refuse)(struct MetasdBudget *budget, size_t bytes);
} MetasdBudget;

extern void metasd_budget_take(MetasdBudget *budget, size_t bytes);
extern void metasd_budget_give(MetasdBudget *budget, size_t bytes);

/* Makes an array of BEFORE bytes, NULL for none, one of AFTER, in CONTEXT. */
extern void *metasd_budget_grow(MetasdBudget *budget, MemoryContext context, void *array,
                                size_t before, size_t after);

typedef struct MetasdLabelSet MetasdLabelSet;

/* An empty set in the current memory context, which takes its memory from a budget. */
extern MetasdLabelSet *metasd_labelset_create(MetasdBudget *budget);

/* The number of a label; a new label is copied and takes the next number. */
extern uint32 metasd_labelset_add(MetasdLabelSet *set, const char *data, size_t len);

/* The number of a label that is there, or false. */
extern bool metasd_labelset_find(const MetasdLabelSet *set, const char *data, size_t len,
                                 uint32 *number);

extern uint32 metasd_labelset_count(const MetasdLabelSet *set);
extern MetasdLabel metasd_labelset_get(const MetasdLabelSet *set, uint32 number);

/* Numbers the labels anew; returns, by the old numbers, the new ones (palloc'd). */
extern uint32 *metasd_labelset_sort(MetasdLabelSet *set);

#endif
