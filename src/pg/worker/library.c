/*
 * library.c - what is done when the library metasd_train is loaded.
 */
#include "pg/base/compat.h"

#include "core/math/blas.h"

extern void _PG_init(void);

void
_PG_init(void)
{
    metasd_blas_loaded();
}
