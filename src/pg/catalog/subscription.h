/*
 * subscription.h - models that logical replication copies here from another database.
 *
 * PostgreSQL copies the tables of schema metasd one by one when a subscription begins, each in a
 * transaction of its own. So a model may be here before its versions are, and a version before its
 * embeddings. From then on each transaction of the publisher is one transaction here.
 */
#ifndef METASD_PG_CATALOG_SUBSCRIPTION_H
#define METASD_PG_CATALOG_SUBSCRIPTION_H

#include "pg/base/compat.h"

/* Does a subscription of this database copy models? */
extern bool metasd_subscription_exists(void);

/* Is one of their tables still being copied for the first time? */
extern bool metasd_subscription_is_copying(void);

/*
 * An error if this database subscribes to models, because then rows of the version that are not
 * here are no damage. DETAIL, translated, says what is not here.
 */
extern void metasd_subscription_check_whole(int64 run, const char *detail);

/*
 * An error while tables are being copied, for what reads rows of a version beside its image, which
 * an earlier subscription may have left here.
 */
extern void metasd_subscription_check_copied(int64 run);

#endif
