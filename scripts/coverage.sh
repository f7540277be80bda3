#!/usr/bin/env bash
# `make coverage`: which lines and regions of the library the tests run: Rust's own, the storm
# (SEEDS worlds), the C programs and those with a real QEMU, together. Prints a table by file with
# the lines that nothing ran, and writes pages to target/coverage/html.
#
# Debian's Rust and LLVM count (scripts/setup.sh sanitizers), since they go together. The counts are
# in files that are mapped, so that a process that is killed or a child that ends by _exit() has
# counted as well.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

work_in coverage
mkdir -p "$work/release" "$work/logs"
rm -rf "$work/counts"
rust=/usr/bin
llvm=$($rust/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$($rust/rustc -vV | sed -n 's/^host: //p')

export RUSTC=$rust/rustc
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
export RUSTFLAGS='-Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation'
export LLVM_PROFILE_FILE=$work/counts/%m%c.profraw
cargo=("$rust/cargo")
flags=(--release --target "$host" --locked)
tests=(--lib --test outcomes --test transcripts --test journal --test storm --test qemu)

note() { echo "note: $*" | tee -a "$work/logs/notes"; }
: >"$work/logs/notes"

export CARGO_TARGET_DIR=$work/build
"${cargo[@]}" rustc "${flags[@]}" --lib --crate-type cdylib
cp --remove-destination "$work/build/$host/release/libblockjob.so" "$work/release"
ln -sf libblockjob.so "$work/release/libblockjob.so.0"
"${cargo[@]}" test "${flags[@]}" "${tests[@]}" --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' >"$work/executables"

# A transcript that is cut at each byte takes half an hour, and runs what cuts at some bytes run.
BLOCKJOB_LIBRARY=$work/release/libblockjob.so SEEDS=${SEEDS:-1000} \
    "${cargo[@]}" test "${flags[@]}" --no-fail-fast "${tests[@]}" -- --skip a_cut_anywhere \
    >"$work/logs/rust" 2>&1 ||
    note "Rust tests failed: $work/logs/rust"
grep '^test result' "$work/logs/rust" || true

# cargo has nothing to do there any more.
"${MAKE:-make}" --no-print-directory CARGO=true CARGO_TARGET_DIR="$work" c-tests >/dev/null
for source in c-tests/test_*.c c-tests/test_*.cc; do
    name=$(basename "${source%.*}")
    while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n || true; done
    {
        timeout --kill-after=10 300 "$work/c-tests/$name" >"$work/logs/$name" 2>&1 ||
            note "$name failed: $work/logs/$name"
    } &
done
wait

"llvm-profdata-$llvm" merge --sparse -o "$work/counts.profdata" "$work"/counts/*.profraw
objects=("$work/release/libblockjob.so")
while read -r executable; do objects+=(--object "$executable"); done <"$work/executables"
show=(--instr-profile "$work/counts.profdata"
    --ignore-filename-regex '/(tests|registry|rustc-[^/]*|rustlib)/')
"llvm-cov-$llvm" show "${objects[@]}" "${show[@]}" --format html --output-dir "$work/html"
"llvm-cov-$llvm" export "${objects[@]}" "${show[@]}" >"$work/coverage.json"
python3 scripts/coverage.py "$work/coverage.json"
echo
echo "The pages: $work/html/index.html"
[ ! -s "$work/logs/notes" ]
