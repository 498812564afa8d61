/*
 * label_table.h - the labels of an image, by id and through a hash table.
 */
#ifndef METASD_CORE_SERVE_LABEL_TABLE_H
#define METASD_CORE_SERVE_LABEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/team.h"

typedef struct MetasdSlot {
    uint32_t tag;    /* bits of the label's hash: few labels are compared in vain */
    uint32_t number; /* id + 1; 0: empty */
} MetasdSlot;

/* Label i is start[i] .. start[i + 1] - 1 of bytes. Open addressing, a third empty. */
typedef struct MetasdLabelTable {
    uint32_t count;
    uint64_t size; /* of bytes */
    uint64_t *start;
    char *bytes;
    MetasdSlot *slots;
    uint64_t slot_count;
} MetasdLabelTable;

/* The id of a label, or false. */
extern bool metasd_label_find(const MetasdLabelTable *labels, const char *label, size_t len,
                              uint32_t *id);

/* The label of an id: *len bytes inside the image, not terminated. */
extern const char *metasd_label_get(const MetasdLabelTable *labels, uint32_t id, size_t *len);

/*
 * Adds label ID to a table with room for CAPACITY bytes; METASD_INVALID if the label exists or is
 * too long.
 */
extern MetasdStatus metasd_label_add(MetasdLabelTable *labels, uint64_t capacity, uint32_t id,
                                     const char *label, size_t len);

/*
 * METASD_CORRUPT unless every search in a table of that many bytes ends and stays inside it. Polls
 * the team.
 */
extern MetasdStatus metasd_label_check(const MetasdLabelTable *labels, uint64_t bytes,
                                       MetasdTeam *team);

#endif
