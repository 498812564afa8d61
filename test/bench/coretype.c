/* coretype.c - programs that measure use the kernels of OpenBLAS that training workers use. */
#include "coretype.h"

#include <unistd.h>

/* OpenBLAS has chosen before any code of ours runs: the program starts again, once. */
__attribute__((constructor)) static void
choose(int argc, char **argv)
{
    (void)argc;
    if (metasd_coretype_set())
        execv("/proc/self/exe", argv);
}
