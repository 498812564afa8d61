#include "labels.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

typedef struct Entry {
    MetasdLabel label;
    uint32 number;
    uint32 hash;
    char status;
} Entry;

static uint32
hash_label(MetasdLabel label)
{
    return hash_bytes((const unsigned char *)label.data, (int)label.len);
}

static bool
same_label(MetasdLabel a, MetasdLabel b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

#define SH_PREFIX labelhash
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE MetasdLabel
#define SH_KEY label
#define SH_HASH_KEY(table, key) hash_label(key)
#define SH_EQUAL(table, a, b) same_label(a, b)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct MetasdLabelSet {
    MemoryContext context;
    labelhash_hash *hash;
    MetasdLabel *labels; /* by number */
    uint32 count, room;
};

MetasdLabelSet *
metasd_labelset_create(void)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "metasd labels", ALLOCSET_DEFAULT_SIZES);
    MetasdLabelSet *set = MemoryContextAllocZero(context, sizeof(*set));

    set->context = context;
    set->hash = labelhash_create(context, 1024, NULL);
    set->room = 1024;
    set->labels = MemoryContextAlloc(context, set->room * sizeof(*set->labels));
    return set;
}

uint32
metasd_labelset_add(MetasdLabelSet *set, const char *data, size_t len)
{
    MetasdLabel key = {.len = (uint32)len};
    uint32 number;
    bool found;
    Entry *entry;
    char *copy;

    if (metasd_labelset_find(set, data, len, &number))
        return number;
    if (set->count == INT32_MAX)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("a graph cannot have more than %d entities", INT32_MAX)));
    copy = MemoryContextAlloc(set->context, len);
    memcpy(copy, data, len);
    key.data = copy;
    entry = labelhash_insert(set->hash, key, &found);
    entry->number = set->count;
    if (set->count == set->room) {
        set->room *= 2;
        set->labels = repalloc_huge(set->labels, set->room * sizeof(*set->labels));
    }
    set->labels[set->count] = key;
    return set->count++;
}

bool
metasd_labelset_find(const MetasdLabelSet *set, const char *data, size_t len, uint32 *number)
{
    MetasdLabel key = {.data = data, .len = (uint32)len};
    Entry *entry = labelhash_lookup(set->hash, key);

    if (!entry)
        return false;
    *number = entry->number;
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

size_t
metasd_labelset_bytes(const MetasdLabelSet *set)
{
    return MemoryContextMemAllocated(set->context, true);
}

static int
compare_labels(const void *a, const void *b)
{
    const MetasdLabel *x = a, *y = b;
    uint32 common = Min(x->len, y->len);
    int order = memcmp(x->data, y->data, common);

    CHECK_FOR_INTERRUPTS();
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

uint32 *
metasd_labelset_sort(MetasdLabelSet *set)
{
    uint32 *renamed = palloc_extended(Max(set->count, 1) * sizeof(*renamed), MCXT_ALLOC_HUGE);

    qsort(set->labels, set->count, sizeof(*set->labels), compare_labels);
    for (uint32 i = 0; i < set->count; i++) {
        Entry *entry = labelhash_lookup(set->hash, set->labels[i]);

        renamed[entry->number] = i;
        entry->number = i;
        CHECK_FOR_INTERRUPTS();
    }
    return renamed;
}
