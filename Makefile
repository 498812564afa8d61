# metasd - knowledge-graph embeddings trained and served inside PostgreSQL
#
#   make demo     set up, build, train a small world map on a throwaway server, show answers
#   make test     set up, build, run every test
#   make          build against the PostgreSQL of PG_CONFIG
#   make install  ... and install there; make installcheck then runs the SQL tests

CORE_OBJS = $(patsubst %.c,%.o,$(wildcard src/core/*.c))

# Vector code where loops ask for it; nothing here changes what arithmetic means.
CORE_CFLAGS = -std=gnu11 -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math
OWN_CFLAGS = -Wall -Wextra -Werror

# The serial OpenBLAS: the default flavour starts threads as soon as it is loaded.
BLAS_DIR ?= $(firstword $(wildcard /usr/lib/$(shell gcc -print-multiarch)/openblas-serial))
BLAS_INCLUDE ?= $(firstword $(wildcard /usr/include/$(shell gcc -print-multiarch)/openblas-serial))
BLAS_LIBS = -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -lopenblas

include test/unit/unit.mk
include test/bench/bench.mk

.PHONY: test setup
setup:
	@test/setup.sh test

test: setup
	@test/run.sh
