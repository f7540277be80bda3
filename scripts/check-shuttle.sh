#!/usr/bin/env bash
# `make check-shuttle`: the stories of src/engine/interleavings.rs, each in many orders of its
# threads (ORDERS, twice), on the locks of shuttle. To show that they can fail, each patch of
# tests/interleavings puts one fault into a copy of the sources, and some story must find it there
# in few orders.
# With --quick, as a stage of `make check`, that is shown of three faults; with names of patches as
# arguments, of those.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

work_in shuttle
tree=$work/tree
# Most of the time goes into building, for each patch anew.
export CARGO_TARGET_DIR=$work/build CARGO_INCREMENTAL=1
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=0
export RUSTFLAGS='--cfg shuttle' RUST_BACKTRACE=0

patches=(tests/interleavings/*.patch)
if [ "${1-}" = --quick ]; then
    set -- queued-without-notice removal-does-not-wait ticket-dropped-silently
fi
if [ $# -gt 0 ]; then
    patches=("${@/#/tests/interleavings/}")
    patches=("${patches[@]/%/.patch}")
fi

stories() {
    (cd "$tree" && "${CARGO:-cargo}" test --locked --lib interleavings)
}

failed=0
no() {
    echo "not ok - $1"
    failed=1
}

# The copy is all that is built, so that what was built serves each patch. Of its tests only the
# stories are built: the others stand on std's locks.
copy_sources "$tree"
sed -i 's/^crate-type = .*/crate-type = ["rlib"]/' "$tree/Cargo.toml"
touch -r Cargo.toml "$tree/Cargo.toml"
find "$tree/src" -name '*.rs' ! -name interleavings.rs -exec \
    sed -i 's/^#\[cfg(test)\]/#[cfg(all(test, not(shuttle)))]/' {} +

stories || no "the stories as they are"

for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    log=$work/$name.log
    if ! patch --batch --fuzz=3 -p1 -d "$tree" <"$patch" >"$log" 2>&1; then
        no "$name does not apply: $(tail -n 1 "$log")"
    elif ORDERS=300 stories >"$log" 2>&1; then
        no "$name is not found"
    elif grep -q '^test result: FAILED' "$log"; then
        found=$(sed -n 's/^test .*::\(.*\) \.\.\. FAILED/\1/p' "$log" | xargs)
        echo "ok - $name is found by $found"
    else
        tail -n 40 "$log"
        no "$name: the stories did not run"
    fi
    patch --batch --fuzz=3 --reverse -p1 -d "$tree" <"$patch" >>"$log" 2>&1
done
exit $failed
