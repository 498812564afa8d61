/*
 * background.h - dynamic background workers, as all of this extension are.
 */
#ifndef METASD_PG_BASE_BACKGROUND_H
#define METASD_PG_BASE_BACKGROUND_H

#include "pg/base/compat.h"

#include "postmaster/bgworker.h"

/*
 * A worker that connects to a database, is started once, and tells this process of its start and
 * end. It gets a copy of ORDER, of BYTES. The caller gives it a name and a type.
 */
extern BackgroundWorker metasd_background_worker(const char *library, const char *function,
                                                 BgWorkerStartTime start, const void *order,
                                                 Size bytes);

#endif
