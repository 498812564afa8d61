/*
 * postings_body.h - metasd_postings_kernels' add for vectors of eight; included once for each way
 * to spread them.
 *
 * The includer defines NAMED(x), the name of a function of this instruction set, and
 * SPREAD(next, place): a vector of those of the next eight weights that `place` names, or 0.
 */
static void
NAMED(add)(size_t words, MetasdPosting *lists, size_t count, float *scores)
{
    for (size_t w = 0; w < words; w++, scores += METASD_WORD) {
        __m256 sum[8];

        for (int k = 0; k < 8; k++)
            sum[k] = _mm256_loadu_ps(scores + 8 * k);
        for (size_t i = 0; i < count; i++) {
            MetasdPosting *list = &lists[i];
            uint64_t bits = *list->bits++;
            __m256 weight = _mm256_set1_ps(list->weight);

            for (size_t line = 0; line < METASD_WORD * sizeof(float); line += 64)
                __builtin_prefetch((const char *)list->at + AHEAD + line);
            for (int k = 0; k < 8; k++) {
                const uint64_t *bytes = &places[bits >> 8 * k & 0xff];
                __m256i place = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)bytes));

                sum[k] += weight * SPREAD(_mm256_loadu_ps(list->at + BEFORE(bits, 8 * k)), place);
            }
            list->at = forward(list, (size_t)__builtin_popcountll(bits));
        }
        for (int k = 0; k < 8; k++)
            _mm256_storeu_ps(scores + 8 * k, sum[k]);
    }
}

#undef NAMED
#undef SPREAD
