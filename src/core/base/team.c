#include "core/base/team.h"

/* Below this many rows a part is not worth products of its own. */
#define MIN_PART_ROWS 64

static MetasdStatus
nothing_to_do(MetasdTeam *team)
{
    (void)team;
    return METASD_OK;
}

MetasdTeam
metasd_team_of_one(void)
{
    return (MetasdTeam){.rank = 0, .size = 1, .barrier = nothing_to_do, .poll = nothing_to_do};
}

MetasdSlices
metasd_team_cut(uint32_t rows)
{
    static const int parts[] = {METASD_MAX_PARTS, 6, 4, 3, 2, 1};
    uint32_t each;
    int i = 0;

    while (parts[i] > 1 && rows / (uint32_t)parts[i] < MIN_PART_ROWS)
        i++;
    each = rows / (uint32_t)parts[i] + 1; /* rows of a part at most */
    return (MetasdSlices){.rows = rows,
                          .parts = parts[i],
                          .count =
                              parts[i] * (int)((each + METASD_SLICE_ROWS - 1) / METASD_SLICE_ROWS)};
}

void
metasd_team_share(const MetasdTeam *team, size_t n, size_t *first, size_t *end)
{
    size_t each = n / (size_t)team->size, more = n % (size_t)team->size, rank = (size_t)team->rank;

    *first = rank * each + (rank < more ? rank : more);
    *end = *first + each + (rank < more ? 1 : 0);
}

void
metasd_team_slices(const MetasdTeam *team, const MetasdSlices *slices, int *first, int *end)
{
    size_t from, to;

    metasd_team_share(team, (size_t)slices->parts, &from, &to);
    *first = (int)from * (slices->count / slices->parts);
    *end = (int)to * (slices->count / slices->parts);
}

void
metasd_team_rows(const MetasdTeam *team, const MetasdSlices *slices, uint32_t *first, uint32_t *end)
{
    int from, to;

    metasd_team_slices(team, slices, &from, &to);
    *first = metasd_team_slice_start(slices, from);
    *end = metasd_team_slice_start(slices, to);
}

/* Small enough that what several passes of a chunk share stays in the cache. */
#define CHUNK_WORK ((size_t)1 << 16)

MetasdChunks
metasd_team_chunks(MetasdTeam *team, const MetasdSpan *spans, int nspans, size_t cost)
{
    return (MetasdChunks){.first = spans->first,
                          .end = spans->first,
                          .team = team,
                          .span = spans,
                          .last = spans + nspans - 1,
                          .cost = cost};
}

bool
metasd_team_next_chunk(MetasdChunks *chunk)
{
    size_t most = CHUNK_WORK / chunk->cost;

    chunk->status = metasd_team_work(chunk->team, (chunk->end - chunk->first) * chunk->cost);
    if (chunk->status != METASD_OK)
        return false;
    while (chunk->end == chunk->span->end) {
        if (chunk->span == chunk->last)
            return false;
        chunk->span++;
        chunk->end = chunk->span->first;
    }
    chunk->first = chunk->end;
    chunk->end = chunk->span->end - chunk->first < most ? chunk->span->end : chunk->first + most;
    return true;
}
