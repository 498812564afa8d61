#include "pg/base/background.h"

BackgroundWorker
metasd_background_worker(const char *library, const char *function, BgWorkerStartTime start,
                         const void *order, Size bytes)
{
    BackgroundWorker worker;

    Assert(bytes <= BGW_EXTRALEN);
    memset(&worker, 0, sizeof(worker));
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = start;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "%s", library);
    snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "%s", function);
    worker.bgw_notify_pid = MyProcPid;
    memcpy(worker.bgw_extra, order, bytes);
    return worker;
}
