/*
 * newcomer_table.h - the newcomers (newcomer.h) of one evaluation, by the numbers that its query
 * has for their labels.
 *
 * Their rows are in the memory of the process that runs kg_evaluate. So where there are some, the
 * query runs without parallel workers.
 */
#ifndef METASD_PG_EVALUATE_NEWCOMER_TABLE_H
#define METASD_PG_EVALUATE_NEWCOMER_TABLE_H

#include "pg/base/compat.h"

#include "pg/serve/question.h"
#include "pg/source/labelset.h"

typedef struct MetasdTableEntry {
    int64 number; /* metasd_label_number: negative */
    bool relation;
    uint32 id; /* as a newcomer */
} MetasdTableEntry;

typedef struct MetasdNewcomerTable {
    MetasdQuestion question; /* its call site keeps the newcomers */
    MetasdBudget budget;
    MetasdLabelSet *noted[2]; /* entities and relations that the model does not know; or NULL */
    MetasdTableEntry *list;
    uint32 count;
    bool some_left; /* there were more than work_mem has room for */
} MetasdNewcomerTable;

/* Starts a table, in the current memory context; nothing is noted where metasd.fold_in is off. */
extern void metasd_newcomer_table_start(MetasdNewcomerTable *table, MetasdQuestion question);

/* Notes a label of the test if the model does not know it: while the test is read. */
extern void metasd_newcomer_table_note(MetasdNewcomerTable *table, MetasdLabel label,
                                       bool relation);

/* Makes the rows of the labels that were noted. A NOTICE says of how many. */
extern void metasd_newcomer_table_fill(MetasdNewcomerTable *table);

/* Lets queries find it; or none, for NULL. Returns the table that they found before. */
extern const MetasdNewcomerTable *metasd_newcomer_table_use(const MetasdNewcomerTable *table);

/* The newcomer of that number in the table that is in use, if it is one of MODEL's version. */
extern bool metasd_newcomer_table_find(const MetasdModel *model, int64 number, bool relation,
                                       bool reciprocal, MetasdGiven *given);

#endif
