/*
 * settings.h - the metasd.* settings of a session; defined in metasd.c.
 */
#ifndef METASD_PG_BASE_SETTINGS_H
#define METASD_PG_BASE_SETTINGS_H

/* metasd.model: the model to ask where a function is given none; empty for the only one. */
extern char *metasd_default_model;

/* metasd.train_mem, in kB: the most memory a training may take; 0 for no limit. */
extern int metasd_train_mem;

/* metasd.max_workers: the most background workers a training may have, its leader counted. */
extern int metasd_max_workers;

/* metasd.nice: what training workers lower their scheduling priority to. */
extern int metasd_nice;

/*
 * What superusers allow those to be: metasd.train_mem_limit, in kB, 0 for no limit;
 * metasd.min_nice; and for all trainings of a role together metasd.max_trainings_per_role and
 * metasd.max_workers_per_role, -1 for what quota.h says.
 */
extern int metasd_train_mem_limit;
extern int metasd_min_nice;
extern int metasd_max_trainings_per_role;
extern int metasd_max_workers_per_role;

/* metasd.image_cache_size, in kB: the most disk space of a database's shared images; 0: none. */
extern int metasd_image_cache_size;
#define METASD_IMAGE_CACHE_SIZE (1024 * 1024) /* by default */

#endif
