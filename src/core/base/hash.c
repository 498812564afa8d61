#include "core/base/hash.h"

#include <string.h>

/* The constants and shifts are those of the finaliser of SplitMix64, as in random.c. */
static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t
metasd_hash(uint64_t hash, const void *bytes, size_t n)
{
    const char *from = bytes;
    uint64_t word;

    hash ^= n;
    for (; n >= sizeof(word); n -= sizeof(word), from += sizeof(word)) {
        memcpy(&word, from, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, from, n);
    return mix(hash ^ word);
}

#define PIECE ((size_t)1 << 16)

MetasdStatus
metasd_hash_array(MetasdTeam *team, const void *bytes, size_t n, uint64_t *hash)
{
    for (size_t at = 0; at < n; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;

        *hash = metasd_hash(*hash, (const char *)bytes + at, piece);
        METASD_TRY(metasd_team_work(team, piece / sizeof(float)));
    }
    return METASD_OK;
}

static MetasdStatus
hash_groups(MetasdTeam *team, const MetasdGroups *groups, uint64_t *hash)
{
    const size_t numbers[2] = {groups->count, groups->examples};

    *hash = metasd_hash(*hash, numbers, sizeof(numbers));
    METASD_TRY(
        metasd_hash_array(team, groups->heads, groups->count * sizeof(*groups->heads), hash));
    METASD_TRY(metasd_hash_array(team, groups->relations,
                                 groups->count * sizeof(*groups->relations), hash));
    METASD_TRY(
        metasd_hash_array(team, groups->start, groups->count * sizeof(*groups->start), hash));
    return metasd_hash_array(team, groups->tails, groups->examples * sizeof(*groups->tails), hash);
}

MetasdStatus
metasd_graph_hash(MetasdTeam *team, const MetasdGraph *graph, uint64_t *hash)
{
    const uint32_t numbers[2] = {graph->entities, graph->relations};

    *hash = metasd_hash(*hash, numbers, sizeof(numbers));
    for (int part = 0; part < METASD_PARTS; part++)
        METASD_TRY(hash_groups(team, &graph->part[part], hash));
    return hash_groups(team, &graph->known, hash);
}
