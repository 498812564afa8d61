#include "pg/worker/team_shm.h"

#include <unistd.h>

#include "mb/pg_wchar.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#define CLOSED ((uint32)1 << 31) /* in `came` */

/*
 * A step has some 50 barriers, which mostly take microseconds: members that sleep at once would
 * take longer to wake. A member that has a processor to itself may spin for this time.
 */
#define SPIN_US 50
#define SPINS_PER_LOOK 64 /* at the clock */

/*
 * Sleepers look for signals at times: the condition variable does not tell of them, as interrupts
 * are held off while a process waits for it.
 */
#define SLEEP_MS 10

/* ---- coming and going ---- */

/*
 * Whatever ends a process, its team learns of it. Also, a process that ends while it sleeps on the
 * condition variable must leave its list before the segment is gone.
 */
static void
leave_at_exit(dsm_segment *segment, Datum argument)
{
    MetasdTeamShm *shm = (MetasdTeamShm *)DatumGetPointer(argument);

    (void)segment;
    (void)ConditionVariableCancelSleep();
    if (!shm->left)
        metasd_team_shm_stop(shm, ERRCODE_ADMIN_SHUTDOWN, "a training worker ended unexpectedly");
}

static MetasdTeamShm *
open_segment(dsm_segment *segment)
{
    MetasdTeamShm *shm = MemoryContextAllocZero(TopMemoryContext, sizeof(*shm));

    dsm_pin_mapping(segment);
    shm->shared = dsm_segment_address(segment);
    shm->wait_event = metasd_wait_event("MetasdTeam");
    return shm;
}

MetasdTeamShm *
metasd_team_shm_create(dsm_segment *segment, int64 run, const char *model)
{
    MetasdTeamShm *shm = open_segment(segment);
    MetasdTeamShared *shared = shm->shared;

    memset(shared, 0, sizeof(*shared));
    shared->run = run;
    strlcpy(shared->model, model, sizeof(shared->model));
    pg_atomic_init_u32(&shared->came, 0);
    pg_atomic_init_u32(&shared->ready, 0);
    pg_atomic_init_u32(&shared->stop, METASD_TEAM_GOES_ON);
    pg_atomic_init_u64(&shared->followers_bytes, 0);
    pg_atomic_init_u32(&shared->arrived, 0);
    pg_atomic_init_u32(&shared->round, 0);
    ConditionVariableInit(&shared->changed);
    on_dsm_detach(segment, leave_at_exit, PointerGetDatum(shm));
    return shm;
}

MetasdTeamShm *
metasd_team_shm_attach(dsm_segment *segment)
{
    MetasdTeamShm *shm = open_segment(segment);

    shm->left = true; /* a follower without a rank is not missed */
    on_dsm_detach(segment, leave_at_exit, PointerGetDatum(shm));
    return shm;
}

bool
metasd_team_shm_join(MetasdTeamShm *shm)
{
    pg_atomic_uint32 *came = &shm->shared->came;
    uint32 before = pg_atomic_read_u32(came);

    do {
        if (before & CLOSED)
            return false;
    } while (!pg_atomic_compare_exchange_u32(came, &before, before + 1));
    shm->rank = (int)before + 1;
    shm->left = false;
    metasd_team_shm_wake(shm);
    return true;
}

int
metasd_team_shm_close(MetasdTeamShm *shm)
{
    return (int)(pg_atomic_fetch_or_u32(&shm->shared->came, CLOSED) & ~CLOSED);
}

/* ---- the end ---- */

void
metasd_team_shm_stop(MetasdTeamShm *shm, int sqlerrcode, const char *reason)
{
    MetasdTeamShared *shared = shm->shared;
    uint32 expected = METASD_TEAM_GOES_ON;
    int len = pg_mbcliplen(reason, (int)strlen(reason), sizeof(shared->reason) - 1);

    if (!pg_atomic_compare_exchange_u32(&shared->stop, &expected, METASD_TEAM_STOPPING))
        return;
    shared->sqlerrcode = sqlerrcode;
    memcpy(shared->reason, reason, len);
    shared->reason[len] = '\0';
    pg_write_barrier();
    pg_atomic_write_u32(&shared->stop, METASD_TEAM_STOPPED);
    metasd_team_shm_wake(shm);
}

