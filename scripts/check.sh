#!/usr/bin/env bash
# `make check`: runs its stages one after the other and ends with a summary. With names of stages
# as arguments, it runs those alone.
#
# A stage is a function stage_NAME. It runs in a process of its own, which fails by its exit
# status or is left out by `skip WHY`. What it prints goes to target/check/NAME.log, and to the
# terminal when it failed. Its tests are counted there, by what cargo's tests, cmocka, Python's
# unittest and `check` below write.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

stages=(build format lint shell header rust wrong fuzz c valgrind panics asan tsan shuttle examples
        speed qemu hostile soak install)
# A stage that takes longer than this many seconds hangs.
limit=1200
target=${CARGO_TARGET_DIR:-target}
logs=$target/check

# --- The stages -----------------------------------------------------------------------------

stage_build() {
    make lib c-tests examples
}

stage_format() {
    cargo fmt --version || skip "this Rust has no rustfmt"
    cargo fmt --check
}

stage_lint() {
    cargo clippy --version || skip "this Rust has no clippy"
    cargo clippy --locked --all-targets --features header -- -D warnings
}

stage_shell() {
    type shellcheck || skip "there is no shellcheck"
    shellcheck scripts/*.sh .ci/run
}

stage_header() {
    try cargo test --locked --features header --test header
    local warnings=(-Wall -Wextra -Wpedantic -Werror) standard compiler
    for standard in c99 c11 c++17; do
        compiler=${CC:-cc}
        case $standard in c++*) compiler=${CXX:-c++} ;; esac
        check "include/blockjob.h is clean $standard" \
            "$compiler" -std=$standard "${warnings[@]}" -x "${standard%%[0-9]*}" -fsyntax-only \
            -include include/blockjob.h /dev/null
    done
}

# All tests but those of the stages `header`, `qemu`, `hostile` and `soak`.
stage_rust() {
    local tests=() file
    for file in tests/*.rs tests/*/main.rs; do
        file=${file#tests/} file=${file%/main.rs} file=${file%.rs}
        case $file in header | qemu | hostile | soak | '*') ;; *) tests+=(--test "$file") ;; esac
    done
    try cargo test --locked --features header --no-fail-fast --lib "${tests[@]}"
}

# Each wrong design must be caught by the storm.
stage_wrong() {
    scripts/check-wrong.sh
}

# Each target of fuzz/ over its corpus and on from there, and a planted fault that must be found.
stage_fuzz() {
    ! cargo fmt --version || cargo fmt --check --manifest-path fuzz/Cargo.toml
    scripts/fuzz.sh check
}

stage_c() {
    run_c_tests
}

# Leaks are what nothing points to any more; c-tests/README.md says what is still reachable.
stage_valgrind() {
    type valgrind || skip "there is no valgrind"
    # Without turns, a thread that makes calls in a row keeps all others waiting.
    local valgrind=(valgrind --quiet --fair-sched=try --child-silent-after-fork=yes
        --error-exitcode=99 --leak-check=full --show-leak-kinds=definite
        --errors-for-leak-kinds=definite --num-callers=40)
    run_c_tests "${valgrind[@]}"
    # The same faults that the address sanitizer must report.
    local planted=$target/c-tests/planted fault
    "${CC:-cc}" -g -Iinclude -o "$planted" tests/asan/planted.c -L"$target/release" -lblockjob \
        -Wl,-rpath,"$(realpath "$target")/release"
    check "the program without a fault is clean" "${valgrind[@]}" "$planted" none
    for fault in late kept; do
        check "the planted fault '$fault' is reported" fails_with 99 "${valgrind[@]}" "$planted" $fault
    done
}

# A copy of the library with faults of its own, and what a program sees of them.
stage_panics() {
    scripts/check-panics.sh
}

# The quick form of each; `make check-asan`, `check-tsan` and `check-shuttle` run all of it.
stage_asan() {
    scripts/check-asan.sh --quick
}

stage_tsan() {
    scripts/check-tsan.sh --quick
}

stage_shuttle() {
    scripts/check-shuttle.sh --quick
}

stage_examples() {
    make examples
    try python3 tests/examples.py
}

# Counts instructions and allocations, which a busy machine does not change.
stage_speed() {
    type valgrind || skip "there is no valgrind"
    make lib
    try python3 tests/speed.py
}

stage_qemu() {
    make lib
    cargo test --locked --features header --no-fail-fast --test qemu
}

# A peer that writes what it likes; docs/robustness.md has a table of the attacks.
stage_hostile() {
    make lib
    cargo test --locked --features header --no-fail-fast --test hostile
}

