/*
 * sample.h - questions that the facts of a model's source answer, drawn evenly.
 */
#ifndef METASD_PG_REPORT_SAMPLE_H
#define METASD_PG_REPORT_SAMPLE_H

#include "pg/report/section.h"

/* Questions (head, relation, ?), by the numbers that the image has for both. */
typedef struct MetasdSample {
    int count, most;
    uint32 *head, *relation; /* count */
} MetasdSample;

/*
 * Reads the source as kg_predict does, and draws MOST of the different questions that its facts
 * answer, or all if there are fewer. The same facts give the same sample in any order. An error if
 * the source cannot be read. SPI must be connected.
 */
extern MetasdSample metasd_sample_read(const MetasdReport *report, int most);

#endif
