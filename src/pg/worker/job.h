/*
 * job.h - one training in its worker: what it reads, what it trains, what it reports.
 *
 * Only this library, metasd_train, trains. Nothing jumps through the core: what the
 * core calls back runs under metasd_transaction_guard, which keeps an error and answers
 * METASD_INTERRUPTED; the worker throws it again once the core has returned.
 */
#ifndef METASD_PG_WORKER_JOB_H
#define METASD_PG_WORKER_JOB_H

#include "pg/base/compat.h"

#include "utils/timestamp.h"

#include "pg/base/json.h"
#include "pg/source/labelset.h"
#include "pg/control/launch.h"
#include "pg/params/params.h"
#include "pg/source/source.h"
#include "core/train/train.h"

/* The triples of a source as numbers. */
typedef struct MetasdInput {
    MetasdLabelSet *entities, *relations;
    MetasdTriple *triples, *validation; /* validation: NULL unless it has a source of its own */
    size_t count, room, validation_count, validation_room;
    size_t bytes;   /* that reading has left in memory */
    uint64 skipped; /* rows with a NULL or empty identifier */
    uint64 unknown; /* validation rows with an entity or relation that the source has not */
} MetasdInput;

/* What the run's row says of a training under way. */
typedef struct MetasdHeartbeat {
    const char *phase;
    int epoch;
    int64 done, total; /* batches of the epoch; total 0: not in an epoch */
    double loss;       /* of the source, last batch */
} MetasdHeartbeat;

/* How much room this worker has to make for sessions; throttle.c. */
typedef struct MetasdThrottle {
    double looked, computed; /* at the last look, in microseconds: the time, and what it had used */
    double taken;            /* mean part of its time awake that others took */
    double busy;             /* mean of the sessions that computed */
    double asleep;           /* microseconds since then that it did not want to run */
    uint32 wait_event;
} MetasdThrottle;

/* The checkpoints of this run; checkpoint.c. */
typedef struct MetasdCheckpointState {
    uint64 graph;     /* hash of the graph and its labels */
    int part;         /* 0 or 1: the checkpoint that is whole; -1: there is none */
    TimestampTz last; /* when one was written, or the training began */
    double seconds;   /* that one takes */
} MetasdCheckpointState;

/* How the version to be stored compares with the one that serves. */
typedef struct MetasdComparison {
    int64 serving;  /* that one; 0: there is none */
    bool promoted;  /* the new one may serve */
    char *note;     /* why not, or why there was no comparison; or NULL */
    size_t queries; /* answers that both ranked */
    double mrr_before, mrr;
    double overlap; /* of the best answers of both, or NaN */
    bool outdated;  /* another version serves by now than that one */
} MetasdComparison;

/* The version that a training starts from; warm_start.c. */
typedef struct MetasdWarmStart {
    int64 version;              /* 0: it starts anew */
    Jsonb *said;                /* for the run's metrics, or NULL */
    MemoryContext context;      /* of the rows; NULL once they are used */
    bytea **row;                /* N + 2 R, as stored; NULL: the version does not know it */
    uint32 entities, relations; /* that it knows */
} MetasdWarmStart;

typedef struct MetasdTeamShm MetasdTeamShm;   /* team_shm.h */
typedef struct MetasdRecruits MetasdRecruits; /* recruit.c */

typedef struct MetasdJob {
    MetasdLaunch launch;
    char *model;
    MetasdSource *source, *validation; /* validation may be NULL */
    MetasdParams params, remembered;   /* in force; as given, before defaults */
    MetasdInput input;
    MetasdTrainOptions options;
    MetasdSplit split;
    MetasdGraph graph;
    void *graph_memory; /* what it was built in */
    MetasdTrainer trainer;
    int wished;          /* members the training would like to have */
    int rank_wish;       /* as of its plan */
    MetasdTeamShm *crew; /* NULL: this worker trains alone */
    MetasdRecruits *muster;
    MetasdTeam team;
    MetasdEpoch best;
    MetasdCheckpointState keep;
    MetasdWarmStart warm;
    MetasdComparison comparison;
    MetasdHeartbeat beat;
    TimestampTz started, epoch_started, last_beat;
    MetasdThrottle room;
    struct {
        int epoch;
        size_t batch;
        double lr;
    } trouble;             /* the last loss that was not finite */
    ErrorData *error;      /* kept by the guard */
    bool gone;             /* the run's row is not there any more: leave quietly */
    MemoryContext context; /* lives as long as the worker */
} MetasdJob;

