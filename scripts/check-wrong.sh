#!/usr/bin/env bash
# `make wrong`: shows that the storm can fail. Each patch of tests/wrong is a plausible wrong design;
# it is applied to a copy of the sources, and the storm must fail there by one of its invariants.
# The copy as it is must pass. A patch that does not apply, does not build or is not caught is a
# failure. With names of patches as arguments, it tries those alone.
#
# Prints a row for each: `ok - PATCH: seed N: what the invariant said`.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

# Worlds that a wrong design is played in, and the right one.
seeds=${SEEDS:-4000}
work_in wrong
tree=$work/tree
# What was built stays for the next patch, which changes a file or two.
export CARGO_TARGET_DIR=$work/build CARGO_PROFILE_TEST_DEBUG=0

patches=(tests/wrong/*.patch)
if [ $# -gt 0 ]; then
    patches=("${@/#/tests/wrong/}")
    patches=("${patches[@]/%/.patch}")
fi

# Only the storm is built in the copy, and it links the rlib. Its files keep their times, but what
# was built last may be of a patch.
copy() {
    copy_sources "$tree"
    mkdir -p "$tree/tests"
    cp -Rp tests/storm "$tree/tests"
    sed -i 's/^crate-type = .*/crate-type = ["rlib"]/' "$tree/Cargo.toml"
    touch -r Cargo.toml "$tree/Cargo.toml"
    touch "$tree/src/lib.rs" "$tree/tests/storm/main.rs"
}

# storm LOG FIRST COUNT
storm() {
    (cd "$tree" && SEED='' FIRST=$2 SEEDS=$3 RUST_BACKTRACE=0 \
        "${CARGO:-cargo}" test --locked --test storm every_job -- --nocapture) >"$1" 2>&1
}

# What takes two rare things at once is given nine times as many more.
more=$((9 * seeds))
misses() { storm "$1" 0 "$seeds" && storm "$1" "$seeds" "$more"; }

# The files that a patch changes, as they are here, with a time that tells cargo so.
restore() {
    local file
    sed -n 's|^+++ b/||p' "$1" | while read -r file; do cp "$file" "$tree/$file"; done
}

failed=0
no() {
    echo "not ok - $1: $2"
    failed=1
}

copy
log=$work/right.log
if storm "$log" 0 "$seeds"; then
    echo "ok - as it is: $seeds worlds are clean"
else
    tail -n 40 "$log"
    no "as it is" "the storm fails without any patch"
fi

for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    log=$work/$name.log
    if ! patch --batch --fuzz=3 -p1 -d "$tree" <"$patch" >"$log" 2>&1; then
        no "$name" "does not apply: $(tail -n 1 "$log")"
    elif misses "$log"; then
        no "$name" "not caught in $((seeds + more)) worlds"
    elif caught=$(grep -m 1 -o '^seed [0-9]*: .*' "$log"); then
        echo "ok - $name: $(cut -c -150 <<<"$caught")"
    else
        tail -n 40 "$log"
        no "$name" "the storm did not run"
    fi
    restore "$patch"
done
exit $failed
