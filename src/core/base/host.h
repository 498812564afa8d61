/*
 * host.h - what the processor must be like. The formats of rows, images and checkpoints are written
 * as memory has them.
 */
#ifndef METASD_CORE_BASE_HOST_H
#define METASD_CORE_BASE_HOST_H

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "metasd needs a little-endian processor"
#endif

#if !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ != 8
#error "metasd needs a 64-bit processor"
#endif

#endif
