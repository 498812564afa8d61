#include "pg/image/build_request.h"

#include "storage/proc.h"

#include "pg/base/background.h"
#include "pg/catalog/extension.h"
#include "pg/catalog/run.h"
#include "pg/image/image_file.h"
#include "pg/image/image_lock.h"

bool
metasd_build_request_is_wanted(void)
{
#if PG_VERSION_NUM >= 170000
    return StatementTimeout > 0 || TransactionTimeout > 0;
#else
    return StatementTimeout > 0;
#endif
}

/* NULL if all slots are taken. */
static BackgroundWorkerHandle *
start_worker(const pg_uuid_t *uuid, int64 run, int cache_size)
{
    MetasdBuildRequest request = {.database = MyDatabaseId,
                                  .extension = metasd_extension(),
                                  .run = run,
                                  .uuid = *uuid,
                                  .cache_size = cache_size};
    BackgroundWorkerHandle *handle;
    BackgroundWorker worker =
        metasd_background_worker("metasd", "metasd_build_worker_main",
                                 BgWorkerStart_ConsistentState, &request, sizeof(request));

    StaticAssertStmt(sizeof(request) <= BGW_EXTRALEN, "a request must fit bgw_extra");
    snprintf(worker.bgw_name, BGW_MAXLEN, "metasd image of run " INT64_FORMAT, run);
    snprintf(worker.bgw_type, BGW_MAXLEN, "metasd image");
    return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

/* One worker per version, which goes on if the session that started it ends. */
bool
metasd_build_request_wait(const pg_uuid_t *uuid, int64 run, int cache_size, MetasdTeam *team,
                          MetasdImage *view)
{
    BackgroundWorkerHandle *handle = NULL;
    pid_t pid;

    for (;;) {
        bool stopped = handle && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;

        if (metasd_image_file_attach(uuid, false, team, view))
            return true;
        if (stopped || (!handle && !metasd_image_lock_has_worker(uuid) &&
                        !(handle = start_worker(uuid, run, cache_size))))
            return false;
        metasd_run_sleep(5);
    }
}
