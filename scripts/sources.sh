# For scripts that build the sources in a way of their own, or a changed copy of them.
# shellcheck shell=bash

# work_in NAME: sets `work` to a folder of the script's own, beside what cargo builds.
work_in() {
    work=${CARGO_TARGET_DIR:-target}/$1
    mkdir -p "$work"
    work=$(cd "$work" && pwd)
}

# copy_sources TREE: what cargo builds, into this folder, which is made anew. Files keep their times.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    cp -Rp src benches build.rs blockjob.map Cargo.toml Cargo.lock "$1"
}
