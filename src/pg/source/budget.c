#include "pg/source/budget.h"

#include "utils/memutils.h"

void
metasd_budget_take(MetasdBudget *budget, size_t bytes)
{
    size_t taken;

    if (__builtin_add_overflow(budget->taken, bytes, &taken))
        taken = SIZE_MAX;
    if (budget->most > 0 && taken > budget->most)
        budget->refuse(budget, taken);
    budget->taken = taken;
}

void
metasd_budget_give(MetasdBudget *budget, size_t bytes)
{
    budget->taken -= bytes;
}

void *
metasd_budget_grow(MetasdBudget *budget, MemoryContext context, void *array, size_t before,
                   size_t after)
{
    metasd_budget_take(budget, after); /* both arrays exist while the one is copied */
    array = array ? repalloc_huge(array, after)
                  : MemoryContextAllocExtended(context, after, MCXT_ALLOC_HUGE);
    metasd_budget_give(budget, before);
    return array;
}
