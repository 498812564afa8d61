/*
 * team_shm.c - how members meet: ranks, the barrier, and the end that one makes for all.
 */
#include "pg/worker/team_shm.h"

#include <unistd.h>

#include "mb/pg_wchar.h"
#include "portability/instr_time.h"

#define CLOSED ((uint32)1 << 31) /* in `came` */

/* In `stop`. Who turns the first into the second writes the reason, and then the third. */
enum { GOING_ON = 0, STOPPING, STOPPED };

/*
 * A barrier is passed some 50 times a step, mostly within microseconds: those who sleep at once
 * would take longer to wake. A member that has a processor to itself may spin for so long.
 */
#define SPIN_US 50
#define SPINS_PER_LOOK 64 /* at the clock */

/*
 * Those who sleep look around now and then: the condition variable does not tell of signals, as
 * interrupts are held off while they wait for it.
 */
#define SLEEP_MS 10

/* ---- coming and going ---- */

/*
 * For whatever ends a process without a word. Also, a process that ends while it sleeps on the
 * condition variable must leave its list before the segment is gone.
 */
static void
leave_at_exit(dsm_segment *segment, Datum argument)
{
    MetasdTeamShm *crew = (MetasdTeamShm *)DatumGetPointer(argument);

    (void)segment;
    (void)ConditionVariableCancelSleep();
    if (!crew->left)
        metasd_team_shm_stop(crew, ERRCODE_ADMIN_SHUTDOWN, "a training worker ended unexpectedly");
}

MetasdTeamShm *
metasd_team_shm_open(MetasdJob *job, dsm_segment *segment, bool initialise)
{
    MetasdTeamShm *crew = MemoryContextAllocZero(job->context, sizeof(*crew));
    MetasdTeamShared *shared = dsm_segment_address(segment);

    dsm_pin_mapping(segment);
    if (initialise) {
        memset(shared, 0, sizeof(*shared));
        shared->run = job->launch.run;
        strlcpy(shared->model, job->model, sizeof(shared->model));
        pg_atomic_init_u32(&shared->came, 0);
        pg_atomic_init_u32(&shared->ready, 0);
        pg_atomic_init_u32(&shared->stop, GOING_ON);
        pg_atomic_init_u32(&shared->arrived, 0);
        pg_atomic_init_u32(&shared->round, 0);
        ConditionVariableInit(&shared->changed);
    }
    crew->shared = shared;
    crew->wait_event = metasd_wait_event("MetasdTeam");
    crew->left = !initialise; /* a follower without a rank is not missed */
    on_dsm_detach(segment, leave_at_exit, PointerGetDatum(crew));
    return crew;
}

bool
metasd_team_shm_join(MetasdTeamShm *crew)
{
    pg_atomic_uint32 *came = &crew->shared->came;
    uint32 before = pg_atomic_read_u32(came);

    do {
        if (before & CLOSED)
            return false;
    } while (!pg_atomic_compare_exchange_u32(came, &before, before + 1));
    crew->rank = (int)before + 1;
    crew->left = false;
    metasd_team_shm_wake(crew);
    return true;
}

int
metasd_team_shm_close(MetasdTeamShm *crew)
{
    return (int)(pg_atomic_fetch_or_u32(&crew->shared->came, CLOSED) & ~CLOSED);
}

/* ---- the end ---- */

void
metasd_team_shm_stop(MetasdTeamShm *crew, int sqlerrcode, const char *reason)
{
    MetasdTeamShared *shared = crew->shared;
    uint32 expected = GOING_ON;
    int len = pg_mbcliplen(reason, (int)strlen(reason), sizeof(shared->reason) - 1);

    if (!pg_atomic_compare_exchange_u32(&shared->stop, &expected, STOPPING))
        return;
    shared->sqlerrcode = sqlerrcode;
    memcpy(shared->reason, reason, len);
    shared->reason[len] = '\0';
    pg_write_barrier();
    pg_atomic_write_u32(&shared->stop, STOPPED);
    metasd_team_shm_wake(crew);
}

bool
metasd_team_shm_is_stopped(const MetasdTeamShm *crew)
{
    return pg_atomic_read_u32(&crew->shared->stop) == STOPPED;
}

void
metasd_team_shm_raise(const MetasdTeamShm *crew)
{
    if (!metasd_team_shm_is_stopped(crew))
        return;
    pg_read_barrier();
    if (crew->shared->sqlerrcode != 0)
        ereport(ERROR,
                (errcode(crew->shared->sqlerrcode), errmsg_internal("%s", crew->shared->reason)));
}

