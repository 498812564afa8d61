/*
 * dense_columns_body.h - metasd_dense_kernels' sums for one way to load codes; included once for
 * each.
 *
 * The includer defines NAMED(x), the name of a function for these codes and this instruction set,
 * CODE, their type, LANES, VECTOR of so many floats, and LOAD(at): a vector of LANES codes. Of the
 * instruction set are LOAD_FLOATS, STORE_FLOATS and SPLAT.
 */
static void
NAMED(scores)(const MetasdDenseColumns *tiles, size_t count, const MetasdDenseColumn *asked,
              size_t asked_count, float *scores)
{
    const CODE *tile = tiles->codes;
    const float *scales = tiles->scales;

    for (size_t t = 0; t < count; t++, tile += tiles->columns * METASD_WORD) {
        VECTOR sum[METASD_WORD / LANES];

        for (size_t k = 0; k < METASD_WORD / LANES; k++)
            sum[k] = SPLAT(0);
        for (size_t i = 0; i < asked_count; i++) {
            const CODE *at = tile + asked[i].number * METASD_WORD;
            VECTOR weight = SPLAT(asked[i].weight);

            for (size_t line = 0; line < METASD_WORD * sizeof(CODE); line += 64)
                __builtin_prefetch((const char *)(at + tiles->columns * METASD_WORD) + line);
            for (size_t k = 0; k < METASD_WORD / LANES; k++)
                sum[k] += weight * LOAD(at + k * LANES);
        }
        for (size_t k = 0; k < METASD_WORD / LANES; k++, scales += LANES, scores += LANES)
            STORE_FLOATS(scores, LOAD_FLOATS(scales) * sum[k] + SPLAT(0));
    }
}

#undef NAMED
#undef CODE
#undef LOAD
