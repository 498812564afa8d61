#include "coretype.h"

#include <stdlib.h>

#include "kernels.h"

#define VARIABLE "OPENBLAS_CORETYPE"

/*
 * Intel's it tells by what they can do. Those of AMD with AVX-512 run its kernels for Skylake-X: on Zen 4 as
 * fast as those for AVX2, from Zen 5 on twice as fast.
 */
const char *
metasd_coretype(void)
{
#if METASD_DISPATCH
    if (__builtin_cpu_is("amd") && metasd_instruction_set(0) == METASD_SET_V4)
        return "SkylakeX";
#endif
    return NULL;
}

bool
metasd_coretype_set(void)
{
    const char *type = metasd_coretype();

    return type && !getenv(VARIABLE) && setenv(VARIABLE, type, 0) == 0;
}
