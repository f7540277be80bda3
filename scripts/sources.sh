# A copy of what cargo builds, for scripts that change it.
# shellcheck shell=bash

# copy_sources TREE: into this folder, which is made anew. Files keep their times.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    cp -Rp src benches build.rs blockjob.map Cargo.toml Cargo.lock "$1"
}
