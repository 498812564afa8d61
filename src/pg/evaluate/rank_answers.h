/*
 * rank_answers.h - the result of metasd.rank_answers, for the query that reads it.
 */
#ifndef METASD_PG_EVALUATE_RANK_ANSWERS_H
#define METASD_PG_EVALUATE_RANK_ANSWERS_H

/* Ranges of probability, two per power of ten: from 10^-0.5 on, from 0.1 on, ..., below 0.0001. */
#define METASD_RANGES 9

#endif
