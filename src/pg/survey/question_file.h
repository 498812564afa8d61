/*
 * question_file.h - questions with their known answers in a temporary file, in batches.
 *
 * One process writes the file. Then any number of processes take batches: each takes the next one
 * that no other has taken, so all end at about the same time. A file that processes share is in a
 * file set of shared memory (sweep.h).
 */
#ifndef METASD_PG_SURVEY_QUESTION_FILE_H
#define METASD_PG_SURVEY_QUESTION_FILE_H

#include "pg/base/compat.h"

#include "port/atomics.h"
#include "storage/buffile.h"
#include "storage/sharedfileset.h"

#include "pg/survey/sorted_facts.h"

/* A question, and all its answers in the source: ascending, each once. */
typedef struct MetasdSweepQuestion {
    uint32 row;      /* relation; + the number of relations if heads are asked for */
    uint32 entity;   /* the given one */
    uint32 count;    /* answers; 0 if it is asked although nothing answers it yet */
    uint32 *answers; /* `count` */
} MetasdSweepQuestion;

/* There are at most so many batches and one: of more questions if there are more facts. */
#define METASD_MOST_BATCHES ((uint64)1 << 14)

/* Kinds of questions; as bits, so that both may be meant. */
typedef enum MetasdSides {
    METASD_SIDE_TAILS = 1, /* (head, relation, ?) */
    METASD_SIDE_HEADS = 2, /* (?, relation, tail) */
    METASD_BOTH_SIDES = 3
} MetasdSides;

/* Where a batch starts. */
typedef struct MetasdQuestionBatch {
    uint64 at;    /* in the file */
    uint64 first; /* its first question: row << 32 | entity */
} MetasdQuestionBatch;

/* What all processes know of a file; in shared memory if there are several. */
typedef struct MetasdQuestionIndex {
    uint64 questions[METASD_BOTH_SIDES + 1]; /* of each side, and of both */
    uint64 answers;                          /* of all questions */
    uint32 batches;
    uint32 first_of_heads;  /* the first batch of questions for heads; the others come before */
    pg_atomic_uint32 next;  /* the next batch that nobody has taken */
    uint32 end;             /* the batch to stop at */
    pg_atomic_uint64 taken; /* questions that have been taken */
    MetasdQuestionBatch batch[METASD_MOST_BATCHES + 2];
} MetasdQuestionIndex;

/* A file that this process reads. */
typedef struct MetasdQuestionFile MetasdQuestionFile;

/*
 * Writes the sorted facts to a file, and fills the index. FILE_SET is NULL if no other process will
 * read it. Rows from RELATIONS on are those of questions for heads.
 */
extern MetasdQuestionFile *metasd_question_file_write(MetasdSortedFacts *facts, uint32 relations,
                                                      SharedFileSet *file_set,
                                                      MetasdQuestionIndex *index);

/* Opens the file that another process wrote. */
extern MetasdQuestionFile *metasd_question_file_open(SharedFileSet *file_set,
                                                     MetasdQuestionIndex *index);

/* Lets all processes take the questions of these sides. No process is reading. */
extern void metasd_question_file_rewind(MetasdQuestionIndex *index, MetasdSides sides);

/* The next question, which stays until the next call; NULL when there are no more batches. */
extern const MetasdSweepQuestion *metasd_question_file_next(MetasdQuestionFile *file);

/*
 * Looks up another question, in any part of the file, while one is visited; it stays until the next
 * call. NULL if no fact answers it.
 */
extern const MetasdSweepQuestion *metasd_question_file_find(MetasdQuestionFile *file, uint32 row,
                                                            uint32 entity);

/* Sets degrees[entity] to 1 + the number of answers of each question of a row; others stay. */
extern void metasd_question_file_degrees(MetasdQuestionFile *file, uint32 row, uint32 *degrees);

extern void metasd_question_file_close(MetasdQuestionFile *file);

#endif
