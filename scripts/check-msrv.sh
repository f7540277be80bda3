#!/usr/bin/env bash
# Builds and tests with exactly the Rust that Cargo.toml promises to be enough. Debian 13 ships
# it: its packages are unpacked in a root of their own, beside whatever this machine has.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-root.sh

promised=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
root=$cache/msrv

# The root is kept, with cargo's downloads and what was built there, until the set-up changes.
if [ ! "$root/made" -nt scripts/setup.sh ]; then
    rm -rf --one-file-system "$root"
    minimal_root trixie "$root"
    run_in "$root" /project/scripts/setup.sh check
    run_in "$root" apt-get clean
    touch "$root/made"
fi
connect "$root"

got=$(run_in "$root" rustc --version)
case $got in
"rustc $promised."*) echo "== $got, with the C compiler and the QEMU of Debian 13" ;;
*)
    echo "FAILED: Rust $promised is promised, but Debian 13 has $got"
    exit 1
    ;;
esac

# All but the linters, which change from one Rust to the next. C programs among it, since what an
# older std does otherwise may show in the process alone.
run_in "$root" env CARGO_TARGET_DIR=/root/target \
    /project/scripts/check.sh build header rust c valgrind examples qemu install
echo "ok: Rust $promised"
