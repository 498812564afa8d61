#include "check.h"

#include <stdio.h>
#include <stdlib.h>

void
check(MetasdStatus status)
{
    if (status == METASD_OK)
        return;
    fprintf(stderr, "%s\n", metasd_status_text(status));
    exit(1);
}
