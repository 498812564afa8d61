# metasd - knowledge-graph embeddings trained and served inside PostgreSQL
#
#   make demo     set up, build, train a small world map on a throwaway server, show answers; then
#                 make demo-psql opens psql there, make demo-clean removes the server
#   make          build against the PostgreSQL of PG_CONFIG; PG=17: that of Debian's packages of 17;
#                 BLAS_DIR: the folder of the BLAS; WERROR=1: warnings are errors, as in the tests
#   make install  ... and install there; make uninstall
#   make test     set up, build, run every test: a few minutes on two processors
#   make unit     the tests of the core alone; SANITIZE=1: with sanitizers and fuzzers; make fuzz: with libFuzzer
#   make installcheck        the SQL and isolation tests on a running server with metasd installed, which
#                            PGHOST, PGPORT and PGUSER name
#   make prove_installcheck  the TAP tests of what is installed, on servers of their own;
#                            PROVE_TESTS="test/t/001*.pl"
#   make soak     what takes hours: 200 kills, an hour of random SQL, ten times as many random names
#                 and parameters, all unit tests under valgrind; METASD_TRIALS, METASD_SECONDS,
#                 METASD_ROUNDS, METASD_SEED
#   make coverage the statements which the tests execute, by file
#   make bench    the programs that measure the core
#   make dist     the archive for PGXN of what is committed; make deb: Debian packages of it
#   make help     these lines

# Where this file is: elsewhere, if one builds in another folder by make -f.
SRC := $(or $(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))
found = $(patsubst $(SRC)/%,%,$(wildcard $(addprefix $(SRC)/,$(1))))

EXTENSION = metasd
DATA = $(call found,sql/metasd--*.sql)

# Two libraries: a backend that asks models loads metasd, which needs no BLAS; the workers
# that train, and kg_estimate, load metasd_train.
MODULE_big = metasd
MODULES = metasd_train

# The folder of a file says which library it belongs to: of these rooms to both, of the others to one.
SHARED_ROOMS = core/base core/ranking core/model core/codec core/graph core/serve \
	pg/base pg/catalog pg/source pg/params pg/image
