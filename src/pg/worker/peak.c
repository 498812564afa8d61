#include "pg/worker/peak.h"

#include <stdio.h>
#include <sys/resource.h>

/* Of this process, in bytes. */
static struct {
    size_t resident; /* the most pages of all kinds, at the last look */
    size_t shared;   /* segments of its team */
    size_t most;
} peak;

/* Pages of a process, in kilobytes: the most resident ones so far, and those of each kind now. */
typedef struct Pages {
    size_t resident, own, file, shared;
} Pages;

/* As the system tells it; where it does not, all pages count as the process's own. */
static Pages
read_pages(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    Pages pages = {0};
    struct rusage usage;
    char line[128];

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmHWM: %zu", &pages.resident) != 1 &&
            sscanf(line, "RssAnon: %zu", &pages.own) != 1 &&
            sscanf(line, "RssFile: %zu", &pages.file) != 1)
            (void)sscanf(line, "RssShmem: %zu", &pages.shared);
    if (file)
        fclose(file);
    if (pages.resident == 0) {
        getrusage(RUSAGE_SELF, &usage);
        pages.resident = (size_t)usage.ru_maxrss;
    }
    return pages;
}

/*
 * Pages of files and of shared memory only grow in number. So if there have been more pages at once
 * than before, what is left of them without these was the process's own, or more.
 */
void
metasd_peak_look(void)
{
    Pages pages = read_pages();
    size_t own = pages.own;

    if (pages.resident > peak.resident)
        own = Max(own, pages.resident - Min(pages.resident, pages.file + pages.shared));
    peak.resident = pages.resident;
    peak.most = Max(peak.most, 1024 * own + peak.shared);
}

void
metasd_peak_add_shared(size_t bytes)
{
    metasd_peak_look();
    peak.shared += bytes;
}

size_t
metasd_peak_bytes(void)
{
    metasd_peak_look();
    return peak.most;
}
