/*
 * labels.h - numbers for the labels of a graph while it is read.
 *
 * After metasd_labelset_sort numbers follow the labels' order as bytes, so the same set of
 * triples gives the same model in whatever order the rows of the source come.
 */
#ifndef METASD_LABELS_H
#define METASD_LABELS_H

#include "compat.h"

typedef struct MetasdLabel {
    const char *data; /* not terminated */
    uint32 len;
} MetasdLabel;

typedef struct MetasdLabelSet MetasdLabelSet;

/* An empty set in the current memory context. */
extern MetasdLabelSet *metasd_labelset_create(void);

/* The number of a label; a new label is copied and takes the next number. */
extern uint32 metasd_labelset_add(MetasdLabelSet *set, const char *data, size_t len);

/* The number of a label that is there, or false. */
extern bool metasd_labelset_find(const MetasdLabelSet *set, const char *data, size_t len,
                                 uint32 *number);

extern uint32 metasd_labelset_count(const MetasdLabelSet *set);
extern MetasdLabel metasd_labelset_get(const MetasdLabelSet *set, uint32 number);

/* Bytes that the set takes. */
extern size_t metasd_labelset_bytes(const MetasdLabelSet *set);

/* Numbers the labels anew; returns, by the old numbers, the new ones (palloc'd). */
extern uint32 *metasd_labelset_sort(MetasdLabelSet *set);

#endif
