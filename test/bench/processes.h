/*
 * processes.h - a team of processes.
 *
 * The serial OpenBLAS is not made for threads, so members are processes as in PostgreSQL: member
 * 0 is the caller, the others are forked from it. What they share lies in memory_share's memory.
 */
#ifndef METASD_BENCH_PROCESSES_H
#define METASD_BENCH_PROCESSES_H

#include "core/base/team.h"

#define PROCESSES_MOST 64

/*
 * Runs work(team, context) in all members; returns when all have ended. Where one fails, dies or
 * ends before the others, they fail at their next barrier or poll. The status is that of the
 * first member whose failure is not the consequence of another's.
 */
extern MetasdStatus
processes_run(int members, MetasdStatus (*work)(MetasdTeam *team, void *context), void *context);

/* Seconds that this member has waited in barriers since its work began. */
extern double processes_waited(const MetasdTeam *team);

#endif
