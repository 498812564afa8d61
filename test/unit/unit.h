/* unit.h - what every unit test includes: cmocka and the headers it wants first. */
#ifndef METASD_UNIT_H
#define METASD_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
