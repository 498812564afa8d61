/*
 * schedule.h - trainings that pg_cron starts.
 */
#ifndef METASD_PG_CONTROL_SCHEDULE_H
#define METASD_PG_CONTROL_SCHEDULE_H

#include "pg/base/compat.h"

/*
 * Ends the schedule of a model that is being dropped, whoever made it, where pg_cron is there and
 * the extension's owner may change its jobs; a warning where pg_cron is there but not loaded.
 */
extern void metasd_schedule_drop(const char *model);

/* A hint: how to end a schedule whose model is not there any more. */
extern char *metasd_schedule_end(const char *model);

#endif
