/*
 * clusters.h - the entities of an image once more, with similar rows side by side.
 *
 * An approximate search (search.h) reads the clusters that promise most, and no other entity. So
 * each cluster has the codes of its entities as tiles of its own, in the layout of dense_columns.h:
 * the same kernels give the same scores; and their weights in lists as rows.
 *
 * The clusters come from two levels of k-means (Lloyd 1957) by Euclidean distance, on a sample.
 * Rows of small norm, which are seldom an answer, meet in clusters around the origin. First about
 * sqrt(C) coarse clusters are found, then each is divided. So an entity is compared with about
 * 2 sqrt(C) centers and not with C. A center that is stored is the mean of all entities of the
 * cluster. Sums are taken in a fixed order: the same rows give the same clusters on all processors.
 */
#ifndef METASD_CORE_SERVE_CLUSTERS_H
#define METASD_CORE_SERVE_CLUSTERS_H

#include "core/base/arena.h"
#include "core/serve/image.h"

/* Images of fewer entities have no clusters: all of them are scored in about a millisecond. */
#define METASD_CLUSTERS_FROM 65536u

/* The number of clusters for an image of so many entities: 0, or about 2 sqrt(entities). */
extern uint32_t metasd_clusters_default(uint32_t entities);

/* Bytes of the memory that metasd_clusters_make needs; SIZE_MAX if they do not fit. */
extern size_t metasd_clusters_bytes(const MetasdImagePlan *plan);

/*
 * Makes the clusters of an image that has all its entities and is not finished yet, with memory of
 * metasd_clusters_bytes, aligned as malloc does. Polls the team; works alone.
 */
extern MetasdStatus metasd_clusters_make(MetasdImage *image, void *memory, MetasdTeam *team);

/* Has each entity a cluster? For an image that is about to be finished. */
extern bool metasd_clusters_are_complete(const MetasdImage *image);

/* METASD_CORRUPT unless every search stays inside the clusters and has finite scores. Polls. */
extern MetasdStatus metasd_clusters_check(const MetasdImage *image, MetasdTeam *team);

#endif
