# Programs that measure the core: make bench-programs, then build/bench/NAME. make bench builds
# them and runs each for a moment. Sources with a main are programs, the others help them all.
BENCH_CFLAGS = -std=gnu11 -g $(OWN_CFLAGS) $(CORE_CFLAGS) -MMD -MP -Isrc
BENCH_MAINS := $(shell grep -l '^main\b' test/bench/*.c 2>/dev/null)
BENCH_PROGRAMS = $(BENCH_MAINS:test/bench/%.c=build/bench/%)
BENCH_HELP = $(patsubst test/bench/%.c,build/bench/%.o,\
	$(filter-out $(BENCH_MAINS),$(wildcard test/bench/*.c)))
BENCH_CORE = $(CORE_SOURCES:src/%.c=build/bench/%.o)

$(EXACT:%=build/bench/%.o): BENCH_CFLAGS += -ffp-contract=off
build/bench/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -c $< -o $@

build/bench/%.o: test/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -c $< -o $@

build/bench/%: build/bench/%.o $(BENCH_HELP) $(BENCH_CORE)
	$(CC) $(BENCH_CFLAGS) $^ -o $@ $(BLAS_LIBS) -lm -ldl

.PHONY: bench bench-programs
bench-programs: $(BENCH_PROGRAMS)

# Those that need no arguments come last.
bench: bench-programs
	build/bench/synthetic 1000 10000 5 | tail -n 2
	build/bench/epoch synthetic:3000:30000:10 rank=50 epochs=2 validation_fraction=0.02
	build/bench/epoch synthetic:3000:30000:10 rank=50 epochs=2 members=2 phases=1
	build/bench/warm synthetic:1000:10000:10 rank=50 epochs=4 validation_fraction=0.02 warm:epochs=2
	build/bench/storage synthetic:1000:10000:10 rank=50 epochs=4 validation_fraction=0.02
	build/bench/probe synthetic:300:5000:10 rank=50 batch=500 validation_fraction=0.05 | tail -n 1
	@for p in $(filter-out $(patsubst %,build/bench/%,synthetic epoch warm storage probe),$(BENCH_PROGRAMS)); do \
	  echo "# $$p"; $$p || exit 1; done

-include $(shell find build/bench -name "*.d" 2>/dev/null)
