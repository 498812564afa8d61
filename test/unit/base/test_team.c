/* Slices and shares cover everything once; walks do too, and poll as often as they work. */
#include "unit.h"

#include <string.h>

#include "core/base/team.h"

#define FLOATS ((size_t)300000)

static MetasdStatus
count(MetasdTeam *team)
{
    ++*(size_t *)team->context;
    return METASD_OK;
}

static MetasdStatus
stop(MetasdTeam *team)
{
    (void)team;
    return METASD_INTERRUPTED;
}

static void
slices_cover_all_rows(void **state)
{
    static const uint32_t rows[] = {0, 1, 255, 256, 511, 512, 1000, 14541, 4000000000u};

    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        MetasdSlices slices = metasd_team_cut(rows[r]);

        assert_in_range(slices.parts, 1, METASD_MAX_PARTS);
        assert_int_equal(slices.count % slices.parts, 0);
        assert_int_equal(METASD_MAX_PARTS % slices.parts, 0);
        assert_int_equal(metasd_team_slice_start(&slices, 0), 0);
        assert_int_equal(metasd_team_slice_start(&slices, slices.count), rows[r]);
        for (int s = 0; s < slices.count; s++)
            assert_in_range(metasd_team_slice_start(&slices, s + 1) -
                                metasd_team_slice_start(&slices, s),
                            rows[r] > 0, METASD_SLICE_ROWS);
    }
}

/* Members' rows follow each other, and so do their shares of any number of pieces. */
static void
members_cover_everything(void **state)
{
    MetasdSlices slices = metasd_team_cut(3000);

    (void)state;
    for (int size = 1; size <= 2 * METASD_MAX_PARTS; size++)
        for (size_t n = 0; n < 30; n++) {
            uint32_t row = 0;
            size_t piece = 0;

            for (int rank = 0; rank < size; rank++) {
                MetasdTeam team = {.rank = rank, .size = size};
                uint32_t first_row, end_row;
                size_t first, end;

                metasd_team_rows(&team, &slices, &first_row, &end_row);
                metasd_team_share(&team, n, &first, &end);
                assert_int_equal(first_row, row);
                assert_int_equal(first, piece);
                assert_true(end - first <= n / (size_t)size + 1);
                row = end_row;
                piece = end;
            }
            assert_int_equal(row, 3000);
            assert_int_equal(piece, n);
        }
}

static void
walks_cover_all_runs_once(void **state)
{
    static const MetasdSpan runs[][2] = {
        {{0, FLOATS}, {FLOATS, FLOATS}}, {{5, 5}, {7, 100000}},         {{0, 0}, {0, 0}},
        {{10, 11}, {200000, FLOATS}},    {{0, 65536}, {65536, 131072}},
    };
    static const size_t costs[] = {1, 3, 1000, 1 << 16};
    static uint8_t seen[FLOATS];

    (void)state;
    for (size_t r = 0; r < sizeof(runs) / sizeof(runs[0]); r++)
        for (size_t c = 0; c < 4; c++) {
            MetasdTeam team = metasd_team_of_one();
            MetasdChunks chunk;
            size_t floats = 0;

            memset(seen, 0, sizeof(seen));
            for (chunk = metasd_team_chunks(&team, runs[r], 2, costs[c]);
                 metasd_team_next_chunk(&chunk);) {
                assert_true(chunk.end > chunk.first && chunk.end <= FLOATS);
                for (size_t i = chunk.first; i < chunk.end; i++)
                    floats += ++seen[i] == 1;
            }
            assert_int_equal(chunk.status, METASD_OK);
            assert_int_equal(floats,
                             runs[r][0].end - runs[r][0].first + runs[r][1].end - runs[r][1].first);
        }
}

static void
walks_poll_as_they_work(void **state)
{
    const MetasdSpan runs[1] = {{0, FLOATS}};
    size_t polls = 0;
    MetasdTeam team = metasd_team_of_one();
    MetasdChunks chunk;

    (void)state;
    team.poll = count;
    team.context = &polls;
    for (chunk = metasd_team_chunks(&team, runs, 1, 100); metasd_team_next_chunk(&chunk);)
        ;
    assert_in_range(polls, FLOATS * 100 / METASD_POLL_WORK * 9 / 10,
                    FLOATS * 100 / METASD_POLL_WORK);
    team.poll = stop;
    for (chunk = metasd_team_chunks(&team, runs, 1, 100); metasd_team_next_chunk(&chunk);)
        ;
    assert_int_equal(chunk.status, METASD_INTERRUPTED);
    assert_true(chunk.end < FLOATS);
}

/* Small pieces of work come together to a poll, whoever reports them. */
static void
work_adds_up(void **state)
{
    size_t polls = 0;
    MetasdTeam team = metasd_team_of_one();

    (void)state;
    team.poll = count;
    team.context = &polls;
    for (int i = 0; i < 32; i++)
        assert_int_equal(metasd_team_work(&team, METASD_POLL_WORK / 8), METASD_OK);
    assert_int_equal(polls, 4);
    assert_int_equal(metasd_team_work(&team, 100 * METASD_POLL_WORK), METASD_OK);
    assert_int_equal(polls, 5);
    team.poll = stop;
    assert_int_equal(metasd_team_work(&team, METASD_POLL_WORK - 1), METASD_OK);
    assert_int_equal(metasd_team_work(&team, 1), METASD_INTERRUPTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_cover_all_rows),
        cmocka_unit_test(members_cover_everything),
        cmocka_unit_test(walks_cover_all_runs_once),
        cmocka_unit_test(walks_poll_as_they_work),
        cmocka_unit_test(work_adds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
