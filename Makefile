# metasd - knowledge-graph embeddings trained and served inside PostgreSQL
#
#   make demo     set up, build, train a small world map on a throwaway server, show answers
#   make test     set up, build, run every test: a few minutes on two processors
#   make soak     what takes hours: 200 kills, an hour of random SQL, ten times as many random names
#                 and parameters, all unit tests under valgrind; METASD_TRIALS, METASD_SECONDS,
#                 METASD_ROUNDS, METASD_SEED
#   make coverage the statements which the tests execute, by file
#   make          build against the PostgreSQL of PG_CONFIG
#   make install  ... and install there
#   make installcheck        then runs the SQL and isolation tests on a running server, which PGHOST,
#                            PGPORT and PGUSER name
#   make prove_installcheck  and the TAP tests, on servers of their own; PROVE_TESTS="test/t/001*.pl"
#   make dist     the archive for PGXN of what is committed; make deb: Debian packages of it

EXTENSION = metasd
DATA = $(wildcard sql/metasd--*.sql)

# Two libraries: a backend that asks models loads metasd, which needs no BLAS; the workers
# that train, and kg_estimate, load metasd_train.
MODULE_big = metasd
MODULES = metasd_train

# The folder of a file says which library it belongs to: of these rooms to both, of the others to one.
SHARED_ROOMS = core/base core/ranking core/model core/codec core/graph core/serve \
	pg/base pg/catalog pg/source pg/params pg/image
SERVE_ROOMS = pg pg/access pg/control pg/serve pg/evaluate pg/report pg/survey pg/explain
TRAIN_ROOMS = core/math core/train pg/worker
objects_of = $(patsubst %.c,%.o,$(wildcard $(addsuffix /*.c,$(addprefix src/,$(1)))))

OBJS = $(call objects_of,$(SHARED_ROOMS) $(SERVE_ROOMS))
TRAIN_OBJS = $(call objects_of,$(SHARED_ROOMS) $(TRAIN_ROOMS))
CORE_SOURCES = $(wildcard src/core/*/*.c)
CORE_OBJS = $(CORE_SOURCES:.c=.o)
# Scores of an image are the same on all processors, whether they have fused multiply-adds or not.
EXACT = core/serve/dense_columns core/serve/fold core/serve/postings core/serve/query core/serve/projection \
	core/serve/own_pull core/serve/pull
EXTRA_CLEAN = $(TRAIN_OBJS) $(OBJS:.o=.d) $(TRAIN_OBJS:.o=.d) build

REGRESS = $(shell sed 's/\#.*//' test/sql/order 2>/dev/null)
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec))
ISOLATION_OPTS = --inputdir=test/isolation
# PostgreSQL does not run as root: see below.
IS_ROOT := $(filter 0,$(shell id -u))
NO_INSTALLCHECK := $(IS_ROOT)

# Includes say the room: "core/graph/batch.h". Objects know the headers they were made of.
PG_CPPFLAGS = -Isrc -MMD -MP
OWN_CFLAGS = -Wall -Wextra -Werror
# Headers of PostgreSQL are not ours to mend.
PG_CFLAGS = $(OWN_CFLAGS) -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare \
	-Wno-declaration-after-statement -fvisibility=default -ffunction-sections -fdata-sections
# Vector code where loops ask for it; nothing here changes what arithmetic means.
CORE_CFLAGS = -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math
# What test/coverage.sh sets in a copy of the tree. The workers' mathematics stay fast: its statements
# are counted one by one where unit tests run it.
ifeq ($(COVERAGE),1)
COPT = --coverage -O0
endif

# The serial OpenBLAS: the default flavour starts threads as soon as it is loaded.
MULTIARCH := $(shell gcc -print-multiarch 2>/dev/null)
BLAS_DIR ?= $(firstword $(wildcard /usr/lib/$(MULTIARCH)/openblas-serial))
BLAS_INCLUDE ?= $(firstword $(wildcard /usr/include/$(MULTIARCH)/openblas-serial))
BLAS_LIBS = -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -lopenblas

# A library exports what PostgreSQL calls, and has no code that nothing in it reaches. Both hold some of
# the same objects: each uses its own.
SHLIB_LINK = -Wl,-Bsymbolic -Wl,--gc-sections -Wl,--version-script=src/exports.map -lm

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
# Code compiled again as bitcode could compute differently: without it there is one.
override with_llvm = no
include $(PGXS)
endif

$(CORE_OBJS): CFLAGS += $(CORE_CFLAGS)
$(EXACT:%=src/%.o): CFLAGS += -ffp-contract=off
src/core/math/blas.o: CPPFLAGS += -I$(BLAS_INCLUDE)
-include $(wildcard $(OBJS:.o=.d) $(TRAIN_OBJS:.o=.d))

# What they are made of is written here.
metasd.so metasd_train.so: Makefile src/exports.map

metasd_train.so: $(TRAIN_OBJS)
	$(CC) $(CFLAGS) $(TRAIN_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared $(BLAS_LIBS) $(SHLIB_LINK) -o $@

include test/unit/unit.mk
include test/bench/bench.mk

.PHONY: installcheck prove_installcheck test coverage soak demo demo-psql demo-clean

ifneq ($(IS_ROOT),)
installcheck prove_installcheck:
	@MAKE='$(MAKE)' test/as_postgres.sh $@
else
# Servers of the tests load a module of the tests; everything else is what make install has installed.
prove_installcheck:
	rm -rf build/prove && mkdir -p build/prove
	$(MAKE) -s -C test/modules PG_CONFIG='$(PG_CONFIG)'
	(echo "dynamic_library_path = '$(CURDIR)/test/modules:\$$libdir'"; cat test/server.conf) >build/prove/server.conf
	PATH="$(bindir):$$PATH" PGPORT=6$(DEF_PGPORT) TESTDIR='$(CURDIR)/build/prove' \
		TEMP_CONFIG='$(CURDIR)/build/prove/server.conf' PG_REGRESS='$(top_builddir)/src/test/regress/pg_regress' \
		$(PROVE) $(PG_PROVE_FLAGS) -I test/t $(PROVE_FLAGS) $(or $(PROVE_TESTS),$(wildcard test/t/*.pl))
endif

test:
	@test/setup.sh test && test/run.sh

coverage:
	@test/setup.sh test && test/coverage.sh

soak:
	@test/setup.sh test && METASD_TRIALS=$${METASD_TRIALS:-200} METASD_SECONDS=$${METASD_SECONDS:-3600} \
		METASD_ROUNDS=$${METASD_ROUNDS:-10} METASD_TAP="soak random_kills fuzz" METASD_VALGRIND=all \
		test/run.sh tap unit-valgrind

demo:
	@test/setup.sh && test/demo.sh

demo-psql:
	@test/demo.sh psql

demo-clean:
	@test/demo.sh clean

# Releases, see doc/contributing.md: the archive for PGXN of what is committed, and Debian packages of it.
RELEASE = $(shell sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
.PHONY: dist deb
dist:
	@mkdir -p build
	git archive --format=zip --prefix=metasd-$(RELEASE)/ -o build/metasd-$(RELEASE).zip HEAD -- . ':!.ci'

deb:
	@packaging/build-deb.sh
