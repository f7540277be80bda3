#!/usr/bin/env bash
# `make check-tsan`: the C programs of c-tests under a thread sanitizer that sees both sides, the
# library with its std and the programs. With names of programs as arguments, it runs those alone;
# with --quick, as a stage of `make check`, those that call from several threads of their own.
#
# Rust's std must be instrumented as well, or each of its locks is reported, so it is built anew
# from its source, once. Two races are planted, one in C and one in a copy of the library (tests/tsan),
# and both must be reported.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

sanitizer=thread cargoflags=("-Zbuild-std=std,panic_unwind")
options=second_deadlock_stack=1:die_after_fork=0:suppressions=$PWD/tests/tsan/suppressions
. scripts/sanitizer.sh

mapfile -t programs < <(all_programs)
if [ "${1-}" = --quick ]; then
    mapfile -t quick < <(grep -lE 'pthread_create|call_start' c-tests/test_*.c |
        sed 's|.*/||; s|\.c$||')
    echo "left to \`make check-tsan\`: $(printf '%s\n' "${programs[@]}" |
        grep -vxF "$(printf '%s\n' "${quick[@]}")" | xargs)"
    programs=("${quick[@]}")
elif [ $# -gt 0 ]; then
    programs=("$@")
fi

build .
build_programs "${programs[@]}" test_figures_count_what_happened
try_all "${programs[@]}"

planted_in_c tests/tsan/planted.c
planted "a race in C" 'ThreadSanitizer: data race' on_event "$work/planted"

build_planted tests/tsan/unguarded-figures.patch
planted "a race in the library" 'ThreadSanitizer: data race' Statistics \
    "$work/c-tests/test_figures_count_what_happened"
# Nobody shall find the wrong library there.
rm -f "$work/release/libblockjob.so"

exit $failed
