# `make` builds the library, `make help` lists what else there is.
#
# Building and installing need Rust, a C compiler and binutils, and nothing of scripts/. A packager
# calls `make` and `make install` with the variables below; `make install` takes what is built, and
# builds only when nothing is.

CARGO        ?= cargo
# For building the library, such as --frozen where there is no network.
CARGOFLAGS   ?=
CFLAGS       ?= -g -O2
CXXFLAGS     ?= $(CFLAGS)
DESTDIR      ?=
PREFIX       ?= /usr/local
LIBDIR       ?= $(PREFIX)/lib
INCLUDEDIR   ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
MANDIR       ?= $(PREFIX)/share/man

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
SONAME  := libblockjob.so.0
TARGET  := $(or $(CARGO_TARGET_DIR),target)
LIBRARY := $(TARGET)/release/libblockjob.so
HEADER  := include/blockjob.h

# A program here finds the library from where it stands itself, so the tree may be moved.
FLAGS := -Iinclude -Wall -Wextra -Wpedantic $(CPPFLAGS)
RPATH := -Wl,-rpath,'$$ORIGIN/../release'
LINK  := -L$(TARGET)/release -lblockjob $(RPATH)

C_TESTS   := $(patsubst c-tests/%,$(TARGET)/c-tests/%,\
               $(basename $(wildcard c-tests/test_*.c c-tests/test_*.cc)))
