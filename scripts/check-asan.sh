#!/usr/bin/env bash
# `make check-asan`: the C programs of c-tests and the library's Rust tests under the address and
# the leak sanitizer, which see both sides: the library and the programs are instrumented, and what std
# and cmocka allocate is theirs as well. With --quick, as a stage of `make check`: of the Rust tests
# those inside the library alone. With names of programs as arguments, it runs those alone.
#
# Four faults are planted and must be reported: a program that uses an event after its callback,
# one that keeps an event, and a library with references that count nothing or are never given up.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

sanitizer=address cargoflags=()
options=allocator_may_return_null=1:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
. scripts/sanitizer.sh

tests=(--lib --test outcomes --test transcripts --test journal --test storm)
if [ "${1-}" = --quick ]; then
    tests=(--lib)
    shift
fi

mapfile -t programs < <(all_programs)
if [ $# -gt 0 ]; then programs=("$@") tests=(); fi

build .
build_programs "${programs[@]}"
try_all "${programs[@]}"

# libtest counts them.
if [ ${#tests[@]} -gt 0 ]; then
    # A world under the sanitizer takes many times as long.
    ASAN_OPTIONS=$options SEEDS=${SEEDS:-300} RUST_BACKTRACE=0 \
        rust_of . test --no-fail-fast "${tests[@]}" || failed=1
fi

planted_in_c tests/asan/planted.c
planted "an event that C uses after its callback" heap-use-after-free use_late \
    "$work/planted" late
if run "$logs/planted.log" "$work/planted" none; then
    yes "the program without a fault is clean"
else
    no "the program without a fault is not clean"
fi
planted "an event that C never releases" 'detected memory leaks' Report \
    "$work/planted" kept

build_planted tests/asan/uncounted-references.patch
planted "a reference of the library's that does not count" heap-use-after-free \
    blockjob_event_get_ "$work/c-tests/test_event_outlives_callback_monitor_and_listener"
planted "a reference of the library's that is never given up" 'detected memory leaks' \
    blockjob_monitor_new "$work/planted" none
# Nobody shall find the wrong library there.
rm -f "$work/release/libblockjob.so"

exit $failed
