#!/usr/bin/env bash
# `make check-panics`: what a program sees of a fault of the library's own. A copy of the library,
# with tests/panics/planted.patch, panics where a word tells it to: in a call, on the reader's
# thread, where callbacks run, in helpers. tests/panics/planted.c says each word and asserts what is
# promised then.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

work_in panics

copy_sources "$work/tree"
patch --batch --fuzz=3 -p1 -d "$work/tree" <tests/panics/planted.patch
# With unwinding as the shipped one has it, and else soon done.
(cd "$work/tree" && CARGO_TARGET_DIR=$work/build CARGO_PROFILE_DEV_DEBUG=0 \
    "${CARGO:-cargo}" rustc --locked --lib --crate-type cdylib)
ln -sf libblockjob.so "$work/build/debug/libblockjob.so.0"

mapfile -t helpers < <(printf '%s\n' c-tests/*.c | grep -v '/test_')
"${CC:-cc}" -g -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -Iinclude -Ic-tests -pthread \
    -o "$work/planted" tests/panics/planted.c "${helpers[@]}" \
    -L"$work/build/debug" -lblockjob -Wl,-rpath,"$work/build/debug" -lcmocka
RUST_BACKTRACE=0 "$work/planted"
