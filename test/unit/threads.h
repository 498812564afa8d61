/* threads.h - a team of threads, for tests; the core itself starts none. */
#ifndef METASD_UNIT_THREADS_H
#define METASD_UNIT_THREADS_H

#include "core/base/team.h"

#define THREADS_MOST 12

/*
 * Runs work on every member of a team of `members` threads, the caller being member 0, and
 * returns the first status that is not METASD_OK. Once a member has failed, the barriers of
 * the others answer METASD_INTERRUPTED.
 */
extern MetasdStatus threads_run(int members, MetasdStatus (*work)(MetasdTeam *team, void *context),
                                void *context);

#endif
