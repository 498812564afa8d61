# Unit tests of the core: small programs without PostgreSQL, built apart from the extension's objects.
#   make unit               as the extension is built
#   make unit SANITIZE=1    under AddressSanitizer and UndefinedBehaviorSanitizer
#   make unit-programs      builds them only; SANITIZE=1, or PLAIN=1: for valgrind
# test/run.sh runs them under valgrind, too.

UNIT_CFLAGS = -std=gnu11 -g $(OWN_CFLAGS) -MMD -MP -Isrc -Itest/unit
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

$(EXACT:%=$(UNIT_DIR)/%.o): UNIT_CFLAGS += -ffp-contract=off

# Sources of src and of test/unit have objects in the same rooms; names of tests begin with test_.
UNIT_SOURCES = $(wildcard test/unit/*/test_*.c)
UNIT_TESTS = $(UNIT_SOURCES:test/unit/%.c=$(UNIT_DIR)/%)
UNIT_CORE = $(CORE_SOURCES:src/%.c=$(UNIT_DIR)/%.o)
UNIT_HELP = $(patsubst test/unit/%.c,$(UNIT_DIR)/%.o,$(wildcard test/unit/*.c))

$(UNIT_DIR)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/%.o: test/unit/%.c
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_TESTS): %: %.o $(UNIT_CORE) $(UNIT_HELP)
	$(CC) $(UNIT_CFLAGS) $^ -o $@ -Wl,--wrap=cblas_sgemm $(BLAS_LIBS) -lcmocka -lm -lpthread -ldl

# Fuzzers: programs that try inputs changed at random, some seconds of them where code is sanitized.
UNIT_FUZZERS = $(patsubst test/fuzz/%.c,$(UNIT_DIR)/fuzz_%,$(wildcard test/fuzz/*.c))

$(UNIT_DIR)/fuzz_%.o: test/fuzz/%.c
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/fuzz_%: $(UNIT_DIR)/fuzz_%.o $(UNIT_DIR)/rows.o $(UNIT_CORE)
	$(CC) $(UNIT_CFLAGS) $^ -o $@ $(BLAS_LIBS) -lm -ldl

# The same with libFuzzer, for as long as one likes: make fuzz, then build/fuzz/codec [...].
build/fuzz/%: test/fuzz/%.c test/unit/rows.c $(wildcard src/core/*/*.[ch] test/unit/*.h)
	@mkdir -p $(@D)
	clang -std=gnu11 -g -O1 -DMETASD_LIBFUZZER -DMETASD_PLAIN -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -Isrc -Itest/unit $(filter %.c,$<) test/unit/rows.c \
	  $(wildcard src/core/codec/*.c src/core/base/*.c) -o $@ -lm

.PHONY: unit unit-programs fuzz
.SECONDARY:
fuzz: $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/*.c))

UNIT_RUNS = $(UNIT_TESTS) $(if $(filter 1,$(SANITIZE)),$(UNIT_FUZZERS))
unit: $(UNIT_RUNS)
	@for t in $(UNIT_RUNS); do echo "# $$t"; $$t || exit 1; done

unit-programs: $(UNIT_RUNS)

-include $(shell find $(UNIT_DIR) -name "*.d" 2>/dev/null)
