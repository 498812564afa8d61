/*
 * run_state.h - what the catalog knows of a run, for who waits for it.
 */
#ifndef METASD_PG_CONTROL_RUN_STATE_H
#define METASD_PG_CONTROL_RUN_STATE_H

#include "pg/base/compat.h"

/* The version that a training starts from, as texts; NULL if unknown or not so. */
typedef struct MetasdRunStart {
    char *version, *new_entities, *entities, *new_relations, *relations;
    char *not_from, *reason; /* the version that it does not start from, and why: a sentence */
} MetasdRunStart;

/* What probes have chosen, as texts; NULL where there were none, or not yet. */
typedef struct MetasdRunChoice {
    char *probes, *regularizer, *reg, *relation_weight, *class_weights;
} MetasdRunChoice;

/* What a run has imported that trained no epochs, as texts; NULL where it is not known yet. */
typedef struct MetasdRunImport {
    bool given; /* the run is an import, */
    bool tunes; /* and trains epochs */
    char *entities, *relations, *sparsity;
    char *full, *stored; /* validation MRR before pruning, and as stored */
} MetasdRunImport;

/* The state of a run. A number is 0 while it is not known. */
typedef struct MetasdRunState {
    bool exists;
    bool secret;       /* the caller may not know why it failed */
    bool started_here; /* this transaction started it, so nobody else can see it yet */
    char *model;
    const char *status;
    char *error;
    char *note;       /* why the version was not promoted, or not compared; or NULL */
    bool promoted;    /* the training promoted the version when it ended */
    bool kept;        /* its embeddings are stored, or may yet be */
    bool resumable;   /* it has a checkpoint */
    bool serves;      /* the model has a version that serves */
    int epochs;       /* at most */
    int resumed;      /* the epoch after which it was resumed, or 0 */
    int rank;         /* of its embeddings, */
    int default_rank; /* and the default rank if memory does not allow that, else 0 */
    int64 skipped;    /* rows that were left out because of a NULL or empty identifier */
    int64 unknown;    /* validation rows that were left out because the source lacks a label */
    int64 empty;      /* entities and relations that pruning has left without a weight */
    MetasdRunStart start;
    MetasdRunChoice choice;
    MetasdRunImport import;
} MetasdRunState;

/* The present state of a run; its texts are in SPI's memory. SPI must be connected. */
extern MetasdRunState metasd_run_state_find(int64 run);

#endif
