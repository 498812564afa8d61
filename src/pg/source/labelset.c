/*
 * labelset.c - a hash of labels: open addressing over numbers; the bytes of labels in large pieces.
 *
 * A graph has millions of labels of some bytes each: a palloc for each, and a hash entry with a
 * pointer, take several times as much as the labels. What is taken is counted before it is.
 */
#include "pg/source/labelset.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

/* ---- how much memory ---- */

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

/* Replaces an array of BEFORE bytes, which may be NULL, by one of AFTER. */
void *
metasd_budget_grow(MetasdBudget *budget, MemoryContext context, void *array, size_t before,
                   size_t after)
{
    metasd_budget_take(budget, after); /* both are there while one is copied */
    array = array ? repalloc_huge(array, after)
                  : MemoryContextAllocExtended(context, after, MCXT_ALLOC_HUGE);
    metasd_budget_give(budget, before);
    return array;
}

/* ---- the set ---- */

#define LEAST_ROOM 64                 /* labels */
#define LEAST_PIECE ((size_t)8 << 10) /* bytes of labels */
#define MOST_PIECE ((size_t)1 << 20)

typedef struct Slot {
    uint32 number; /* from 1; 0: empty */
    uint32 hash;
} Slot;

struct MetasdLabelSet {
    MemoryContext context;
    MetasdBudget *budget;
    MetasdLabel *labels; /* by number */
    uint32 count;
    size_t room;
    Slot *slots;
    size_t slot_count; /* a power of two, of which half is filled at most */
    char *piece;       /* where the bytes of the next label go */
    size_t left;       /* bytes of it */
    size_t bytes;      /* of all pieces */
};

MetasdLabelSet *
metasd_labelset_create(MetasdBudget *budget)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd labels", ALLOCSET_DEFAULT_SIZES);
    MetasdLabelSet *set = MemoryContextAllocZero(context, sizeof(*set));

    set->context = context;
    set->budget = budget;
    return set;
}

static uint32
hash_label(MetasdLabel label)
{
    return hash_bytes((const unsigned char *)label.data, (int)label.len);
}

/* The slot of that label, or the empty one where it belongs. */
static Slot *
find_slot(const MetasdLabelSet *set, MetasdLabel label, uint32 hash)
{
    for (size_t at = hash;; at++) {
        Slot *slot = &set->slots[at & (set->slot_count - 1)];
        const MetasdLabel *other;

        if (slot->number == 0)
            return slot;
        other = &set->labels[slot->number - 1];
        if (slot->hash == hash && other->len == label.len &&
            memcmp(other->data, label.data, label.len) == 0)
            return slot;
    }
}

static void
grow_slots(MetasdLabelSet *set)
{
    size_t before = set->slot_count, count = before > 0 ? 2 * before : 2 * LEAST_ROOM;
    Slot *old = set->slots;

    metasd_budget_take(set->budget, count * sizeof(*set->slots));
    set->slots = MemoryContextAllocExtended(set->context, count * sizeof(*set->slots),
                                            MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    set->slot_count = count;
    for (size_t i = 0; i < before; i++)
        if (old[i].number != 0) {
            size_t at = old[i].hash;

            while (set->slots[at & (count - 1)].number != 0)
                at++;
            set->slots[at & (count - 1)] = old[i];
        }
    if (old)
        pfree(old);
    metasd_budget_give(set->budget, before * sizeof(*set->slots));
}

static void
grow_labels(MetasdLabelSet *set)
{
    size_t room = set->room > 0 ? 2 * set->room : LEAST_ROOM;

    set->labels = metasd_budget_grow(set->budget, set->context, set->labels,
                                     set->room * sizeof(*set->labels), room * sizeof(*set->labels));
    set->room = room;
}

/* Pieces grow with the set, so that what is left over in one is a small part of it. */
static char *
copy_bytes(MetasdLabelSet *set, const char *data, size_t len)
{
    size_t piece = Min(MOST_PIECE, Max(LEAST_PIECE, set->bytes / 8));
    char *copy;

    if (len > set->left && len > piece / 8) { /* one of its own */
        metasd_budget_take(set->budget, len);
        set->bytes += len;
        copy = MemoryContextAlloc(set->context, Max(len, 1));
    } else {
        if (len > set->left) {
            metasd_budget_take(set->budget, piece);
            set->bytes += piece;
            set->piece = MemoryContextAlloc(set->context, piece);
            set->left = piece;
        }
        copy = set->piece;
        set->piece += len;
        set->left -= len;
    }
    memcpy(copy, data, len);
    return copy;
}

static void
check_label(const MetasdLabelSet *set, size_t len)
{
    if (set->count == INT32_MAX)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("a graph cannot have more than %d entities", INT32_MAX)));
    if (len > METASD_MOST_LABEL)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("an identifier is too long: it has %zu bytes", len),
                        errdetail("Identifiers may have up to %zu bytes.", METASD_MOST_LABEL),
                        errhint("Train from a view with shorter identifiers.")));
}

