/* memory.h - memory of benchmark programs, which end where there is none. */
#ifndef METASD_BENCH_MEMORY_H
#define METASD_BENCH_MEMORY_H

#include <stddef.h>

/* malloc, the same for whole cache lines of 64 bytes, realloc. */
extern void *memory_take(size_t bytes);
extern void *memory_take_lines(size_t bytes);
extern void *memory_grow(void *memory, size_t bytes);

/* Memory of zeros that processes forked later share, at the same address in all. */
extern void *memory_share(size_t bytes);
extern void memory_unshare(void *memory, size_t bytes);

/* Bytes that this machine can give without driving others out. */
extern size_t memory_free(void);

/* The most bytes that this process, or a child it has waited for, had resident at once. */
extern size_t memory_peak(void);

#endif
