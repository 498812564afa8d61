/* image_world.h - a dense model at random, and the image made of it, for tests of images. */
#ifndef METASD_UNIT_IMAGE_WORLD_H
#define METASD_UNIT_IMAGE_WORLD_H

#include "core/serve/image.h"

/* A dense model, its labels, and the image made of them. */
typedef struct ImageWorld {
    uint32_t entities, relations, width;
    float *E, *W; /* N and P dense rows */
    const MetasdFamily *family;
    MetasdStorage storage;
    bool settled; /* dimensions that most entities keep are columns */
    MetasdImagePlan plan;
    size_t bytes;
    void *image;
    MetasdImage index;
    void *scratch;
    float *scores;
    uint32_t *ids;
} ImageWorld;

/*
 * Makes the model: a part `density` of its weights is not 0, entity 5 keeps none, relations of odd
 * numbers are irreflexive. To be freed by image_world_free.
 */
extern ImageWorld image_world_make_of(const MetasdFamily *family, uint32_t entities,
                                      uint32_t relations, uint32_t width, double density,
                                      MetasdStorage storage, bool settled);

/* Likewise: ComplEx, int8, with columns. */
extern ImageWorld image_world_make(uint32_t entities, uint32_t relations, uint32_t width,
                                   double density);

/* Stores rows that have been changed, and makes the image again. */
extern void image_world_build_again(ImageWorld *w, MetasdStorage storage);

extern void image_world_free(ImageWorld *w);

/*
 * The label of an entity ('e') or relation ('r'); returns its length. Labels have every nuisance: 0
 * is empty, 1 has zero bytes in it, 2 is long, some are not ASCII.
 */
extern size_t image_world_label(char kind, uint32_t id, char *label);

#define IMAGE_WORLD_LABEL 100001 /* bytes of the longest, and one more */

extern bool image_world_is_irreflexive(uint32_t relation);

#endif
