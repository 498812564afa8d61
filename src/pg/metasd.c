/*
 * metasd.c - the settings of the library metasd, which sessions load to ask models or start
 * trainings.
 *
 * Only training needs OpenBLAS, so it is in another library, metasd_train. A session that predicts
 * never loads OpenBLAS.
 */
#include "pg/base/compat.h"

#include <unistd.h>

#include "pg/base/settings.h"

PG_MODULE_MAGIC;

char *metasd_default_model = NULL;
bool metasd_fold_in = true;
int metasd_search_entities = 0;
int metasd_train_mem = 4 * 1024 * 1024;
int metasd_max_workers = 1;
int metasd_nice = 10;
int metasd_train_mem_limit = 0;
int metasd_min_nice = 0;
int metasd_max_trainings_per_role = -1;
int metasd_max_workers_per_role = -1;
int metasd_image_cache_size = METASD_IMAGE_CACHE_SIZE;

#define MOST_WORKERS 1024 /* as for max_parallel_workers */

extern void _PG_init(void);

/* A training may use all processors, but at most half of the background workers. */
static int
default_max_workers(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return (int)Max(1, Min(Min(cpus, max_worker_processes / 2), MOST_WORKERS));
}

/* The limits of a role, which superusers set. */
static void
define_limits(void)
{
    DefineCustomIntVariable("metasd.train_mem_limit",
                            "Most memory that metasd.train_mem may allow a training.",
                            "0 means no limit.", &metasd_train_mem_limit, 0, 0, INT_MAX, PGC_SUSET,
                            GUC_UNIT_KB, NULL, NULL, NULL);
    DefineCustomIntVariable("metasd.min_nice",
                            "Highest scheduling priority that metasd.nice may give a training.",
                            "0 is that of the server, 19 the lowest.", &metasd_min_nice, 0, 0, 19,
                            PGC_SUSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable(
        "metasd.max_trainings_per_role", "Most trainings that a role may have at once.",
        "-1 means half of (max_worker_processes - 1) for roles that are "
        "not superusers.",
        &metasd_max_trainings_per_role, -1, -1, MOST_WORKERS, PGC_SUSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("metasd.max_workers_per_role",
                            "Most background workers that all trainings of a role may have, not "
                            "counting the leader of each training.",
                            "-1 means half of max_worker_processes, for roles that are not "
                            "superusers.",
                            &metasd_max_workers_per_role, -1, -1, MOST_WORKERS, PGC_SUSET, 0, NULL,
                            NULL, NULL);
}

void
_PG_init(void)
{
    DefineCustomStringVariable("metasd.model", "Model to ask if a call names none.",
                               "If empty, the only model that the user may ask.",
                               &metasd_default_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomBoolVariable("metasd.fold_in",
                             "Answers entities and relations that a model does not know by their "
                             "facts in its source.",
                             "If off, such questions have no answers.", &metasd_fold_in, true,
                             PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("metasd.search_entities",
                            "Number of entities that kg_predict and kg_similar score, the most "
                            "promising ones, so that answers are approximate.",
                            "0 means all: answers are exact.", &metasd_search_entities, 0, 0,
                            INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("metasd.train_mem",
                            "Most memory that a training started here may take.",
                            "0 means no limit.", &metasd_train_mem, 4 * 1024 * 1024, 0, INT_MAX,
                            PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
    DefineCustomIntVariable(
        "metasd.max_workers", "Most background workers that a training started here may have.",
        "The default is one per processor, at most half of max_worker_processes.",
        &metasd_max_workers, default_max_workers(), 1, MOST_WORKERS, PGC_USERSET, 0, NULL, NULL,
        NULL);
    DefineCustomIntVariable("metasd.nice",
                            "Scheduling priority of the workers of a training started here.",
                            "0 is that of the server, 19 the lowest.", &metasd_nice, 10, 0, 19,
                            PGC_USERSET, 0, NULL, NULL, NULL);
    /* Only superusers may set it, because it removes images that other sessions share. */
    DefineCustomIntVariable("metasd.image_cache_size",
                            "Most disk space for the images of models that sessions of a database "
                            "share.",
                            "0 means that each session has images of its own, in its memory.",
                            &metasd_image_cache_size, METASD_IMAGE_CACHE_SIZE, 0, INT_MAX,
                            PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
    define_limits();
    MarkGUCPrefixReserved("metasd");
}
