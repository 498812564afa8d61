#include "core/serve/label_table.h"

#include <string.h>

#include "core/serve/image_internal.h"

/* Hashes eight bytes at a time, and the length, so that trailing zeros count. */
static uint64_t
hash_label(const char *label, size_t len)
{
    uint64_t hash = metasd_mix(UINT64_C(0x243f6a8885a308d3), len), word;

    for (; len >= sizeof(word); len -= sizeof(word), label += sizeof(word)) {
        memcpy(&word, label, sizeof(word));
        hash = metasd_mix(hash, word);
    }
    word = 0;
    if (len > 0)
        memcpy(&word, label, len);
    return metasd_mix(metasd_mix(hash, word), 0);
}

const char *
metasd_label_get(const MetasdLabelTable *labels, uint32_t id, size_t *len)
{
    uint64_t start = labels->start[id], end = labels->start[id + 1];

    if (start > end || end > labels->size) /* the image is damaged: an empty label */
        start = end = 0;
    *len = (size_t)(end - start);
    return labels->bytes + start;
}

/*
 * The slot of that label, or the empty slot where it belongs: at least one slot is always empty,
 * and a slot with a number out of range counts as empty. NULL in a damaged image without any.
 */
static MetasdSlot *
find_slot(const MetasdLabelTable *labels, const char *label, size_t len, uint32_t *tag)
{
    uint64_t hash = hash_label(label, len);
    /* The low bits, as a fraction of 2^32, say where to begin; the others are the tag. */
    uint64_t at = (uint32_t)hash * labels->slot_count >> 32;

    *tag = (uint32_t)(hash >> 32);
    for (uint64_t i = 0; i < labels->slot_count; i++, at++) {
        MetasdSlot *slot = &labels->slots[at < labels->slot_count ? at : at - labels->slot_count];
        const char *other;
        size_t other_len;

        if (slot->number == 0 || slot->number > labels->count)
            return slot;
        if (slot->tag != *tag)
            continue;
        other = metasd_label_get(labels, slot->number - 1, &other_len);
        if (other_len == len && (len == 0 || memcmp(other, label, len) == 0))
            return slot;
    }
    return NULL;
}

MetasdStatus
metasd_label_add(MetasdLabelTable *labels, uint64_t capacity, uint32_t id, const char *label,
                 size_t len)
{
    uint64_t start = labels->start[id];
    uint32_t tag;
    MetasdSlot *slot = find_slot(labels, label, len, &tag);

    if (!slot || slot->number != 0 || len > capacity - start)
        return METASD_INVALID;
    if (len > 0)
        memcpy(labels->bytes + start, label, len);
    labels->start[id + 1] = start + len;
    *slot = (MetasdSlot){.tag = tag, .number = id + 1};
    return METASD_OK;
}

bool
metasd_label_find(const MetasdLabelTable *labels, const char *label, size_t len, uint32_t *id)
{
    uint32_t tag;
    const MetasdSlot *slot = find_slot(labels, label, len, &tag);

    if (!slot || slot->number == 0 || slot->number > labels->count)
        return false;
    *id = slot->number - 1;
    return true;
}

MetasdStatus
metasd_label_check(const MetasdLabelTable *labels, uint64_t bytes, MetasdTeam *team)
{
    uint64_t filled = 0;

    if (labels->start[0] != 0 || labels->start[labels->count] != bytes)
        return METASD_CORRUPT;
    for (uint32_t i = 0; i < labels->count; i++) {
        if (labels->start[i] > labels->start[i + 1])
            return METASD_CORRUPT;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (uint64_t i = 0; i < labels->slot_count; i++) {
        if (labels->slots[i].number > labels->count)
            return METASD_CORRUPT;
        filled += labels->slots[i].number != 0;
        METASD_TRY(metasd_team_work(team, 1));
    }
    /* As many slots as labels are filled: so at least one is empty, and every search ends. */
    return filled == labels->count ? METASD_OK : METASD_CORRUPT;
}