/* ---- job.c: reading and sizing, shared with kg_estimate ---- */

/*
 * Reads the source and, where there is one, the validation source; in a transaction with SPI. An
 * error before that takes more than TRAIN_MEM kB of memory, 0 for any, which SETTING allows.
 */
extern void metasd_input_read(MetasdInput *input, const MetasdSource *source,
                              const MetasdSource *validation, Oid user, int train_mem,
                              const char *setting);

/*
 * Bytes of memory for graph and training by `options`, all members together, or for what the leader
 * does once the others have left, whichever are more; SIZE_MAX if too many to count.
 */
extern size_t metasd_plan_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                                const MetasdSplit *split, int members);

/* What to train, by how many members, in how much memory. */
typedef struct MetasdPlan {
    MetasdTrainOptions options;
    MetasdSplit split;
    /* as many as the parameters say or, where they leave it open, as may train and are of use */
    int members;
    size_t bytes;  /* as metasd_plan_bytes says */
    int rank_wish; /* the default rank that memory does not allow; 0: it does, or it was given */
} MetasdPlan;

/*
 * Sets the defaults among `params` and plans by them. A rank that was not given is one for which
 * the training needs no more than `most` bytes (0: any number), if METASD_LEAST_RANK or more does.
 */
extern MetasdPlan metasd_plan(const MetasdInput *input, int max_workers, size_t most,
                              MetasdParams *params);

/* ---- throttle.c ---- */

/* Waits for a moment where sessions need the processor. Called at every poll. */
extern void metasd_throttle(MetasdJob *job);

/* To be called around a sleep, which is not time that others took: the first returns its begin. */
extern double metasd_throttle_sleep_begin(void);
extern void metasd_throttle_sleep_end(MetasdJob *job, double asleep_since);

/* ---- process.c: what leader and followers do alike ---- */

/* Sets a new worker up: signals, priority, a job with what it was launched with, a team of one. */
extern MetasdJob *metasd_process_start(void);

/* Lowers its priority to that of its launch. */
extern void metasd_process_lower_priority(const MetasdJob *job);

/* Connects it to the database, as the owner of the model. */
extern void metasd_process_connect(MetasdJob *job);

/* Raises what made the core return. */
extern void metasd_process_check_status(MetasdJob *job, MetasdStatus status);

/* What an error says, in one line. */
extern char *metasd_transaction_error_text(const ErrorData *error);

/* An arena over memory of this worker; *allocated, if not NULL, is what may be pfree'd. */
extern MetasdArena metasd_transaction_arena(size_t bytes, void **allocated);

/* ---- limits.c ---- */

/*
 * Before anything is done: lowers what the training was launched with to what the worker's own
 * session allows, where the session that launched it said nothing. An error for one too many.
 */
extern void metasd_limits_obey(MetasdJob *job);

/* metasd.image_cache_size, as this worker sees it. */
extern int metasd_limits_cache_size(void);

/* Which setting bounds the training's memory. */
extern const char *metasd_limits_memory_setting(const MetasdLaunch *launch);

/*
 * Of that many followers wished for, as many as the owner may have now; no other training of his
 * takes workers before metasd_limits_end, which is to be called once they have come.
 */
extern bool metasd_limits_bind(const MetasdJob *job); /* whether there is a limit */
extern int metasd_limits_followers(MetasdJob *job, int wished);
extern void metasd_limits_end(const MetasdJob *job);

/* ---- progress.c: what the catalog learns, in short transactions ---- */

typedef void (*MetasdJobFunction)(MetasdJob *job, const void *what);

/*
 * Runs work(job, what) in a transaction of its own, with SPI connected. Where the run's row is
 * gone, with DROP EXTENSION or because work says so, all is undone: job->gone, and an error.
 */
extern void metasd_transaction_run(MetasdJob *job, MetasdJobFunction work, const void *what);

/* Runs work under PG_TRY: an error is kept in the job, and METASD_INTERRUPTED returned. */
extern MetasdStatus metasd_transaction_guard(MetasdJob *job, MetasdJobFunction work,
                                             const void *what);

/* The run's phase, in its row and in pg_stat_activity. */
extern void metasd_progress_phase(MetasdJob *job, const char *phase);

