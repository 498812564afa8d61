/*
 * held_out.h - which facts a version was not trained on, according to its run's row.
 *
 * Whether a fact of a source is drawn depends on its labels alone (graph.h), so a version was not
 * trained on the facts that its fraction draws, whatever else it was trained on. Of a validation
 * source only its own facts were held out: another version that draws from the source, or has
 * another validation source, may validate by facts that this one was trained on. We assume that a
 * validation source still has the facts that it had.
 */
#ifndef METASD_PG_WORKER_HELD_OUT_H
#define METASD_PG_WORKER_HELD_OUT_H

#include "pg/base/compat.h"

#include "pg/source/source.h"
#include "pg/worker/input.h"

typedef struct MetasdHeldOut {
    Oid validation;  /* the relation its validation facts came from; InvalidOid: they were drawn */
    double fraction; /* of the source's facts that was drawn */
} MetasdHeldOut;

/* Facts that a training holds out; VALIDATION: its validation source, or NULL. */
extern MetasdHeldOut metasd_held_out(const MetasdSource *validation, double fraction);

/* Facts that a run which is over held out. In a transaction with SPI. */
extern MetasdHeldOut metasd_held_out_of(int64 run);

/* Which of the facts that the newer version validates by were held out from the older one, too. */
typedef enum MetasdHeldFromBoth {
    METASD_HELD_UNKNOWN, /* it may have been trained on any of them */
    METASD_HELD_DRAWN,   /* those that its own split draws, and those it has no number for */
    METASD_HELD_ALL
} MetasdHeldFromBoth;

extern MetasdHeldFromBoth metasd_held_from_both(const MetasdHeldOut *old, const MetasdHeldOut *new);

/* Were all of them? A training that starts from the older version has seen none of them then. */
extern bool metasd_held_all(const MetasdHeldOut *old, const MetasdHeldOut *new);

#endif
