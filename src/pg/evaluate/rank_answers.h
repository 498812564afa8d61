/*
 * rank_answers.h - numbers for labels, known to a model or not.
 */
#ifndef METASD_PG_EVALUATE_RANK_ANSWERS_H
#define METASD_PG_EVALUATE_RANK_ANSWERS_H

#include "pg/base/compat.h"

#include "core/serve/image.h"

/* Ranges of probability, two a power of ten: from 10^-0.5 on, from 0.1 on, ..., below 0.0001. */
#define METASD_RANGES 9

/* The number of a label in the image, or a negative one made of the label itself. */
extern int64 metasd_rank_number_of_label(const MetasdLabelTable *labels, const char *label,
                                         size_t len);

#endif