/* Where it is, likewise, but once a second at most. For callbacks of the core. */
extern MetasdStatus metasd_progress_heartbeat(MetasdJob *job, const MetasdHeartbeat *beat);

/* The graph as read, and the parameters in force. */
extern void metasd_progress_graph(MetasdJob *job);

/* Appends members to a run's metrics: what is known before it trains. */
extern void metasd_progress_append_input(MetasdJson *json, const MetasdJob *job);

/* Callbacks of metasd_train. */
extern MetasdTrainEvents metasd_leader_events(MetasdJob *job);

/* How the run ended; raises no error, whatever has become of the catalog. */
extern void metasd_progress_end(MetasdJob *job, const char *status, const char *error);

/* ---- checkpoint.c ---- */

/* Makes the graph, whose labels count too, known to checkpoints: those of another are refused. */
extern void metasd_checkpoint_identify(MetasdJob *job);

/* Fills the trainer, whose memory has been taken, with the run's checkpoint where it is resumed. */
extern void metasd_checkpoint_resume(MetasdJob *job);

/*
 * At the end of an epoch: writes a checkpoint where it is time for one. For callbacks of the core.
 */
extern MetasdStatus metasd_checkpoint_after_epoch(MetasdJob *job);

/* Removes all checkpoints of the model's runs. In a transaction. */
extern void metasd_checkpoint_forget(const MetasdJob *job);

/* ---- held_out.c: which facts a version was not trained on ---- */

typedef struct MetasdHeldOut {
    Oid validation;  /* the relation its validation facts came from; InvalidOid: they were drawn */
    double fraction; /* of the source's facts that were drawn, by what they say */
} MetasdHeldOut;

/* What this training holds out; FRACTION as its parameter says. Once the triples have been read. */
extern MetasdHeldOut metasd_held_out(const MetasdJob *job, double fraction);

/* What a run that is over held out, by its row. In a transaction with SPI. */
extern MetasdHeldOut metasd_held_out_of(int64 run);

/* Which of the facts that the newer version validates by were held out from the older one, too. */
typedef enum MetasdHeldFromBoth {
    METASD_HELD_UNKNOWN, /* it may have been trained on any of them */
    METASD_HELD_DRAWN,   /* those that its own split draws, and those it has no number for */
    METASD_HELD_ALL
} MetasdHeldFromBoth;

extern MetasdHeldFromBoth metasd_held_from_both(const MetasdHeldOut *old, const MetasdHeldOut *new);

/* Were all of them? What starts from the older version has seen no validation fact then. */
extern bool metasd_held_all(const MetasdHeldOut *old, const MetasdHeldOut *new);

/* ---- warm_start.c ---- */

/*
 * After the triples: reads the version that serves where the training can start from it, and
 * settles the parameters that follow from that. In a transaction.
 */
extern void metasd_warm_start_read(MetasdJob *job);

/* Bytes of what was read. */
extern size_t metasd_warm_start_bytes(const MetasdJob *job);

/* Fills the trainer, whose memory has been taken, from the version where there is one. */
extern void metasd_warm_start_fill(MetasdJob *job);

/* ---- compare.c ---- */

/*
 * Bytes that the comparison takes beside the trainer, of which the leader keeps its part: the
 * images of both versions, where the old one is like the new, and scores. VALIDATION: the examples
 * of that part. SIZE_MAX if too many to count.
 */
extern size_t metasd_compare_bytes(const MetasdInput *input, const MetasdTrainOptions *options,
                                   size_t validation);

/*
 * Compares trainer->best, as it will be read back, with the version that serves; the result is
 * job->comparison.
 */
extern void metasd_compare(MetasdJob *job);

/* Appends members to a JSON object: what was held out, whether the version may serve, the drift. */
extern void metasd_compare_append(MetasdJson *json, const MetasdJob *job);

/* ---- store.c ---- */

/*
 * Writes the best embeddings in one transaction, and lets them serve unless those that do are
 * better.
 */
extern void metasd_store(MetasdJob *job);

/* Locks the model's row, before anything else of its is; false if it is gone. In a transaction. */
extern bool metasd_store_lock_model(const MetasdJob *job);

/* ---- prune_versions.c ---- */

/*
 * Deletes the embeddings of all but `keep_versions` versions of the model: part of the transaction
 * that stores one.
 */
extern void metasd_prune_versions(const MetasdJob *job);

#endif
