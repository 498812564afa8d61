/*
 * doubts.h - labels and triples of a source that look like slips of its loading: blanks around a
 * label, and a header line that became a fact. They are trained like others; the run's metrics tell
 * of them, and kg_wait says what to do.
 */
#ifndef METASD_PG_WORKER_DOUBTS_H
#define METASD_PG_WORKER_DOUBTS_H

#include "pg/base/compat.h"

#include "utils/jsonb.h"

#include "pg/worker/input.h"

/* What is found, as an object for the run's metrics, or NULL if nothing is. */
extern Jsonb *metasd_doubts_find(const MetasdInput *input);

#endif
