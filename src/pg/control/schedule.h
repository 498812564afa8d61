/*
 * schedule.h - trainings that pg_cron starts.
 */
#ifndef METASD_PG_CONTROL_SCHEDULE_H
#define METASD_PG_CONTROL_SCHEDULE_H

#include "pg/base/compat.h"

/*
 * Removes the schedules of a model that is being dropped or given away, whichever roles made them.
 * It does so only if pg_cron is in this database and the extension's owner may change its jobs. If
 * pg_cron is not loaded, it raises a warning instead.
 */
extern void metasd_schedule_drop(const char *model);

/* A hint: how to end a schedule whose model does not exist any more. */
extern char *metasd_schedule_end(const char *model);

#endif
