#include "core/base/random.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586;

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t
metasd_random(uint64_t seed, uint64_t stream, uint64_t index)
{
    const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t key = mix(seed + golden * (stream + 1));

    return mix(mix(key + golden * (index + 1)) ^ key);
}

uint64_t
metasd_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound)
{
    /* The high half of a 128-bit product: its bias is below bound / 2^64. */
    return (uint64_t)(((unsigned __int128)metasd_random(seed, stream, index) * bound) >> 64);
}

double
metasd_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    double radius = ((double)(metasd_random(seed, stream, 2 * index) >> 11) + 1.0) * 0x1p-53;
    double angle = (double)(metasd_random(seed, stream, 2 * index + 1) >> 11) * 0x1p-53;

    return sqrt(-2.0 * log(radius)) * cos(TWO_PI * angle);
}

MetasdStatus
metasd_random_order(MetasdTeam *team, uint64_t seed, uint64_t stream, uint32_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
        METASD_TRY(metasd_team_work(team, 1));
    }
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)metasd_random_below(seed, stream, i, i);
        uint32_t swap = order[i - 1];

        order[i - 1] = order[j];
        order[j] = swap;
        METASD_TRY(metasd_team_work(team, METASD_FAR_WORK));
    }
    return METASD_OK;
}