uint32
metasd_labelset_add(MetasdLabelSet *set, const char *data, size_t len)
{
    MetasdLabel label = {.data = data, .len = (uint32)len};
    uint32 hash = hash_label(label);
    Slot *slot = set->slot_count > 0 ? find_slot(set, label, hash) : NULL;

    if (slot && slot->number != 0)
        return slot->number - 1;
    check_label(set, len);
    if (set->count == set->room)
        grow_labels(set);
    if (2 * (size_t)set->count >= set->slot_count)
        grow_slots(set);
    slot = find_slot(set, label, hash);
    label.data = copy_bytes(set, data, len);
    set->labels[set->count++] = label;
    *slot = (Slot){.number = set->count, .hash = hash};
    return set->count - 1;
}

bool
metasd_labelset_find(const MetasdLabelSet *set, const char *data, size_t len, uint32 *number)
{
    MetasdLabel label = {.data = data, .len = (uint32)len};
    const Slot *slot = set->count > 0 ? find_slot(set, label, hash_label(label)) : NULL;

    if (!slot || slot->number == 0)
        return false;
    *number = slot->number - 1;
    return true;
}

uint32
metasd_labelset_count(const MetasdLabelSet *set)
{
    return set->count;
}

MetasdLabel
metasd_labelset_get(const MetasdLabelSet *set, uint32 number)
{
    return set->labels[number];
}

/* ---- the order ---- */

static int
compare_labels(const void *a, const void *b, void *labels)
{
    const MetasdLabel *x = (const MetasdLabel *)labels + *(const uint32 *)a;
    const MetasdLabel *y = (const MetasdLabel *)labels + *(const uint32 *)b;
    uint32 common = Min(x->len, y->len);
    int order = memcmp(x->data, y->data, common);

    CHECK_FOR_INTERRUPTS();
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Moves each label to its place: label order[i] becomes label i. Leaves order[i] = i. */
static void
permute(MetasdLabelSet *set, uint32 *order)
{
    for (uint32 first = 0; first < set->count; first++) {
        MetasdLabel label = set->labels[first];
        uint32 to = first;

        while (order[to] != first) {
            uint32 from = order[to];

            set->labels[to] = set->labels[from];
            order[to] = to;
            to = from;
        }
        set->labels[to] = label;
        order[to] = to;
    }
}

uint32 *
metasd_labelset_sort(MetasdLabelSet *set)
{
    size_t bytes = (size_t)Max(set->count, 1) * sizeof(uint32);
    uint32 *order, *renamed;

    metasd_budget_take(set->budget, 2 * bytes);
    order = palloc_extended(bytes, MCXT_ALLOC_HUGE);
    renamed = palloc_extended(bytes, MCXT_ALLOC_HUGE);
    for (uint32 i = 0; i < set->count; i++)
        order[i] = i;
    qsort_arg(order, set->count, sizeof(*order), compare_labels, set->labels);
    for (uint32 i = 0; i < set->count; i++)
        renamed[order[i]] = i;
    permute(set, order);
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i].number != 0)
            set->slots[i].number = renamed[set->slots[i].number - 1] + 1;
    pfree(order);
    metasd_budget_give(set->budget, 2 * bytes); /* what is returned is soon gone, too */
    return renamed;
}
