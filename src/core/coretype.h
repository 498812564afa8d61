/*
 * coretype.h - which kernels OpenBLAS should take on this processor.
 *
 * OpenBLAS knows processors by family and model, and takes those it does not know for older ones: version
 * 0.3.21 (Debian 12) gives AVX2 kernels to a Zen 5, where its AVX-512 kernels are twice as fast.
 * It reads the environment variable OPENBLAS_CORETYPE once, as it is loaded.
 */
#ifndef METASD_CORETYPE_H
#define METASD_CORETYPE_H

#include <stdbool.h>

/* The value to set OPENBLAS_CORETYPE to, or NULL where OpenBLAS's own choice is good. */
extern const char *metasd_coretype(void);

/* Sets the variable for libraries loaded from now on, unless it is set; true if it did. */
extern bool metasd_coretype_set(void);

#endif
