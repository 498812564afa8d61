/*
 * answers.h - numbers for labels, known to a model or not.
 */
#ifndef METASD_ANSWERS_H
#define METASD_ANSWERS_H

#include "compat.h"

#include "index.h"

/* The number of a label in the image, or a negative one made of the label itself. */
extern int64 metasd_number_of_label(const MetasdLabels *labels, const char *label, size_t len);

#endif
