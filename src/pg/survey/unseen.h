/*
 * unseen.h - which facts of the source the training of a version held out.
 *
 * A training draws the facts that it holds out by their labels (core/graph/split.h), so they can be
 * told from others afterwards, and facts that came later would have been drawn likewise.
 */
#ifndef METASD_PG_SURVEY_UNSEEN_H
#define METASD_PG_SURVEY_UNSEEN_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/catalog/model.h"

/* The part of the source that was held out; 0: none, or its validation facts are elsewhere. */
extern double metasd_unseen_fraction(const MetasdModel *model);

/* Was this fact held out? ID has the numbers of head, relation and tail. */
extern bool metasd_unseen_is(const MetasdImage *image, double fraction, const uint32 id[3]);

#endif
