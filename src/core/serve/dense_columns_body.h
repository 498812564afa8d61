/*
 * dense_columns_body.h - metasd_dense_kernels' add_floats for one instruction set; included once
 * for each.
 *
 * The includer defines NAMED(x), the name of a function of this instruction set, LANES, VECTOR of
 * so many floats, LOAD, STORE and SPLAT.
 */
static void
NAMED(add_floats)(const MetasdDenseColumns *tiles, size_t count, const MetasdDenseQuery *query,
                  float *scores)
{
    const float *tile = tiles->codes;

    for (size_t t = 0; t < count; t++, tile += tiles->columns * METASD_WORD) {
        VECTOR sum[METASD_WORD / LANES];

        for (size_t k = 0; k < METASD_WORD / LANES; k++)
            sum[k] = SPLAT(0);
        for (size_t i = 0; i < query->count; i++) {
            const float *at = tile + query->columns[i].number * METASD_WORD;
            VECTOR weight = SPLAT(query->columns[i].weight);

            for (size_t line = 0; line < METASD_WORD * sizeof(float); line += 64)
                __builtin_prefetch((const char *)(at + tiles->columns * METASD_WORD) + line);
            for (size_t k = 0; k < METASD_WORD / LANES; k++)
                sum[k] += weight * LOAD(at + k * LANES);
        }
        for (size_t k = 0; k < METASD_WORD / LANES; k++, scores += LANES)
            STORE(scores, sum[k] + SPLAT(0));
    }
}

#undef NAMED
#undef VECTOR
#undef LANES
#undef SPLAT
#undef LOAD
#undef STORE
