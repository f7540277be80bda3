#!/usr/bin/env bash
# Builds what benches/bench.py runs: the floor and the fleet, the clients in C, and the peers that the
# registries have. What cannot be had is left out, and bench.py says so.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
cargo() { command "${CARGO:-cargo}" "$@"; }

cargo build --quiet --locked --release --manifest-path benches/programs/Cargo.toml \
    --target-dir "$target/bench"
cargo build --quiet --locked --release --manifest-path benches/peers/Cargo.toml \
    --target-dir "$target/bench" || echo "left out: the crate qapi"
cargo bench --quiet --locked --no-run --manifest-path benches/peers/Cargo.toml \
    --target-dir "$target/bench" || echo "left out: the parts of the library by themselves"

mkdir -p "$target/bench/c"
compile() { "${CC:-cc}" -g -O2 -Wall -Wextra -Iinclude -o "$target/bench/c/$1" "${@:2}"; }
compile bare benches/c/bare.c
compile load benches/c/load.c
compile ours benches/c/ours.c "-L$target/release" -lblockjob \
    -Wl,-rpath,"\$ORIGIN/../../release" -pthread
compile allocations.so benches/c/allocations.c -shared -fPIC
compile json-c benches/c/json-c.c -ljson-c || echo "left out: json-c"
compile libvirt benches/c/libvirt.c -lvirt -lvirt-qemu -pthread || echo "left out: libvirt"

python=.cache/bench/bin/python
[ -x $python ] || python3 -m venv .cache/bench
$python -c 'import matplotlib, qemu.qmp' 2>/dev/null ||
    $python -m pip install --quiet matplotlib qemu.qmp || echo "left out: qemu.qmp"
