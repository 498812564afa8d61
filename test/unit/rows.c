#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"

#define STREAM 70

const MetasdStorage rows_storages[METASD_STORAGES] = {METASD_FLOAT32, METASD_INT8, METASD_INT6,
                                                      METASD_INT4};

uint8_t *
rows_encode(MetasdStorage storage, size_t width, const float *row, size_t *n)
{
    size_t size = metasd_row_bound(width);
    uint8_t *bytes = malloc(size);

    if (metasd_row_encode(storage, width, row, bytes, size, n) != METASD_OK || *n > size)
        abort();
    return bytes;
}

void
rows_random(float *row, size_t width, double density, uint64_t seed)
{
    for (size_t j = 0; j < width; j++) {
        uint64_t kept = metasd_random_below(seed, STREAM, 2 * j, 1000000);

        row[j] =
            (double)kept < density * 1e6 ? (float)metasd_random_normal(seed, STREAM + 1, j) : 0.0f;
    }
}

void
rows_mirror(float *row, size_t width)
{
    for (size_t j = 0; j < width / 2; j++) {
        float *other = &row[width / 2 + j];

        *other = row[j] == 0 ? 0 : *other == 0 ? -row[j] : *other;
    }
}

/* CRC-32C bit by bit: another way to the same number than the codec's. */
void
rows_seal(uint8_t *bytes, size_t n)
{
    const size_t at = 2;
    uint32_t crc = 0xffffffff;

    if (n < at + 4)
        return;
    for (size_t i = 0; i < n; i++) {
        if (i >= at && i < at + 4)
            continue;
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    for (size_t i = 0; i < 4; i++)
        bytes[at + i] = (uint8_t)(~crc >> (8 * i));
}

/* A decoded row against its arrays: the same weights, each of them one that can be. */
static const char *
compare(size_t width, const float *row, const MetasdSparseRow *sparse)
{
    size_t next = 0;

    for (size_t j = 0; j < width; j++) {
        float weight;

        if (row[j] == 0)
            continue;
        if (next == sparse->kept || sparse->positions[next] != j)
            return "sparse and dense differ";
        weight = metasd_row_weight(sparse, next);
        if (memcmp(&weight, &row[j], sizeof(float)) != 0)
            return "sparse and dense differ";
        if (!isfinite(row[j]))
            return "a weight is not finite";
        next++;
    }
    return next == sparse->kept ? NULL : "sparse and dense differ";
}

/* The positions alone are those of the row; of anything else they do no harm. */
static const char *
compare_positions(const uint8_t *bytes, size_t n, size_t width, MetasdStatus whole,
                  const MetasdSparseRow *row)
{
    static uint32_t positions[ROWS_WIDEST];
    MetasdRowSpace space = {.capacity = ROWS_WIDEST, .positions = positions};
    MetasdSparseRow alone;
    MetasdStatus status = metasd_row_decode_positions(bytes, n, width, space, &alone);

    if (whole != METASD_OK)
        return status == METASD_OK || status == METASD_CORRUPT ? NULL : "positions do not fit";
    if (status != METASD_OK || alone.kept != row->kept || alone.most_code != row->most_code ||
        memcmp(positions, row->positions, row->kept * sizeof(*positions)) != 0)
        return "the positions alone are others";
    return NULL;
}

/* What is accepted is written the same way again. */
static const char *
encode_again(const uint8_t *bytes, size_t n, size_t width, const float *row)
{
    static uint8_t again[ROWS_BYTES];
    MetasdStorage storage = (MetasdStorage)((bytes[1] & 0x7f) - 1);
    size_t used = 0;

    if (metasd_row_encode(storage, width, row, again, sizeof(again), &used) != METASD_OK)
        return "it cannot be encoded";
    return used == n && memcmp(again, bytes, n) == 0 ? NULL : "it has another encoding";
}

bool
rows_accepted(const uint8_t *bytes, size_t n, size_t width, const char **wrong)
{
    static uint32_t positions[ROWS_WIDEST];
    static float values[ROWS_WIDEST], row[ROWS_WIDEST];
    static int8_t codes[ROWS_WIDEST];
    MetasdRowSpace space = {ROWS_WIDEST, positions, values, codes};
    uint8_t *copy =
        malloc(n > 0 ? n : 1); /* so that a read past the end is seen by the sanitizer */
    size_t stored = 0, announced = 0;
    MetasdSparseRow decoded = {0};
    MetasdStatus header, sparse, dense;

    if (n > 0)
        memcpy(copy, bytes, n);
    header = metasd_row_decode_header(copy, n, &stored, &announced);
    sparse = metasd_row_decode_sparse(copy, n, width, space, &decoded);
    dense = metasd_row_decode_dense(copy, n, width, row);
    *wrong = compare_positions(copy, n, width, sparse, &decoded);
    if (*wrong) {
        free(copy);
        return sparse == METASD_OK;
    }
    if (sparse != dense || (sparse != METASD_OK && sparse != METASD_CORRUPT))
        *wrong = "the decoders do not agree";
    else if (header == METASD_OK && announced > 8 * n)
        *wrong = "more kept weights are announced than there are bits";
    else if (sparse == METASD_OK) {
        if (header != METASD_OK || stored != width || announced != decoded.kept)
            *wrong = "the header does not agree";
        if (!*wrong)
            *wrong = compare(width, row, &decoded);
        if (!*wrong)
            *wrong = encode_again(copy, n, width, row);
    }
    free(copy);
    return sparse == METASD_OK;
}