SERVE_ROOMS = pg pg/access pg/control pg/serve pg/evaluate pg/report pg/survey pg/explain
TRAIN_ROOMS = core/math core/train pg/worker
objects_of = $(patsubst %.c,%.o,$(call found,$(addsuffix /*.c,$(addprefix src/,$(1)))))

OBJS = $(call objects_of,$(SHARED_ROOMS) $(SERVE_ROOMS))
TRAIN_OBJS = $(call objects_of,$(SHARED_ROOMS) $(TRAIN_ROOMS))
CORE_SOURCES = $(call found,src/core/*/*.c)
CORE_OBJS = $(CORE_SOURCES:.c=.o)
# Scores of an image are the same on all processors, whether they have fused multiply-adds or not.
EXACT = core/serve/dense_columns core/serve/fold core/serve/postings core/serve/query core/serve/projection \
	core/serve/own_pull core/serve/pull core/serve/clusters core/serve/kmeans core/serve/search
EXTRA_CLEAN = $(TRAIN_OBJS) $(OBJS:.o=.d) $(TRAIN_OBJS:.o=.d) build

REGRESS = $(shell sed 's/\#.*//' $(SRC)/test/sql/order 2>/dev/null)
REGRESS_OPTS = --inputdir=$(SRC)/test
# PostgreSQL does not run as root: see below.
IS_ROOT := $(filter 0,$(shell id -u))
NO_INSTALLCHECK := $(IS_ROOT)

# Includes say the room: "core/graph/batch.h". Objects know the headers they were made of.
PG_CPPFLAGS = -I$(SRC)/src -MMD -MP
# A warning of a compiler that is not here yet must not stop a user's build. Names of folders would make two
# builds differ. clang gets flags that PostgreSQL has for gcc. Headers of PostgreSQL before 16 declare functions
# with (), which says in C23, gcc 15's own default, that there are no arguments.
OWN_CFLAGS = -std=gnu11 -Wall -Wextra -ffile-prefix-map=$(abspath $(SRC))=. $(CLANG_CFLAGS) $(WARNINGS_STOP)
CLANG_CFLAGS = $(eval CLANG_CFLAGS := $(if $(shell $(CC) --version | grep clang), \
	-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes))$(CLANG_CFLAGS)
WARNINGS_STOP = $(if $(filter 1,$(WERROR)),-Werror)
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

# The serial OpenBLAS where Debian has it: other flavours have threads that training does not use. Else what the
# compiler finds: another OpenBLAS, BLIS, or the BLAS that the system's alternatives choose.
MULTIARCH := $(shell gcc -print-multiarch 2>/dev/null)
BLAS_DIR ?= $(firstword $(wildcard /usr/lib/$(MULTIARCH)/openblas-serial))
BLAS_FOLDER = $(if $(BLAS_DIR),$(if $(wildcard $(BLAS_DIR)/lib*bl[ai]s*),,$(NO_BLAS))-L$(BLAS_DIR) -Wl$(comma)-rpath$(comma)$(BLAS_DIR))
comma = ,
links = $(shell echo 'void cblas_sgemm(void); int main(void) { cblas_sgemm(); return 0; }' | \
	$(CC) -x c - $(BLAS_FOLDER) $(1) -o /dev/null 2>/dev/null && echo $(1))
BLAS_LIBS ?= $(eval BLAS_LIBS := $(strip $(BLAS_FOLDER) $(or $(call links,-lopenblas),$(call links,-lblis),\
	$(call links,-lcblas),$(call links,-lblas),$(NO_BLAS))))$(BLAS_LIBS)
NO_BLAS = $(error No BLAS library was found$(if $(BLAS_DIR), in $(BLAS_DIR)). Training needs one, best the serial \
	OpenBLAS. Debian and Ubuntu: apt-get install libopenblas-serial-dev. Fedora and RHEL: dnf install \
	openblas-devel. If it is in a folder of its own, say which: make BLAS_DIR=/folder)

# A library exports what PostgreSQL calls, and has no code that nothing in it reaches. Both hold some of
# the same objects: each uses its own.
SHLIB_LINK = -Wl,-Bsymbolic -Wl,--gc-sections -Wl,--version-script=$(SRC)/src/exports.map -lm

ifneq ($(PG),)
PG_CONFIG = /usr/lib/postgresql/$(PG)/bin/pg_config
endif
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
# Debian's packages of 13 have no program that runs such tests.
ifneq ($(wildcard $(dir $(PGXS))../test/isolation/pg_isolation_regress),)
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(call found,test/isolation/specs/*.spec))
ISOLATION_OPTS = --inputdir=$(SRC)/test/isolation
endif
NO_SERVER = $(error $(PG_CONFIG) is not there, or knows no headers. Debian and Ubuntu: test/setup.sh installs \
	them. Elsewhere install those of PostgreSQL 13 to 18, and say which: make PG_CONFIG=/path/to/pg_config)
ifneq ($(PGXS),)
# Code compiled again as bitcode could compute differently: without it there is one.
override with_llvm = no
include $(PGXS)
else
all install:
	$(NO_SERVER)
endif

# The kernels choose their instructions themselves when they are loaded. Functions that they share could not be
# inlined in them if the whole build had more (-march=native).
ifneq ($(shell echo '#include "core/base/simd.h"' | $(CC) -I$(SRC)/src -dM -E - 2>/dev/null | \
	grep 'define METASD_DISPATCH 1'),)
CORE_CFLAGS += -march=x86-64
endif

$(CORE_OBJS): CFLAGS += $(CORE_CFLAGS)
$(EXACT:%=src/%.o): CFLAGS += -ffp-contract=off
-include $(wildcard $(OBJS:.o=.d) $(TRAIN_OBJS:.o=.d))

# Objects are made again when the server or the compiler is another one, or flags are; and where warnings
# shall stop the build, if they did not. (Folders may differ: a server's copy is that server.)
BUILT_WITH := $(shell $(PG_CONFIG) --version --configure 2>/dev/null) $(CC) \
	$(filter-out -Werror -ffile-prefix-map=% -I%,$(CPPFLAGS) $(CFLAGS) $(CORE_CFLAGS))
$(OBJS) $(TRAIN_OBJS): build/built_with
build/built_with: FORCE
	$(if $(PGXS),,$(NO_SERVER))$(if $(BLAS_LIBS),)@mkdir -p build $(sort $(dir $(OBJS) $(TRAIN_OBJS)))
	@rm -f $@.new; printf '%s\n' $(call quoted,$(BUILT_WITH)) >$@.new
	@if ! head -n 1 $@ 2>/dev/null | cmp -s - $@.new || \
	    { [ '$(WERROR)' = 1 ] && ! grep -qx WERROR $@; }; then \
	    [ '$(WERROR)' != 1 ] || echo WERROR >>$@.new; mv -f $@.new $@; fi; rm -f $@.new
quoted = '$(subst ','\'',$(1))'

# What they are made of is written here.
metasd.so metasd_train.so: Makefile src/exports.map

# What it says of threads to the library of products, it says before that is initialised.
metasd_train.so: $(TRAIN_OBJS)
	$(CC) $(CFLAGS) $(TRAIN_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared $(BLAS_LIBS) $(SHLIB_LINK) -Wl,-z,initfirst \
		-ldl -o $@

include $(SRC)/test/unit/unit.mk
include $(SRC)/test/bench/bench.mk

.PHONY: FORCE help installcheck prove_installcheck test coverage soak demo demo-psql demo-clean

help:
	@sed -n 's/^#   //p' $(SRC)/Makefile | sed '/^make help/q'

ifneq ($(IS_ROOT),)
installcheck prove_installcheck:
	@MAKE='$(MAKE)' test/as_postgres.sh $@
else
# Servers of the tests load a module of the tests; everything else is what make install has installed.
prove_installcheck:
	rm -rf build/prove && mkdir -p build/prove/tmp_check/log
	$(MAKE) -s -B -C test/modules PG_CONFIG='$(PG_CONFIG)'
	(echo "dynamic_library_path = '$(CURDIR)/test/modules:\$$libdir'"; cat test/server.conf) >build/prove/server.conf
	PATH="$(bindir):$$PATH" PGPORT=6$(DEF_PGPORT) TESTDIR='$(CURDIR)/build/prove' \
		TESTDATADIR='$(CURDIR)/build/prove/tmp_check' TESTLOGDIR='$(CURDIR)/build/prove/tmp_check/log' \
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
