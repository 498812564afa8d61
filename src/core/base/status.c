#include "core/base/status.h"

const char *
metasd_status_text(MetasdStatus status)
{
    switch (status) {
        case METASD_OK:
            return "ok";
        case METASD_NO_MEMORY:
            return "out of memory";
        case METASD_INTERRUPTED:
            return "interrupted";
        case METASD_NON_FINITE:
            return "a loss is not finite";
        case METASD_INVALID:
            return "invalid argument";
        case METASD_CORRUPT:
            return "stored bytes are damaged";
    }
    return "unknown status";
}
