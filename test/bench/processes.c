#define _GNU_SOURCE /* syscall */

#include "processes.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clock.h"
#include "memory.h"

/* In shared memory. */
typedef struct Shared {
    atomic_uint round;  /* barriers passed; waiters sleep on it */
    atomic_int here;    /* members at the barrier */
    atomic_int asleep;  /* of them */
    atomic_int left;    /* members that have ended, in whatever way */
    atomic_bool failed; /* one of them by failure */
} Shared;

typedef struct Member {
    MetasdTeam team;
    Shared *shared;
    pid_t *pids; /* members; of this member's children, 0 once waited for */
    int *statuses;
    int spins, yields; /* looks at a barrier before sleeping */
    double waited;
} Member;

/* ---- members that end ---- */

static void wake(Shared *shared);

/* Notes how a member ended, and lets the others know. */
static void
leave(Shared *shared, bool failed)
{
    if (failed)
        atomic_store(&shared->failed, true);
    atomic_fetch_add(&shared->left, 1);
    wake(shared);
}

/* What a child that ended has to say. */
static MetasdStatus
status_of(int rank, int ending)
{
    if (WIFEXITED(ending))
        return (MetasdStatus)WEXITSTATUS(ending);
    fprintf(stderr, "member %d died: %s\n", rank, strsignal(WTERMSIG(ending)));
    return METASD_INTERRUPTED;
}

/* Waits for children: for those that have ended already, or for all. */
static void
collect(Member *member, bool all)
{
    for (int i = 1; i < member->team.size; i++) {
        int ending;

        if (member->pids[i] == 0 || waitpid(member->pids[i], &ending, all ? 0 : WNOHANG) <= 0)
            continue;
        member->pids[i] = 0;
        member->statuses[i] = (int)status_of(i, ending);
        if (ending != 0) /* perhaps without a word: killed, or by exit */
            leave(member->shared, true);
    }
}

/* ---- the barrier ---- */

static long
futex(atomic_uint *word, int what, unsigned value, const struct timespec *limit)
{
    return syscall(SYS_futex, word, what, value, limit, NULL, 0);
}

static void
wake(Shared *shared)
{
    futex(&shared->round, FUTEX_WAKE, PROCESSES_MOST, NULL);
}

/* Sleeps until the round is over, or for 20 ms. */
static void
sleep_on(Shared *shared, unsigned round)
{
    struct timespec limit = {.tv_nsec = 20000000};

    atomic_fetch_add(&shared->asleep, 1);
    futex(&shared->round, FUTEX_WAIT, round, &limit);
    atomic_fetch_sub(&shared->asleep, 1);
}

/* Leaves the core to whoever shares it, for a moment. */
static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Waits for the others; looks a short while, since most waits are short, then sleeps. */
static MetasdStatus
wait_for_round(Member *member, unsigned round)
{
    Shared *shared = member->shared;

    for (int look = 0; atomic_load(&shared->round) == round; look++) {
        if (look < member->spins)
            relax();
        else if (look < member->spins + member->yields)
            sched_yield();
        else {
            if (member->team.rank == 0)
                collect(member, false);
            /* A member that is gone will not come; it may have come before it went. */
            if (atomic_load(&shared->left) > 0 && atomic_load(&shared->round) == round)
                return METASD_INTERRUPTED;
            sleep_on(shared, round);
        }
    }
    return METASD_OK;
}

static MetasdStatus
wait_for_all(MetasdTeam *team)
{
    Member *member = team->context;
    Shared *shared = member->shared;
    unsigned round = atomic_load(&shared->round);
    double since;
    MetasdStatus status;

    if (atomic_fetch_add(&shared->here, 1) + 1 == team->size) {
        atomic_store(&shared->here, 0);
        atomic_fetch_add(&shared->round, 1);
        if (atomic_load(&shared->asleep) > 0)
            wake(shared);
        return METASD_OK;
    }
    since = clock_now();
    status = wait_for_round(member, round);
    member->waited += clock_now() - since;
    return status;
}

static MetasdStatus
look_for_failure(MetasdTeam *team)
{
    const Member *member = team->context;

    return atomic_load(&member->shared->failed) ? METASD_INTERRUPTED : METASD_OK;
}

double
processes_waited(const MetasdTeam *team)
{
    return ((const Member *)team->context)->waited;
}

/* ---- the members ---- */

static Member
make_member(Shared *shared, int rank, int members, pid_t *pids, int *statuses)
{
    bool crowded = members > sysconf(_SC_NPROCESSORS_ONLN);

    return (Member){
        .team = {.rank = rank, .size = members, .barrier = wait_for_all, .poll = look_for_failure},
        .shared = shared,
        .pids = pids,
        .statuses = statuses,
        .spins = crowded ? 0 : 4000, /* some 50 microseconds */
        .yields = 50};
}

static MetasdStatus
run_member(Member *member, MetasdStatus (*work)(MetasdTeam *team, void *context), void *context)
{
    MetasdStatus status;

    member->team.context = member;
    status = work(&member->team, context);
    leave(member->shared, status != METASD_OK);
    return status;
}

/* The first failure that no other explains, or the first of all. */
static MetasdStatus
join_statuses(const int *statuses, int members)
{
    MetasdStatus status = METASD_OK;

    for (int i = 0; i < members; i++)
        if (status == METASD_OK || status == METASD_INTERRUPTED)
            status = statuses[i] != METASD_OK ? (MetasdStatus)statuses[i] : status;
    return status;
}

MetasdStatus
processes_run(int members, MetasdStatus (*work)(MetasdTeam *team, void *context), void *context)
{
    Shared *shared = memory_share(sizeof(*shared));
    pid_t pids[PROCESSES_MOST] = {0}, parent = getpid();
    int statuses[PROCESSES_MOST] = {0};
    Member member = make_member(shared, 0, members, pids, statuses);

    fflush(NULL);
    for (int i = 1; i < members; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(METASD_INTERRUPTED);
            member.team.rank = i;
            _exit((int)run_member(&member, work, context));
        }
        if (pids[i] < 0) {
            perror("fork");
            exit(1); /* takes the members along */
        }
    }
    statuses[0] = (int)run_member(&member, work, context);
    collect(&member, true);
    memory_unshare(shared, sizeof(*shared));
    return join_statuses(statuses, members);
}
