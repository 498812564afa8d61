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