void
metasd_team_shm_raise(const MetasdTeamShm *shm)
{
    if (!metasd_team_shm_is_stopped(shm))
        return;
    pg_read_barrier();
    if (shm->shared->sqlerrcode != 0)
        ereport(ERROR,
                (errcode(shm->shared->sqlerrcode), errmsg_internal("%s", shm->shared->reason)));
}

/* ---- waiting ---- */

void
metasd_team_shm_wake(MetasdTeamShm *shm)
{
    pg_memory_barrier(); /* the change, before the list of sleepers */
    ConditionVariableBroadcast(&shm->shared->changed);
}

typedef struct Sleep {
    MetasdProcess *process;
    pg_atomic_uint32 *word;
    uint32 value;
} Sleep;

static void
sleep_until_changed(void *context)
{
    const Sleep *sleep = context;
    MetasdTeamShm *shm = sleep->process->shm;
    ConditionVariable *changed = &shm->shared->changed;
    double asleep_since = metasd_throttle_sleep_begin();

    HOLD_INTERRUPTS(); /* the poll serves them: SIGTERM would end the process here */
    ConditionVariablePrepareToSleep(changed);
    if (pg_atomic_read_u32(sleep->word) == sleep->value)
        (void)ConditionVariableTimedSleep(changed, SLEEP_MS, shm->wait_event);
    (void)ConditionVariableCancelSleep();
    RESUME_INTERRUPTS();
    metasd_throttle_sleep_end(&sleep->process->throttle, asleep_since);
}

MetasdStatus
metasd_team_shm_sleep(MetasdProcess *process, pg_atomic_uint32 *word, uint32 value)
{
    Sleep sleep = {.process = process, .word = word, .value = value};

    METASD_TRY(metasd_transaction_guard(&process->transactions, sleep_until_changed, &sleep));
    pg_memory_barrier(); /* the word, before the data that it announces */
    return process->team.poll(&process->team);
}

MetasdStatus
metasd_team_shm_wait(MetasdProcess *process, pg_atomic_uint32 *word, uint32 value)
{
    MetasdStatus status;

    do
        status = metasd_team_shm_sleep(process, word, value);
    while (status == METASD_OK && pg_atomic_read_u32(word) == value);
    pg_memory_barrier();
    return status;
}

/* Watches for a moment whether the round ends. */
static void
spin_until_changed(const MetasdTeamShm *shm, uint32 round)
{
    instr_time begun, now;

    if (shm->spin_us == 0)
        return;
    INSTR_TIME_SET_CURRENT(begun);
    do {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (pg_atomic_read_u32(&shm->shared->round) != round)
                return;
            pg_spin_delay();
        }
        INSTR_TIME_SET_CURRENT(now);
        INSTR_TIME_SUBTRACT(now, begun);
    } while (INSTR_TIME_GET_MICROSEC(now) < (uint64)shm->spin_us);
}

/*
 * The last to arrive begins the next round. It sets `arrived` back first: nobody arrives for the
 * next round before seeing that it has begun.
 */
static MetasdStatus
wait_at_barrier(MetasdTeam *team)
{
    MetasdProcess *process = team->context;
    MetasdTeamShm *shm = process->shm;
    MetasdTeamShared *shared = shm->shared;
    uint32 round = pg_atomic_read_u32(&shared->round);

    if (pg_atomic_add_fetch_u32(&shared->arrived, 1) == (uint32)team->size) {
        pg_atomic_write_u32(&shared->arrived, 0);
        pg_atomic_fetch_add_u32(&shared->round, 1); /* also a memory barrier */
        metasd_team_shm_wake(shm);
        return team->poll(team);
    }
    spin_until_changed(shm, round);
    if (pg_atomic_read_u32(&shared->round) == round)
        return metasd_team_shm_wait(process, &shared->round, round);
    pg_memory_barrier();
    return team->poll(team);
}

void
metasd_team_shm_enter(MetasdProcess *process)
{
    MetasdTeamShm *shm = process->shm;
    int members = shm->shared->members;

    process->team.rank = shm->rank;
    process->team.size = members;
    process->team.barrier = wait_at_barrier;
    shm->spin_us = members <= sysconf(_SC_NPROCESSORS_ONLN) ? SPIN_US : 0;
}
