/* student.h - a small model whose student can be pruned, for tests of masks and of students alone.
 */
#ifndef METASD_UNIT_STUDENT_H
#define METASD_UNIT_STUDENT_H

#include "core/train/step.h"

#define STUDENT_ENTITIES 200
#define STUDENT_RELATION_ROWS 4
#define STUDENT_WIDTH ((size_t)6)
#define STUDENT_EXAMPLES 90 /* of a batch, at most */

typedef struct Student {
    MetasdState step;
    MetasdTeam team;
    void *memory; /* to be freed by the caller */
} Student;

/*
 * A model of random weights: the same whenever it is made. Of `settings`, all but its sizes count.
 */
extern Student student_of(const MetasdState *settings);

/* With a quiz where it is guided. */
extern Student student_make(bool guided, bool sparse);

/* Takes a mask of that sparsity. */
extern void student_prune(Student *student, double sparsity);

#endif
