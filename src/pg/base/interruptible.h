/*
 * interruptible.h - long work of the core in a process that works alone.
 */
#ifndef METASD_PG_BASE_INTERRUPTIBLE_H
#define METASD_PG_BASE_INTERRUPTIBLE_H

#include "pg/base/compat.h"

#include "core/base/team.h"

/*
 * A team of one that serves interrupts. These may jump out of the core: so all memory that it works
 * with must belong to a memory context.
 */
extern MetasdTeam metasd_interruptible_team(void);

#endif
