/* student.h - a small model whose student can be pruned, for tests of masks and of students alone.
 */
#ifndef METASD_UNIT_STUDENT_H
#define METASD_UNIT_STUDENT_H

#include "core/train/step.h"

#define PUPIL_ENTITIES 200
#define PUPIL_RELATION_ROWS 4
#define PUPIL_WIDTH ((size_t)6)
#define PUPIL_EXAMPLES 90 /* of a batch, at most */

typedef struct Pupil {
    MetasdState step;
    MetasdTeam team;
    void *memory; /* to be freed by the caller */
} Pupil;

/*
 * A model of random weights: the same whenever it is made. Of `settings`, all but its sizes count.
 */
extern Pupil pupil_of(const MetasdState *settings);

/* With a quiz where it is guided. */
extern Pupil pupil_make(bool guided, bool sparse);

/* Takes a mask of that sparsity. */
extern void pupil_prune(Pupil *pupil, double sparsity);

#endif
