/*
 * budget.h - memory that several data structures share: it is counted before it is taken.
 */
#ifndef METASD_PG_SOURCE_BUDGET_H
#define METASD_PG_SOURCE_BUDGET_H

#include "pg/base/compat.h"

typedef struct MetasdBudget {
    size_t taken, most; /* bytes; most 0: no limit */
    /* Raises an error: the taker needs so many bytes in all, which are more than the limit. */
    void (*refuse)(struct MetasdBudget *budget, size_t bytes);
} MetasdBudget;

extern void metasd_budget_take(MetasdBudget *budget, size_t bytes);
extern void metasd_budget_give(MetasdBudget *budget, size_t bytes);

/* Grows an array in CONTEXT from BEFORE bytes to AFTER. ARRAY may be NULL. */
extern void *metasd_budget_grow(MetasdBudget *budget, MemoryContext context, void *array,
                                size_t before, size_t after);

#endif
