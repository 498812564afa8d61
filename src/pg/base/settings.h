/*
 * settings.h - the metasd.* settings of a session; defined in metasd.c.
 */
#ifndef METASD_PG_BASE_SETTINGS_H
#define METASD_PG_BASE_SETTINGS_H

/* metasd.model: the model to ask if a call names none; empty: the only model. */
extern char *metasd_default_model;

/* metasd.fold_in: are entities and relations that a model does not know answered by their facts? */
extern bool metasd_fold_in;

/* metasd.search_entities: how many entities a question scores, at least; 0: all, exact answers. */
extern int metasd_search_entities;

/* metasd.train_mem, in kB: the most memory that a training may take; 0: no limit. */
extern int metasd_train_mem;

/* metasd.max_workers: the most background workers that a training may have, with its leader. */
extern int metasd_max_workers;

/* metasd.nice: the scheduling priority to which training workers lower themselves. */
extern int metasd_nice;

/*
 * Limits of these settings, which only superusers change: metasd.train_mem_limit, in kB, 0: no
 * limit; metasd.min_nice; and, for all trainings of a role together, metasd.max_trainings_per_role
 * and metasd.max_workers_per_role, -1: the default of quota.h.
 */
extern int metasd_train_mem_limit;
extern int metasd_min_nice;
extern int metasd_max_trainings_per_role;
extern int metasd_max_workers_per_role;

/*
 * metasd.image_cache_size, in kB: the most disk space of a database's shared images; 0: share none.
 */
extern int metasd_image_cache_size;
#define METASD_IMAGE_CACHE_SIZE (1024 * 1024) /* by default */

#endif
