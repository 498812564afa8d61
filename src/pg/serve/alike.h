/*
 * alike.h - a label that may have been meant by one that a model does not know.
 */
#ifndef METASD_PG_SERVE_ALIKE_H
#define METASD_PG_SERVE_ALIKE_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/source/labelset.h"

/*
 * The first label that is the same but for the case of its letters, and for spaces: around it, or
 * how many they are within; false if there is none. LABEL is not among LABELS. Serves interrupts.
 */
extern bool metasd_alike_find(const MetasdLabelTable *labels, MetasdLabel label,
                              MetasdLabel *alike);

#endif
