#include "core/codec/row_positions.h"

#include <string.h>

/*
 * The divisor of gaps between n of `width` positions, n at most half of them: ln 2 times the mean
 * distance less a half, rounded. It is the best one for positions at random.
 */
static MetasdMinimal
gap_divisor(uint64_t width, uint64_t n)
{
    return metasd_bits_minimal((uint32_t)(((2 * width - n) * 355 + 512 * n) / (1024 * n)));
}

/* Are the kept positions listed, or the pruned ones? */
static bool
lists_kept(size_t width, size_t kept)
{
    return kept <= width - kept;
}

static size_t
count_listed(size_t width, size_t kept)
{
    return lists_kept(width, kept) ? kept : width - kept;
}

bool
metasd_row_positions_repeat(size_t width, const float *row, size_t kept)
{
    size_t half = width / 2;

    if (width % 2 > 0 || kept == 0 || kept == width)
        return false;
    for (size_t j = 0; j < half; j++)
        if ((row[j] != 0) != (row[half + j] != 0))
            return false;
    return true;
}

uint64_t
metasd_row_positions_bits(size_t width, size_t kept, bool repeated)
{
    size_t parts = repeated ? 2 : 1;

    return count_listed(width / parts, kept / parts);
}

void
metasd_row_positions_put(MetasdBitWriter *writer, size_t width, const float *row, size_t kept,
                         bool repeated)
{
    size_t part = repeated ? width / 2 : width, part_kept = repeated ? kept / 2 : kept;
    bool listed = lists_kept(part, part_kept);
    size_t n = count_listed(part, part_kept), next = 0;
    MetasdMinimal divisor;

    if (n == 0)
        return;
    divisor = gap_divisor(part, n);
    for (size_t j = 0; j < part; j++)
        if ((row[j] != 0) == listed) {
            metasd_bits_put_golomb(writer, &divisor, (uint32_t)(j - next));
            next = j + 1;
        }
}

/* Adds positions [first, end) to the kept ones: to the list behind `last`, or to the row. */
static inline uint32_t *
add_positions(uint32_t *last, float *row, size_t first, size_t end)
{
    for (size_t j = first; j < end; j++)
        if (last)
            *last++ = (uint32_t)j;
        else
            row[j] = 1;
    return last;
}

/* The place behind bit number N, from 1 on, of those that are set. */
static unsigned
end_of_bit(uint64_t bits, size_t n)
{
    for (; n > 1; n--)
        bits &= bits - 1;
    return (unsigned)__builtin_ctzll(bits) + 1;
}

/*
 * Reads n gaps with divisor 1, as a row has that keeps about half: the code of a gap is as many
 * zeros and a one. So there is a bit for each position, a one if it is listed, until all are. Many
 * at once, in a third of the time.
 */
static bool
get_bits(MetasdBitReader *reader, size_t width, size_t n, bool listed, uint32_t *last, float *row)
{
    size_t next = 0;

    while (n > 0) {
        uint64_t bits, all;
        unsigned count;
        size_t ones;

        metasd_bits_refill(reader);
        count = width - next < reader->count ? (unsigned)(width - next) : reader->count;
        if (count == 0)
            return false;
        all = ~(uint64_t)0 >> (64 - count);
        ones = (size_t)__builtin_popcountll(reader->pending & all);
        if (ones >= n) { /* the next bits are of weights */
            count = end_of_bit(reader->pending & all, n);
            all = ~(uint64_t)0 >> (64 - count);
            ones = n;
        }
        bits = (listed ? reader->pending : ~reader->pending) & all;
        for (; bits != 0; bits &= bits - 1) {
            size_t at = next + (unsigned)__builtin_ctzll(bits);

            last = add_positions(last, row, at, at + 1);
        }
        reader->pending = reader->pending >> (count - 1) >> 1; /* they may be all 64 */
        reader->count -= count;
        next += count;
        n -= ones;
    }
    if (!listed)
        (void)add_positions(last, row, next, width);
    return true;
}

static bool
get_gaps(MetasdBitReader *reader, size_t width, size_t n, const MetasdMinimal *divisor, bool listed,
         uint32_t *last, float *row)
{
    size_t next = 0;

    for (size_t i = 0; i < n; i++) {
        /* The gap leaves room for the positions that follow. */
        size_t at =
            next + metasd_bits_get_golomb(reader, divisor, (uint32_t)(width - next - (n - i)));

        if (reader->failed)
            return false;
        last = listed ? add_positions(last, row, at, at + 1) : add_positions(last, row, next, at);
        next = at + 1;
    }
    if (!listed)
        (void)add_positions(last, row, next, width);
    return true;
}

/* Reads the positions of a row, or of the first half of one. */
static bool
get_part(MetasdBitReader *reader, size_t width, size_t kept, const MetasdRowPositions *to)
{
    MetasdBitReader copy = *reader; /* no store to the list can change it: it stays in registers */
    bool listed = lists_kept(width, kept), ok;
    size_t n = count_listed(width, kept);
    MetasdMinimal divisor = {0};

    if (n > 0)
        divisor = gap_divisor(width, n);
    ok = divisor.bound == 1 ? get_bits(&copy, width, n, listed, to->list, to->row)
                            : get_gaps(&copy, width, n, &divisor, listed, to->list, to->row);
    *reader = copy;
    return ok;
}

/* Adds to the second half the positions of the first: `kept` of `half`. */
static void
repeat_positions(const MetasdRowPositions *to, size_t half, size_t kept)
{
    if (to->list)
        for (size_t i = 0; i < kept; i++)
            to->list[kept + i] = to->list[i] + (uint32_t)half;
    else
        memcpy(to->row + half, to->row, half * sizeof(*to->row));
}

/* Do the halves of a decoded row keep the same weights? Such a row has another encoding. */
static bool
has_equal_halves(const MetasdRowPositions *to, size_t width, size_t kept)
{
    size_t half = width / 2;

    if (width % 2 > 0 || kept % 2 > 0 || kept == width)
        return false;
    if (!to->list)
        return memcmp(to->row, to->row + half, half * sizeof(*to->row)) == 0;
    for (size_t i = 0; i < kept / 2; i++)
        if (to->list[kept / 2 + i] != to->list[i] + half)
            return false;
    return true;
}

bool
metasd_row_positions_get(MetasdBitReader *reader, size_t width, size_t kept, bool repeated,
                         const MetasdRowPositions *to)
{
    if (!repeated)
        return get_part(reader, width, kept, to) && !has_equal_halves(to, width, kept);
    if (!get_part(reader, width / 2, kept / 2, to))
        return false;
    repeat_positions(to, width / 2, kept / 2);
    return true;
}