/* ---- waiting ---- */

void
metasd_team_shm_wake(MetasdTeamShm *crew)
{
    pg_memory_barrier(); /* what has changed, before the list of those who sleep */
    ConditionVariableBroadcast(&crew->shared->changed);
}

typedef struct Doze {
    pg_atomic_uint32 *word;
    uint32 value;
} Doze;

static void
doze(MetasdJob *job, const void *what)
{
    ConditionVariable *changed = &job->crew->shared->changed;
    const Doze *until = what;
    double asleep_since = metasd_throttle_sleep_begin();

    HOLD_INTERRUPTS(); /* they are the poll's: SIGTERM would end the process here */
    ConditionVariablePrepareToSleep(changed);
    if (pg_atomic_read_u32(until->word) == until->value)
        (void)ConditionVariableTimedSleep(changed, SLEEP_MS, job->crew->wait_event);
    (void)ConditionVariableCancelSleep();
    RESUME_INTERRUPTS();
    metasd_throttle_sleep_end(job, asleep_since);
}

MetasdStatus
metasd_team_shm_sleep(MetasdJob *job, pg_atomic_uint32 *word, uint32 value)
{
    Doze until = {.word = word, .value = value};

    METASD_TRY(metasd_transaction_guard(job, doze, &until));
    pg_memory_barrier(); /* the word, before what it tells of */
    return job->team.poll(&job->team);
}

MetasdStatus
metasd_team_shm_wait(MetasdJob *job, pg_atomic_uint32 *word, uint32 value)
{
    MetasdStatus status;

    do
        status = metasd_team_shm_sleep(job, word, value);
    while (status == METASD_OK && pg_atomic_read_u32(word) == value);
    pg_memory_barrier();
    return status;
}

/* Watches for a moment whether the round ends. */
static void
spin(const MetasdTeamShm *crew, uint32 round)
{
    instr_time begun, now;

    if (crew->spin_us == 0)
        return;
    INSTR_TIME_SET_CURRENT(begun);
    do {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (pg_atomic_read_u32(&crew->shared->round) != round)
                return;
            pg_spin_delay();
        }
        INSTR_TIME_SET_CURRENT(now);
        INSTR_TIME_SUBTRACT(now, begun);
    } while (INSTR_TIME_GET_MICROSEC(now) < (uint64)crew->spin_us);
}

/*
 * The last to arrive begins the next round. It sets `arrived` back first: nobody arrives for the
 * next round before seeing that it has begun.
 */
static MetasdStatus
barrier(MetasdTeam *team)
{
    MetasdJob *job = team->context;
    MetasdTeamShared *shared = job->crew->shared;
    uint32 round = pg_atomic_read_u32(&shared->round);

    if (pg_atomic_add_fetch_u32(&shared->arrived, 1) == (uint32)team->size) {
        pg_atomic_write_u32(&shared->arrived, 0);
        pg_atomic_fetch_add_u32(&shared->round, 1); /* also a memory barrier */
        metasd_team_shm_wake(job->crew);
        return team->poll(team);
    }
    spin(job->crew, round);
    if (pg_atomic_read_u32(&shared->round) == round)
        return metasd_team_shm_wait(job, &shared->round, round);
    pg_memory_barrier();
    return team->poll(team);
}

/* ---- the team ---- */

void
metasd_team_shm_team(MetasdJob *job)
{
    int members = job->crew->shared->members;

    job->team.rank = job->crew->rank;
    job->team.size = members;
    job->team.barrier = barrier;
    job->crew->spin_us = members <= sysconf(_SC_NPROCESSORS_ONLN) ? SPIN_US : 0;
}

void
metasd_team_shm_take(MetasdJob *job, MetasdRegions *regions)
{
    MetasdArena shared = metasd_arena_measure(), own = metasd_arena_measure();
    int members = job->team.size;

    metasd_trainer_take(&job->trainer, &shared, &own, &job->graph, &job->options, members);
    own = metasd_transaction_arena(metasd_arena_ok(&own) ? own.used : SIZE_MAX, NULL);
    shared = metasd_arena_over_regions(regions);
    metasd_graph_take(&job->graph, &shared);
    metasd_trainer_take(&job->trainer, &shared, &own, &job->graph, &job->options, members);
    if (!metasd_arena_ok(&shared) || !metasd_arena_ok(&own))
        elog(ERROR, "the memory of the training is not as large as was measured");
}
