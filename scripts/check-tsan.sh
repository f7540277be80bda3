#!/usr/bin/env bash
# `make check-tsan`: the C programs of c-tests under a thread sanitizer that sees both sides, the
# library with its std and the programs. With names of programs as arguments, it runs those alone.
#
# Rust's std must be instrumented as well, or each of its locks is reported, so it is built anew from
# its source. That, and clang with the same LLVM, is Debian's own (scripts/setup.sh tsan), whichever
# Rust is used for everything else: no nightly, RUSTC_BOOTSTRAP=1 stands for one.
#
# A sanitizer that sees nothing is happy with everything. So two races are planted, one in C and
# one in a copy of the library (tests/tsan), and both must be reported.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

work=${CARGO_TARGET_DIR:-target}/tsan
mkdir -p "$work"
work=$(cd "$work" && pwd)
rust=/usr/bin
llvm=$($rust/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$($rust/rustc -vV | sed -n 's/^host: //p')

# build TREE: the library there, instrumented with its std and for this machine alone.
build() {
    (cd "$1" && RUSTC_BOOTSTRAP=1 RUSTC=$rust/rustc CARGO_TARGET_DIR=$work/build \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=clang-$llvm \
            -Clink-arg=-fsanitize=thread" \
        $rust/cargo rustc -Zbuild-std --target "$host" --locked --release --lib \
        --crate-type cdylib)
    mkdir -p "$work/release"
    # A new file: the programs may have the one before mapped.
    cp --remove-destination "$work/build/$host/release/libblockjob.so" "$work/release"
    ln -sf libblockjob.so "$work/release/libblockjob.so.0"
}

# The programs are built by the Makefile, and cargo has nothing to do there any more. -w: what clang
# warns of beyond gcc is no matter of this check.
build_programs() {
    "${MAKE:-make}" --no-print-directory CARGO=true CARGO_TARGET_DIR="$work" \
        CC="clang-$llvm" CXX="clang++-$llvm" \
        CFLAGS='-g -O1 -w -fsanitize=thread' LDFLAGS=-fsanitize=thread c-tests
}

# run LOG PROGRAM: a report of the sanitizer's makes it fail, whatever the program says.
run() {
    # An llvm-symbolizer that is there may be too old for this clang; addr2line is of binutils.
    local options="exitcode=66 second_deadlock_stack=1 die_after_fork=0"
    options+=" external_symbolizer_path=$(command -v addr2line)"
    TSAN_OPTIONS="$options suppressions=$PWD/tests/tsan/suppressions" \
        timeout --kill-after=10 300 "$2" >"$1" 2>&1
}

failed=0
yes() { echo "ok - $1"; }
no() {
    echo "not ok - $1"
    failed=1
}

# planted TITLE LOG WORD PROGRAM: the sanitizer must report a race, and with it this word.
planted() {
    local status=0
    run "$2" "$4" || status=$?
    if grep -q 'WARNING: ThreadSanitizer: data race' "$2" && grep -q "$3" "$2"; then
        yes "the race planted in $1 is reported"
    else
        tail -n 40 "$2"
        no "the race planted in $1 is not reported (status $status)"
    fi
}

programs=("${@/#/c-tests/}")
[ $# -gt 0 ] || programs=(c-tests/test_*.c c-tests/test_*.cc)

echo "Rust $($rust/rustc --version), LLVM $llvm; in $work"
build .
build_programs
mkdir -p "$work/logs"
for program in "${programs[@]}"; do
    name=$(basename "${program%.*}")
    if run "$work/logs/$name.log" "$work/c-tests/$name"; then
        yes "$name"
    else
        tail -n 80 "$work/logs/$name.log"
        no "$name (all of it: $work/logs/$name.log)"
    fi
done

clang-"$llvm" -g -O1 -fsanitize=thread -Iinclude -o "$work/planted" tests/tsan/planted.c \
    -L"$work/release" -lblockjob -Wl,-rpath,"$work/release"
planted "C" "$work/logs/planted-c.log" on_event "$work/planted"

tree=$work/tree
copy_sources "$tree"
patch --batch --fuzz=3 -p1 -d "$tree" <tests/tsan/unguarded-figures.patch
touch "$tree/src/lib.rs"
build "$tree"
planted "the library" "$work/logs/planted-rust.log" Statistics \
    "$work/c-tests/test_figures_count_what_happened"
# Nobody shall find the wrong library there.
rm -f "$work/release/libblockjob.so"

exit $failed
