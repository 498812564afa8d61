/*
 * peak.h - the most memory that a training has had.
 *
 * It is that of its processes alone. The server's shared buffers and the pages of programs and
 * other files, which a process merely sees, are there without it.
 */
#ifndef METASD_PG_WORKER_PEAK_H
#define METASD_PG_WORKER_PEAK_H

#include "pg/base/compat.h"

/*
 * Looks at this process. Between two looks its memory may have grown and shrunk again: that is
 * seen. What it has mapped of buffers and files by then is not counted.
 */
extern void metasd_peak_look(void);

/* From now on the process also has so many bytes of shared memory that were made for it. */
extern void metasd_peak_add_shared(size_t bytes);

/* Looks, and returns the most bytes so far. */
extern size_t metasd_peak_bytes(void);

#endif
