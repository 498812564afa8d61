/*
 * metasd.c - what is loaded by a session that asks models or starts trainings.
 *
 * The training itself is another library, metasd_train, since only that needs
 * OpenBLAS: a backend that predicts never loads it.
 */
#include "compat.h"

#include "settings.h"

PG_MODULE_MAGIC;

char *metasd_default_model = NULL;
int metasd_train_mem = 4 * 1024 * 1024;

extern void _PG_init(void);

void
_PG_init(void)
{
    DefineCustomStringVariable("metasd.model", "Model to ask where a function is given none.",
                               "Empty: the only model that the user may ask.",
                               &metasd_default_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("metasd.train_mem",
                            "Most memory that a training started here may take.",
                            "0 means no limit.", &metasd_train_mem, 4 * 1024 * 1024, 0, INT_MAX,
                            PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
    MarkGUCPrefixReserved("metasd");
}
