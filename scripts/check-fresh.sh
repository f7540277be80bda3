#!/usr/bin/env bash
# Clones the last commit into minimal roots of Debian 12 and 13 and runs `make demo` there, as
# somebody would who has just found the project. What the developer's machine has by chance is
# missing there, and so shows.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian-root.sh

# check WHAT PATTERN: a line that the demo must have printed.
check() {
    grep -qE "$2" "$work/output" || {
        echo "FAILED: Debian $release: the demo told of no $1"
        exit 1
    }
}

[ -z "$(git status --porcelain)" ] || echo "note: changes that are not committed are not tried"
# A file, since git refuses to clone another user's directory.
git bundle create --quiet "$work/project.bundle" HEAD --branches

for release in bookworm trixie; do
    root=$work/$release
    minimal_root $release "$root"
    cp "$work/project.bundle" "$root/root"
    echo "== make demo on Debian $release"
    run_in "$root" sh -euc 'cd; git clone --quiet project.bundle blockjob; make -C blockjob demo' \
        2>&1 | tee "$work/output" || {
        echo "FAILED: Debian $release: make demo did not exit with 0"
        exit 1
    }
    check "success" 'BLOCK_JOB_COMPLETED .*outcome=succeeded (pivoted=no )?len=([0-9]+) offset=\2( |$)'
    check "cancelled job" 'BLOCK_JOB_CANCELLED .*outcome=cancelled len=[0-9]+ offset=[0-9]+'
    check "failure with QEMU's text" 'BLOCK_JOB_COMPLETED .*outcome=failed .*error="[^"]'
    rm -rf --one-file-system "$root"
    echo "ok: Debian $release"
done