C_HELPERS := $(patsubst c-tests/%.c,$(TARGET)/c-tests/%.o,\
               $(filter-out c-tests/test_%.c,$(wildcard c-tests/*.c)))

.PHONY: all lib header examples c-tests demo check check-msrv check-fresh check-qemus check-tsan \
        check-asan check-shuttle coverage cuts bench soak storm wrong fuzz fuzz-corpus install \
        uninstall clean help
.DELETE_ON_ERROR:
# Objects are kept for the next time.
.SECONDARY:

all: lib

lib: ## the shared object (also what `make` alone does)
	$(CARGO) rustc $(CARGOFLAGS) --release --lib --crate-type cdylib
	@ln -sf libblockjob.so $(TARGET)/release/$(SONAME)

header: ## include/blockjob.h anew, after a change of src/capi
	BLOCKJOB_UPDATE_HEADER=1 $(CARGO) build $(CARGOFLAGS) --features header

EXAMPLES  := $(patsubst %.c,$(TARGET)/%,$(wildcard examples/*.c)) $(TARGET)/examples/follow-go

examples: $(EXAMPLES) ## the programs of examples/

c-tests: $(C_TESTS) ## the programs of c-tests/ (`make check-c` runs them)

demo: ## three jobs of a real QEMU, as a C program is told of them; BREAK=cancel must fail
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory lib $(TARGET)/examples/follow
	python3 demo/demo.py

check: ## every check, with a summary; `make check-NAME` runs the one that it calls NAME
	@scripts/setup.sh check
	+@scripts/check.sh

check-%:
	+@scripts/check.sh $*

check-msrv: ## build and test with the oldest Rust that is promised (wants root)
	@scripts/setup.sh roots
	@scripts/check-msrv.sh

check-fresh: ## `make demo` on a clone in minimal Debian 12 and 13 (wants root)
	@scripts/setup.sh roots
	@scripts/check-fresh.sh

check-qemus: ## the tests with real QEMUs against those of four Debian releases, as a table
	@scripts/setup.sh check
	+@scripts/check-qemus.sh

check-tsan: ## the C tests with a thread sanitizer in library, std and programs; two planted races
	@scripts/setup.sh sanitizers
	+@scripts/check-tsan.sh

check-asan: ## C and Rust tests with the address and leak sanitizers; four planted faults
	@scripts/setup.sh sanitizers
	+@scripts/check-asan.sh

check-shuttle: ## the engine's threads in many orders (ORDERS=N); planted faults must be found
	@scripts/setup.sh build
	@scripts/check-shuttle.sh

coverage: ## which lines all the tests run together, as a table, and as pages in target/coverage
	@scripts/setup.sh check
	+@scripts/coverage.sh

cuts: lib ## a job's conversation with a real QEMU, cut at each of its bytes; ends with tables
	@BLOCKJOB_CUTS=all $(CARGO) test --locked --features header --test qemu -- \
	    --nocapture --test-threads=1 be_cut_at_any_byte

bench: lib ## speed beside others and the goals, into docs/performance.md; under 20 minutes
	@scripts/setup.sh bench
	@benches/build.sh
	@.cache/bench/bin/python benches/bench.py --write
	$(CARGO) bench $(CARGOFLAGS) --bench journal

soak: lib ## MINUTES=30 of real QEMUs, cuts, deaths and attacks in one process; ends with tables
	@BLOCKJOB_SOAK_MINUTES='$(or $(MINUTES),30)' \
	    $(CARGO) test --locked --features header --test soak -- --nocapture

storm: ## SEEDS=N worlds of fake QEMUs (10000), or the story of SEED=S alone; docs/storm.md
	@SEEDS='$(SEEDS)' SEED='$(SEED)' FIRST='$(FIRST)' \
	    $(CARGO) test $(CARGOFLAGS) --test storm every_job -- --nocapture

wrong: ## that the storm fails: each wrong design of tests/wrong, and what catches it
	@scripts/check-wrong.sh

fuzz: ## each target until it has had MINUTES (60) of processor time in all; ends with a table
	@scripts/setup.sh check
	@scripts/fuzz.sh run

fuzz-corpus: ## fuzz/corpus anew, from the transcripts and what `make fuzz` has found
	@scripts/fuzz.sh corpus

install: $(LIBRARY) ## into DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, PKGCONFIGDIR, MANDIR
	install -d '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(PKGCONFIGDIR)' \
	    '$(DESTDIR)$(MANDIR)/man7'
	install -m 755 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/libblockjob.so.$(VERSION)'
	ln -sf libblockjob.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libblockjob.so'
	install -m 644 $(HEADER) '$(DESTDIR)$(INCLUDEDIR)/blockjob.h'
	install -m 644 blockjob.pc.in '$(DESTDIR)$(PKGCONFIGDIR)/blockjob.pc'
	sed -i -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	    -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    '$(DESTDIR)$(PKGCONFIGDIR)/blockjob.pc'
	install -m 644 man/blockjob-journal.7 '$(DESTDIR)$(MANDIR)/man7/blockjob-journal.7'
	@test -n '$(DESTDIR)' || echo 'Where the loader keeps a cache, tell it now: ldconfig'

uninstall: ## what install put there
	rm -f '$(DESTDIR)$(LIBDIR)/libblockjob.so' '$(DESTDIR)$(LIBDIR)/$(SONAME)' \
	    '$(DESTDIR)$(LIBDIR)/libblockjob.so.$(VERSION)' '$(DESTDIR)$(INCLUDEDIR)/blockjob.h' \
	    '$(DESTDIR)$(PKGCONFIGDIR)/blockjob.pc' '$(DESTDIR)$(MANDIR)/man7/blockjob-journal.7'

clean: ## everything built; .cache/, with what the other check-NAMEs fetched, stays
	$(CARGO) clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' Makefile

# A rule without prerequisites: a library that is there is not built again, least of all by root.
$(LIBRARY):
	$(MAKE) lib

$(TARGET)/examples/%: examples/%.c $(HEADER) | lib
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) -Werror $(LDFLAGS) -o $@ $< $(LINK)

# One that needs a loop's package is left out where that is not installed.
LOOP_glib     := glib-2.0
LOOP_sd-event := libsystemd
LOOP_libevent := libevent
LOOP_libuv    := libuv

$(TARGET)/examples/loop-%: examples/loop-%.c $(HEADER) | lib
	@mkdir -p $(@D)
	@if pkg-config --exists $(LOOP_$*); then \
	    set -x; $(CC) $(FLAGS) $$(pkg-config --cflags $(LOOP_$*)) $(CFLAGS) -Werror $(LDFLAGS) \
	        -o $@ $< $(LINK) $$(pkg-config --libs $(LOOP_$*)); \
	else echo "left out: $< wants the package $(LOOP_$*)"; fi

$(TARGET)/examples/follow-go: examples/follow.go $(HEADER) | lib
	@mkdir -p $(@D)
	CGO_CFLAGS='-I$(CURDIR)/include' CGO_LDFLAGS="-L$(abspath $(TARGET))/release "$(RPATH) \
	    GOCACHE=$(abspath $(TARGET))/go go build -o $@ $<

$(TARGET)/c-tests/%.o: c-tests/%.c $(wildcard c-tests/*.h) $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) -Werror -D_GNU_SOURCE -pthread -c -o $@ $<

$(TARGET)/c-tests/%: $(TARGET)/c-tests/%.o $(C_HELPERS) | lib
	$(CC) $(LDFLAGS) -o $@ $^ $(LINK) -lcmocka -pthread

# It loads the library itself.
$(TARGET)/c-tests/test_library_may_be_loaded_and_unloaded: \
        $(TARGET)/c-tests/test_library_may_be_loaded_and_unloaded.o | lib
	$(CC) $(LDFLAGS) -o $@ $< $(RPATH) -lcmocka -ldl -pthread

# C++ programs stand alone.
$(TARGET)/c-tests/%: c-tests/%.cc $(HEADER) | lib
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) $(CXXFLAGS) $(LDFLAGS) -Werror -o $@ $< $(LINK) -lcmocka -pthread
