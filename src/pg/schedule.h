/*
 * schedule.h - trainings that pg_cron starts.
 */
#ifndef METASD_SCHEDULE_H
#define METASD_SCHEDULE_H

#include "compat.h"

/*
 * Ends the schedule of a model that is being dropped, whoever made it, where pg_cron is there and the
 * extension's owner may change its jobs.
 */
extern void metasd_schedule_drop(const char *model);

#endif
