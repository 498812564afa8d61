# Programs that measure the core: make bench-programs, then build/bench/NAME.
BENCH_CFLAGS = -std=gnu11 -g $(OWN_CFLAGS) $(CORE_CFLAGS) -Isrc/core -I$(BLAS_INCLUDE)
BENCH_PROGRAMS = $(patsubst test/bench/%.c,build/bench/%,$(wildcard test/bench/*.c))

build/bench/%: test/bench/%.c $(wildcard src/core/*.c src/core/*.h)
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) $< $(wildcard src/core/*.c) -o $@ $(BLAS_LIBS) -lm

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)
