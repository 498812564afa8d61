/*
 * near_label.h - the label of a model that differs from an unknown one in letter case or spaces.
 */
#ifndef METASD_PG_SERVE_NEAR_LABEL_H
#define METASD_PG_SERVE_NEAR_LABEL_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/source/labelset.h"

/*
 * Finds the first label that differs from LABEL only in the case of letters and in spaces: those
 * around it, or the number of those within. LABEL is not among LABELS. False if there is none.
 * Serves interrupts.
 */
extern bool metasd_near_label_find(const MetasdLabelTable *labels, MetasdLabel label,
                                   MetasdLabel *near);

#endif
