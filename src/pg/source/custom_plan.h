/*
 * custom_plan.h - does an extension with an executor of its own, such as Citus, read a relation?
 *
 * Such a relation looks like a table here, but its rows may lie on other servers, and parts of a
 * query may run there.
 */
#ifndef METASD_PG_SOURCE_CUSTOM_PLAN_H
#define METASD_PG_SOURCE_CUSTOM_PLAN_H

#include "pg/base/compat.h"

#include "nodes/plannodes.h"

#include "pg/source/reading.h"

/* Has the plan a node of another extension? */
extern bool metasd_custom_plan_found(const PlannedStmt *planned);

/* Does an extension read the relation of READING? Asks the planner if there can be one. */
extern bool metasd_custom_plan_reads(const MetasdReading *reading);

#endif
