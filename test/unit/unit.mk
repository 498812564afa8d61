# Unit tests of the core: small programs without PostgreSQL, built apart from the extension's objects.
#   make unit               as the extension is built
#   make unit SANITIZE=1    under AddressSanitizer and UndefinedBehaviorSanitizer
#   make unit-programs      builds them only; SANITIZE=1, or PLAIN=1: for valgrind
# test/run.sh runs them under valgrind, too.

UNIT_CFLAGS = -std=gnu11 -g $(OWN_CFLAGS) -Isrc/core -I$(BLAS_INCLUDE)
ifeq ($(SANITIZE),1)
UNIT_DIR = build/unit-sanitize
UNIT_CFLAGS += -O1 -fopenmp-simd -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -DMETASD_PLAIN
else ifeq ($(PLAIN),1)
UNIT_DIR = build/unit-plain
UNIT_CFLAGS += -O2 -fopenmp-simd -fno-math-errno -fno-trapping-math -DMETASD_PLAIN
else
UNIT_DIR = build/unit
UNIT_CFLAGS += -O3 -fopenmp-simd -fno-math-errno -fno-trapping-math
endif

ifeq ($(COVERAGE),1)
# Teams are threads here.
UNIT_CFLAGS += $(COPT) -fprofile-update=atomic
endif

$(UNIT_DIR)/columns.o $(UNIT_DIR)/index_ask.o $(UNIT_DIR)/postings.o: UNIT_CFLAGS += -ffp-contract=off

UNIT_TESTS = $(patsubst test/unit/test_%.c,$(UNIT_DIR)/test_%,$(wildcard test/unit/test_*.c))
UNIT_CORE = $(patsubst src/core/%.c,$(UNIT_DIR)/%.o,$(wildcard src/core/*.c))
UNIT_HELP = $(patsubst test/unit/%.c,$(UNIT_DIR)/%.o,\
	$(filter-out $(wildcard test/unit/test_*.c),$(wildcard test/unit/*.c)))

$(UNIT_DIR)/%.o: src/core/%.c $(wildcard src/core/*.h)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/%.o: test/unit/%.c $(wildcard src/core/*.h test/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/test_%: $(UNIT_DIR)/test_%.o $(UNIT_CORE) $(UNIT_HELP)
	$(CC) $(UNIT_CFLAGS) $^ -o $@ -Wl,--wrap=cblas_sgemm $(BLAS_LIBS) -lcmocka -lm -lpthread

# Fuzzers: programs that try inputs changed at random, some seconds of them where code is sanitized.
UNIT_FUZZERS = $(patsubst test/fuzz/%.c,$(UNIT_DIR)/fuzz_%,$(wildcard test/fuzz/*.c))

$(UNIT_DIR)/fuzz_%.o: test/fuzz/%.c $(wildcard src/core/*.h test/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -Itest/unit -c $< -o $@

$(UNIT_DIR)/fuzz_%: $(UNIT_DIR)/fuzz_%.o $(UNIT_DIR)/rows.o $(UNIT_CORE)
	$(CC) $(UNIT_CFLAGS) $^ -o $@ $(BLAS_LIBS) -lm

# The same with libFuzzer, for as long as one likes: make fuzz, then build/fuzz/codec [...].
build/fuzz/%: test/fuzz/%.c test/unit/rows.c $(wildcard src/core/*.[ch] test/unit/*.h)
	@mkdir -p $(@D)
	clang -std=gnu11 -g -O1 -DMETASD_LIBFUZZER -DMETASD_PLAIN -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -Isrc/core -Itest/unit $(filter %.c,$<) test/unit/rows.c \
	  src/core/codec.c src/core/crc32c.c src/core/bits.c src/core/random.c \
	  src/core/team.c -o $@ -lm

.PHONY: unit unit-programs fuzz
.SECONDARY:
fuzz: $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/*.c))

UNIT_RUNS = $(UNIT_TESTS) $(if $(filter 1,$(SANITIZE)),$(UNIT_FUZZERS))
unit: $(UNIT_RUNS)
	@for t in $(UNIT_RUNS); do echo "# $$t"; $$t || exit 1; done

unit-programs: $(UNIT_RUNS)
