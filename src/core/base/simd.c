#include "core/base/simd.h"

MetasdSet
metasd_simd_instruction_set(int i)
{
    MetasdSet found[METASD_SETS] = {METASD_SETS, METASD_SETS, METASD_SETS};
    int n = 0;

#if METASD_DISPATCH
    if (__builtin_cpu_supports("x86-64-v4"))
        found[n++] = METASD_SET_V4;
    if (__builtin_cpu_supports("x86-64-v3"))
        found[n++] = METASD_SET_V3;
#endif
    found[n] = METASD_SET_PLAIN;
    return i <= n ? found[i] : METASD_SETS;
}
