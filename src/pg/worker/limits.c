/*
 * limits.c - what the server's configuration allows a training, as its worker sees it.
 */
#include "pg/worker/job.h"

#include "pg/catalog/quota.h"
#include "pg/base/settings.h"

#define GATE_MS 10000 /* to wait for another training of the role that is about to take workers */

/*
 * What file, database and role say of a limit; false if nothing. The library that knows these
 * settings is not this one, so they are texts.
 */
static bool
own_limit(const MetasdJob *job, MetasdLimit limit, int *value)
{
    static const char *const names[METASD_LIMITS] = METASD_LIMIT_NAMES;
    const char *text = GetConfigOption(names[limit], true, false);

    return job->launch.unset & (1 << limit) && text &&
           parse_int(text, value, limit == METASD_TRAIN_MEM_LIMIT ? GUC_UNIT_KB : 0, NULL);
}

static void
check_trainings(const MetasdLaunch *launch, int most)
{
    if (metasd_quota_count_trainings(launch->owner) >= most)
        ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                        errmsg("too many trainings of this role"),
                        errdetail("metasd.max_trainings_per_role is %d.", most),
                        errhint("Wait for one to end, or let a superuser raise "
                                "metasd.max_trainings_per_role.")));
}

void
metasd_limits_obey(MetasdJob *job)
{
    MetasdLaunch *launch = &job->launch;
    int value;

    if (own_limit(job, METASD_TRAIN_MEM_LIMIT, &value))
        metasd_quota_limit_memory(&launch->train_mem, value, &launch->limited);
    if (own_limit(job, METASD_MIN_NICE, &value) && value > launch->nice) {
        launch->nice = Min(value, 19);
        metasd_process_lower_priority(job);
    }
    if (own_limit(job, METASD_MAX_WORKERS, &value)) {
        launch->most_workers = metasd_quota_workers(value, launch->owner);
        launch->max_workers = Min(launch->max_workers, launch->most_workers);
    }
    if (own_limit(job, METASD_MAX_TRAININGS, &value))
        check_trainings(launch, metasd_quota_trainings(value, launch->owner));
}

int
metasd_limits_cache_size(void)
{
    const char *text = GetConfigOption("metasd.image_cache_size", true, false);
    int value;

    if (!text || !parse_int(text, &value, GUC_UNIT_KB, NULL) || value < 0)
        return METASD_IMAGE_CACHE_SIZE;
    return value;
}

const char *
metasd_limits_memory_setting(const MetasdLaunch *launch)
{
    return launch->limited ? "metasd.train_mem_limit" : "metasd.train_mem";
}

bool
metasd_limits_bind(const MetasdJob *job)
{
    return job->launch.most_workers < max_worker_processes;
}

int
metasd_limits_followers(MetasdJob *job, int wished)
{
    TimestampTz begun = GetCurrentTimestamp();
    int left;

    if (!metasd_limits_bind(job))
        return wished;
    while (!metasd_quota_try_gate(job->launch.owner)) {
        if (TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), GATE_MS))
            return 0;
        metasd_process_check_status(job, job->team.poll(&job->team));
        pg_usleep(10000);
    }
    left = job->launch.most_workers - metasd_quota_count_workers(job->launch.owner);
    return Max(0, Min(wished, left));
}

void
metasd_limits_end(const MetasdJob *job)
{
    metasd_quota_leave_gate(job->launch.owner);
}
