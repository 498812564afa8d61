#include "threads.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/math/cblas.h"

/*
 * The serial OpenBLAS shares its buffers between all calls of a process: in PostgreSQL members
 * are processes, threads must take turns. The linker leads all calls here (unit.mk).
 */
extern __typeof__(cblas_sgemm) __real_cblas_sgemm, __wrap_cblas_sgemm;

void
__wrap_cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE a_form, CBLAS_TRANSPOSE b_form, int m, int n,
                   int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                   float *c, int ldc)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&turn);
    __real_cblas_sgemm(order, a_form, b_form, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    pthread_mutex_unlock(&turn);
}

typedef struct Group {
    pthread_mutex_t lock;
    pthread_cond_t all_here;
    int size, here;
    unsigned round; /* barriers passed */
    bool failed;
    MetasdStatus (*work)(MetasdTeam *team, void *context);
    void *context;
} Group;

typedef struct Member {
    MetasdTeam team;
    Group *group;
    pthread_t thread;
    MetasdStatus status;
} Member;

static MetasdStatus
wait_for_all(MetasdTeam *team)
{
    Group *group = ((Member *)team->context)->group;
    unsigned round;
    bool failed;

    pthread_mutex_lock(&group->lock);
    round = group->round;
    if (++group->here == group->size) {
        group->here = 0;
        group->round++;
        pthread_cond_broadcast(&group->all_here);
    }
    while (group->round == round && !group->failed)
        pthread_cond_wait(&group->all_here, &group->lock);
    failed = group->round == round;
    pthread_mutex_unlock(&group->lock);
    return failed ? METASD_INTERRUPTED : METASD_OK;
}

static MetasdStatus
nothing_to_serve(MetasdTeam *team)
{
    (void)team;
    return METASD_OK;
}

static void *
run_member(void *argument)
{
    Member *member = argument;
    Group *group = member->group;

    member->status = group->work(&member->team, group->context);
    if (member->status != METASD_OK) {
        pthread_mutex_lock(&group->lock);
        group->failed = true;
        pthread_cond_broadcast(&group->all_here);
        pthread_mutex_unlock(&group->lock);
    }
    return NULL;
}

MetasdStatus
threads_run(int members, MetasdStatus (*work)(MetasdTeam *team, void *context), void *context)
{
    Group group = {.size = members, .work = work, .context = context};
    Member member[THREADS_MOST];
    MetasdStatus status = METASD_OK;

    if (members < 1 || members > THREADS_MOST)
        abort();
    pthread_mutex_init(&group.lock, NULL);
    pthread_cond_init(&group.all_here, NULL);
    for (int i = 0; i < members; i++) {
        member[i] = (Member){.team = {.rank = i,
                                      .size = members,
                                      .barrier = wait_for_all,
                                      .poll = nothing_to_serve,
                                      .context = &member[i]},
                             .group = &group};
        if (i > 0 && pthread_create(&member[i].thread, NULL, run_member, &member[i]) != 0)
            abort();
    }
    run_member(&member[0]);
    for (int i = 0; i < members; i++) {
        if (i > 0)
            pthread_join(member[i].thread, NULL);
        if (status == METASD_OK || status == METASD_INTERRUPTED)
            status = member[i].status != METASD_OK ? member[i].status : status;
    }
    pthread_cond_destroy(&group.all_here);
    pthread_mutex_destroy(&group.lock);
    return status;
}
