/*
 * hash.h - a hash of 64 bits, which shows whether bytes have changed by accident. Not against
 * attacks.
 */
#ifndef METASD_CORE_BASE_HASH_H
#define METASD_CORE_BASE_HASH_H

#include "core/base/team.h"

/*
 * The hash of n bytes behind those that `hash` was computed from; 0 to begin with. It depends on
 * the sizes of the calls, and on the byte order of the host.
 */
extern uint64_t metasd_hash(uint64_t hash, const void *bytes, size_t n);

/* The same for an array that may be large; polls. */
extern MetasdStatus metasd_hash_array(MetasdTeam *team, const void *bytes, size_t n,
                                      uint64_t *hash);

#endif
