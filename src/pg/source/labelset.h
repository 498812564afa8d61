/*
 * labelset.h - numbers the labels of a graph while it is read.
 *
 * metasd_labelset_sort numbers the labels in the order of their bytes. So the order of the rows
 * in the source does not change the model.
 */
#ifndef METASD_PG_SOURCE_LABELSET_H
#define METASD_PG_SOURCE_LABELSET_H

#include "pg/base/compat.h"

#include "pg/source/budget.h"

typedef struct MetasdLabel {
    const char *data; /* not terminated */
    uint32 len;
} MetasdLabel;

/* The longest label: a stored row, and its text in a dump, must be far below 1 GB. */
#define METASD_MOST_LABEL ((size_t)64 << 20)

typedef struct MetasdLabelSet MetasdLabelSet;

/* Creates an empty set in the current memory context; its memory counts in the budget. */
extern MetasdLabelSet *metasd_labelset_create(MetasdBudget *budget);

/* The number of a label. A new label is copied and gets the next number. */
extern uint32 metasd_labelset_add(MetasdLabelSet *set, const char *data, size_t len);

/* Looks a label up; false if it is not in the set. */
extern bool metasd_labelset_find(const MetasdLabelSet *set, const char *data, size_t len,
                                 uint32 *number);

extern uint32 metasd_labelset_count(const MetasdLabelSet *set);
extern MetasdLabel metasd_labelset_get(const MetasdLabelSet *set, uint32 number);

/* Numbers the labels in the order of their bytes; returns each old number's new one, palloc'd. */
extern uint32 *metasd_labelset_sort(MetasdLabelSet *set);

#endif
