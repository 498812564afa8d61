/*
 * regularizer.h - DURA (Zhang et al. 2020) and N3 (Lacroix et al. 2018).
 *
 * Per triple, over the components of the vectors that take part in it (family.h), with |x| the
 * modulus of a complex component or the magnitude of a real one:
 *   DURA: sum of 0.5 (|h|^2 + |t|^2) + 1.5 (|h|^2 + |t|^2) |r|^2
 *   N3:   sum of |h|^3 + |r|^3 + |t|^3
 * Zhang et al. derive DURA for CP, ComplEx and RESCAL: |h r|^2 + |t|^2 + |t conj(r)|^2 + |h|^2, of
 * which DistMult is the case with one vector an entity; the weights are those of their program.
 */
#ifndef METASD_CORE_TRAIN_REGULARIZER_H
#define METASD_CORE_TRAIN_REGULARIZER_H

#include "core/graph/batch.h"
#include "core/model/family.h"

typedef enum MetasdRegularizer { METASD_DURA = 0, METASD_N3 } MetasdRegularizer;

/* A weight table: N entity rows, then the relations' rows. */
typedef struct MetasdWeightRows {
    const MetasdFamily *family;
    uint32_t entities; /* N */
    size_t width;
    const float *weights;
} MetasdWeightRows;

/* loss[g] = the sum over the examples of group g, for groups first .. end - 1. */
extern MetasdStatus metasd_regularizer_rows(MetasdTeam *team, MetasdRegularizer kind,
                                            const MetasdWeightRows *rows, const MetasdBatch *batch,
                                            size_t first, size_t end, double *loss);

/*
 * Adds scale x the gradient to the rows of `gradient` that lie in own[0] (entities) and own[1]
 * (relations), in the order of the examples.
 */
extern MetasdStatus metasd_regularizer_gradient(MetasdTeam *team, MetasdRegularizer kind,
                                                const MetasdWeightRows *rows,
                                                const MetasdBatch *batch, float scale,
                                                const MetasdSpan own[2], float *gradient);

#endif