# Without its minutes it takes forty seconds.
stage_soak() {
    make lib
    cargo test --locked --features header --test soak -- --nocapture
}

stage_install() {
    make lib
    . scripts/check-install.sh
}

run_c_tests() {
    make c-tests
    local source program
    for source in c-tests/test_*.c c-tests/test_*.cc; do
        program=$target/${source%.*}
        echo "== $program"
        try "$@" "$program"
    done
}

# --- What stages are written with -----------------------------------------------------------

cargo() { command "${CARGO:-cargo}" "$@"; }
make() { command "${MAKE:-make}" --no-print-directory "$@"; }

# check TITLE COMMAND...: one test, which fails with COMMAND; the stage goes on.
check() {
    if "${@:2}"; then echo "ok - $1"; else echo "not ok - $1" && failed=1; fi
}

# fails_with STATUS COMMAND...
fails_with() {
    local status=0
    "${@:2}" || status=$?
    [ $status -eq "$1" ]
}

# try COMMAND...: a program that counts its tests itself; the stage goes on when it fails.
try() {
    "$@" || { echo "FAILED with status $?: $*" && failed=1; }
}

skip() {
    echo "skipped: $1"
    exit 77
}

if [ "${1-}" = --stage ]; then
    failed=0
    "stage_$2"
    exit $failed
fi

# --- The runner -----------------------------------------------------------------------------

# Prints how many tests of a log passed, failed and were skipped.
count() {
    awk '
        function value_of(name) {
            return match($0, name "=[0-9]+") ? substr($0, RSTART + length(name) + 1) + 0 : 0
        }
        /^test result: /                  { passed += $4; failed += $6; skipped += $8 }
        /^\[  PASSED  \] .*test\(s\)\.$/  { passed += $(NF - 1) }
        /^\[  FAILED  \] .*listed below:/ { failed += $(NF - 3) }
        /^\[  SKIPPED \] .*listed below:/ { skipped += $(NF - 3) }
        /^Ran [0-9]+ tests? in /          { ran = $2 }
        ran && /^(OK|FAILED \()/ {
            bad = value_of("failures") + value_of("errors")
            left_out = value_of("skipped")
            passed += ran - bad - left_out
            failed += bad
            skipped += left_out
            ran = 0
        }
        /^ok - /                          { passed++ }
        /^not ok - /                      { failed++ }
        END                               { print passed + 0, failed + 0, skipped + 0 }
    ' "$1"
}

row() { printf '%-10s %8s %8s %8s %9s  %s\n' "$@"; }

# Runs one stage, shows how it ended, and adds a row to the summary.
run_stage() {
    local name=$1 log=$logs/$1.log status=0 begin=$EPOCHREALTIME result=ok
    printf '%-10s ' "$name"
    timeout --kill-after=10 $limit "$0" --stage "$name" >"$log" 2>&1 </dev/null &
    running=$!
    wait $running || status=$?
    local seconds
    seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $begin }")

    local passed failed skipped
    read -r passed failed skipped < <(count "$log")
    case $status in
    0) [ "$passed" -gt 0 ] || passed=1 ;;
    77) result=$(tail -n 1 "$log") skipped=1 ;;
    *)
        result=FAILED
        [ $status -ne 124 ] || result="FAILED: stopped after $limit seconds"
        [ "$failed" -gt 0 ] || failed=1
        ;;
    esac
    printf '%s (%s s)\n' "$result" "$seconds"
    [ $status -eq 0 ] || [ $status -eq 77 ] || sed 's/^/    /' "$log"

    summary+=$(row "$name" "$passed" "$failed" "$skipped" "$seconds" "$result")$'\n'
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
    [ $status -eq 0 ] || [ $status -eq 77 ]
}

for stage in "$@"; do
    declare -F "stage_$stage" >/dev/null || {
        echo "there is no check '$stage'; there are: ${stages[*]}" >&2
        exit 2
    }
done
[ $# -eq 0 ] || stages=("$@")

# timeout leads a process group of its own, which Ctrl-C does not reach.
running=
trap 'kill $running; exit 130' INT TERM

all_passed=0 all_failed=0 all_skipped=0 summary=
mkdir -p "$logs"
for stage in "${stages[@]}"; do
    if ! run_stage "$stage" && [ "$stage" = build ]; then
        echo "It does not build, so nothing else was tried."
        break
    fi
done

echo
row stage passed failed skipped seconds result
printf '%s' "$summary"
row total $all_passed $all_failed $all_skipped "$SECONDS" ""
echo
printf '%d passed, %d failed' $all_passed $all_failed
[ $all_skipped -eq 0 ] || printf ', %d skipped' $all_skipped
echo
[ $all_failed -eq 0 ]
