/*
 * entry.c - where training workers begin: in the library without OpenBLAS, so that what
 * OpenBLAS is to know is in the environment when it is loaded.
 */
#include "compat.h"

#include "fmgr.h"
#include "postmaster/bgworker.h"

#include "coretype.h"
#include "launch.h"

#define TRAIN_LIBRARY "metasd_train"

extern PGDLLEXPORT void metasd_lead(Datum argument);
extern PGDLLEXPORT void metasd_follow(Datum argument);

static void
go_on_in(const char *function, Datum argument)
{
    bgworker_main_type entry;

    metasd_coretype_set();
    entry = (bgworker_main_type)load_external_function(TRAIN_LIBRARY, function, true, NULL);
    entry(argument);
}

/* The leader of a training, or its only worker. */
void
metasd_lead(Datum argument)
{
    go_on_in("metasd_train_main", argument);
}

/* One that computes its share. */
void
metasd_follow(Datum argument)
{
    go_on_in("metasd_follow_main", argument);
}
