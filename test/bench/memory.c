#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static void *
checked(void *memory, size_t bytes)
{
    if (!memory) {
        fprintf(stderr, "there is no memory of %zu bytes\n", bytes);
        exit(1);
    }
    return memory;
}

void *
memory_take(size_t bytes)
{
    return checked(malloc(bytes > 0 ? bytes : 1), bytes);
}

void *
memory_take_lines(size_t bytes)
{
    return checked(aligned_alloc(64, (bytes / 64 + 1) * 64), bytes);
}

void *
memory_grow(void *memory, size_t bytes)
{
    return checked(realloc(memory, bytes), bytes);
}

void *
memory_share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return checked(memory == MAP_FAILED ? NULL : memory, bytes);
}

void
memory_unshare(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

size_t
memory_free(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    char line[256];
    size_t kilobytes = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %zu kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

size_t
memory_peak(void)
{
    struct rusage self, children;
    long most;

    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    most = self.ru_maxrss > children.ru_maxrss ? self.ru_maxrss : children.ru_maxrss;
    return (size_t)most * 1024;
}
