/*
 * new_image.h - the serving image of a version that is not stored yet.
 */
#ifndef METASD_PG_WORKER_NEW_IMAGE_H
#define METASD_PG_WORKER_NEW_IMAGE_H

#include "pg/base/compat.h"

#include "core/serve/image.h"
#include "pg/worker/input.h"
#include "pg/worker/training.h"

/* Bytes of the image of such a training, as it is built here; SIZE_MAX if too many to count. */
extern size_t metasd_new_image_bytes(const MetasdInput *input, const MetasdTrainOptions *options);

/* Likewise of the image that sessions read. */
typedef struct MetasdNewImageBytes {
    size_t image;
    size_t building; /* the image, and what its building takes besides */
} MetasdNewImageBytes;

extern MetasdNewImageBytes metasd_new_image_served_bytes(const MetasdInput *input,
                                                         const MetasdTrainOptions *options,
                                                         MetasdStorage storage);

/*
 * Makes the image of trainer.best in the current memory context. The team is of one, and may be
 * interrupted.
 */
extern MetasdStatus metasd_new_image_build(MetasdImage *image, MetasdTeam *team,
                                           const MetasdInput *input,
                                           const MetasdTraining *training);

#endif
