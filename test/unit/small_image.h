/* small_image.h - an image of dense rows, for tests of what reads images. */
#ifndef METASD_UNIT_SMALL_IMAGE_H
#define METASD_UNIT_SMALL_IMAGE_H

#include "core/serve/image.h"

/*
 * The image of a model whose entities have these rows, rounded in place as they are stored, and
 * whose one relation keeps no weight. Labels are e0, e1 and so on. SETTLED: dimensions that many
 * entities keep are columns. Returns the image's memory, to be freed by the caller.
 */
extern void *small_image(MetasdImage *image, float *rows, uint32_t entities, uint32_t width,
                         MetasdStorage storage, bool settled);

/* The same with so many clusters. */
extern void *small_clustered_image(MetasdImage *image, float *rows, uint32_t entities,
                                   uint32_t width, MetasdStorage storage, bool settled,
                                   uint32_t clusters);

#endif
