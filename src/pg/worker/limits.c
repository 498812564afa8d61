#include "pg/worker/limits.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "pg/base/settings.h"
#include "pg/catalog/quota.h"

#define GATE_MS 10000 /* to wait for another training of the role that is about to take workers */

/*
 * A limit that file, database or role have set; false if none has. Another library defines these
 * settings, so they are texts here.
 */
static bool
find_limit(const MetasdLaunch *launch, MetasdLimit limit, int *value)
{
    static const char *const names[METASD_LIMITS] = METASD_LIMIT_NAMES;
    const char *text = GetConfigOption(names[limit], true, false);

    return launch->unset & (1 << limit) && text &&
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
metasd_limits_obey(MetasdLaunch *launch)
{
    int value;

    if (find_limit(launch, METASD_TRAIN_MEM_LIMIT, &value))
        metasd_quota_limit_memory(&launch->train_mem, value, &launch->limited);
    if (find_limit(launch, METASD_MIN_NICE, &value) && value > launch->nice) {
        launch->nice = Min(value, 19);
        metasd_process_lower_priority(launch->nice);
    }
    if (find_limit(launch, METASD_MAX_WORKERS, &value)) {
        launch->most_workers = metasd_quota_workers(value, launch->owner);
        launch->max_workers = Min(launch->max_workers, launch->most_workers);
    }
    if (find_limit(launch, METASD_MAX_TRAININGS, &value))
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
metasd_limits_bind(const MetasdLaunch *launch)
{
    return launch->most_workers < max_worker_processes;
}

int
metasd_limits_followers(MetasdProcess *process, int wished)
{
    const MetasdLaunch *launch = &process->launch;
    TimestampTz begun = GetCurrentTimestamp();
    int left;

    if (!metasd_limits_bind(launch))
        return wished;
    while (!metasd_quota_try_gate(launch->owner)) {
        if (TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), GATE_MS))
            return 0;
        metasd_process_poll(process);
        pg_usleep(10000);
    }
    left = launch->most_workers - metasd_quota_count_workers(launch->owner);
    return Max(0, Min(wished, left));
}

void
metasd_limits_end(const MetasdLaunch *launch)
{
    metasd_quota_leave_gate(launch->owner);
}
