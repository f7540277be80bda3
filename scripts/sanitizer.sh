# What check-asan.sh and check-tsan.sh share: the library and the programs of c-tests under a
# sanitizer that sees both sides, and the faults that are planted for it. A sanitizer that sees
# nothing is happy with everything, so each of them must be reported.
#
# Rust and clang are Debian's own (scripts/setup.sh sanitizers), whichever Rust is used for all
# else: they share an LLVM, and the source of this Rust's std is there. No nightly: RUSTC_BOOTSTRAP=1
# stands for one. Who sources this has set `sanitizer` to clang's name of it, `cargoflags` to more
# for cargo, and `options` to the sanitizer's.
# shellcheck shell=bash disable=SC2154 # they have set them

. scripts/sources.sh

work_in "$sanitizer"
mkdir -p "$work/logs" "$work/release"
rust=/usr/bin
version=$($rust/rustc -vV 2>/dev/null || true)
llvm=$(sed -n 's/^LLVM version: \([0-9]*\).*/\1/p' <<<"$version")
host=$(sed -n 's/^host: //p' <<<"$version")
logs=$work/logs
type "clang-$llvm" >/dev/null || {
    echo "skipped: there is no Debian's Rust with a clang of its LLVM (scripts/setup.sh sanitizers)"
    exit 77
}

failed=0
yes() { echo "ok - $1"; }
no() {
    echo "not ok - $1"
    # shellcheck disable=SC2034 # it is the status of who sources this
    failed=1
}

# rust_of TREE COMMAND...: Debian's cargo does this there, for this machine alone, and soon done: a
# little optimised, with lines for our own code alone. Tests are of this profile too, so that
# nothing is built twice.
rust_of() {
    (cd "$1" && RUSTC_BOOTSTRAP=1 RUSTC=$rust/rustc CARGO_TARGET_DIR=$work/build \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
        CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
        RUSTFLAGS="-Zsanitizer=$sanitizer -Zexternal-clangrt -Clinker=clang-$llvm \
            -Clink-arg=-fsanitize=$sanitizer" \
        $rust/cargo "$2" "${cargoflags[@]}" --config 'profile.release.package."*".debug=0' \
        --target "$host" --locked --release "${@:3}")
}

# build TREE: the library there. It is built anew each time: cargo keeps one file for the library of
# every tree, and takes it for this one's.
build() {
    rm -f "$work/build/$host/release/deps/libblockjob.so"
    rust_of "$1" rustc --lib --crate-type cdylib
    # A new file: the programs may have the one before mapped.
    cp --remove-destination "$work/build/$host/release/libblockjob.so" "$work/release"
    ln -sf libblockjob.so "$work/release/libblockjob.so.0"
}

# build_programs NAME...: by the Makefile; cargo has nothing to do there any more. -w: what clang
# warns of beyond gcc is no matter of this check.
build_programs() {
    "${MAKE:-make}" --no-print-directory CARGO=true CARGO_TARGET_DIR="$work" \
        CC="clang-$llvm" CXX="clang++-$llvm" \
        CFLAGS="-g -O1 -w -fsanitize=$sanitizer" LDFLAGS="-fsanitize=$sanitizer" \
        "${@/#/$work/c-tests/}"
}

# run LOG PROGRAM...: a report of the sanitizer's makes it fail, whatever the program says.
run() {
    # The symbolizer of this LLVM, and no older one that is found by its plain name.
    local set
    set=exitcode=66:external_symbolizer_path=$(command -v "llvm-symbolizer-$llvm"):$options
    ASAN_OPTIONS=$set TSAN_OPTIONS=$set timeout --kill-after=10 300 "${@:2}" >"$1" 2>&1
}

# try_all NAME...: these programs of c-tests, some at once, for they wait more than they work.
try_all() {
    local name
    for name; do
        while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n || true; done
        {
            status=0
            run "$logs/$name.log" "$work/c-tests/$name" || status=$?
            echo $status >"$logs/$name.status"
        } &
    done
    wait
    for name; do
        if [ "$(cat "$logs/$name.status")" -eq 0 ]; then
            yes "$name"
        else
            tail -n 80 "$logs/$name.log"
            no "$name (all of it: $logs/$name.log)"
        fi
    done
}

# planted TITLE REPORT WORD PROGRAM...: the sanitizer must report this, and with it the word.
planted() {
    local status=0 log="$logs/planted.log"
    run "$log" "${@:4}" || status=$?
    if [ $status -eq 66 ] && grep -q "$2" "$log" && grep -q "$3" "$log"; then
        yes "$1 is reported"
    else
        tail -n 40 "$log"
        no "$1 is not reported (status $status)"
    fi
}

# planted_in_c SOURCE: built as a program, $work/planted.
planted_in_c() {
    "clang-$llvm" -g -O1 "-fsanitize=$sanitizer" -Iinclude -o "$work/planted" "$1" \
        -L"$work/release" -lblockjob -Wl,-rpath,"$work/release"
}

# build_planted PATCH: the library with a fault, from a copy of the sources.
build_planted() {
    copy_sources "$work/tree"
    patch --batch --fuzz=3 -p1 -d "$work/tree" <"$1"
    touch "$work/tree/src/lib.rs"
    build "$work/tree"
}

# The names of all programs of c-tests.
all_programs() {
    local source
    for source in c-tests/test_*.c c-tests/test_*.cc; do
        source=${source##*/}
        echo "${source%.*}"
    done
}

echo "$($rust/rustc --version), LLVM $llvm; in $work"
