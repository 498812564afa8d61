/*
 * label_number.h - numbers for labels, known to a model or not.
 */
#ifndef METASD_PG_EVALUATE_LABEL_NUMBER_H
#define METASD_PG_EVALUATE_LABEL_NUMBER_H

#include "pg/base/compat.h"

#include "core/serve/label_table.h"

/*
 * The number of a label in the image, or a negative hash of a label that is not in it. So facts
 * about an unknown label still find each other. Two such labels with the same 63 bits of hash would
 * count as one.
 */
extern int64 metasd_label_number(const MetasdLabelTable *labels, const char *label, size_t len);

#endif
