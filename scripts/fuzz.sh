#!/usr/bin/env bash
# The fuzz targets of fuzz/, with any Rust and a C++ compiler; cargo-fuzz is not needed.
#
#     scripts/fuzz.sh run       each target until all its runs have had MINUTES (60) of processor
#                               time, JOBS (2) at once
#     scripts/fuzz.sh corpus    makes fuzz/corpus anew, of what reaches something the rest does not
#     scripts/fuzz.sh check     the quick form for `make check`, and a planted fault that is found
#     scripts/fuzz.sh table     what all runs have done so far, as it stands in docs/robustness.md
#
# TARGETS="lines hub" takes those alone. What a run has found and done stays in FUZZ_STATE
# (.cache/fuzz), so that the next one goes on from there. SANITIZER=address adds the sanitizer where
# this Rust has it; the library has no `unsafe` below its engine, so the default is without.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/sources.sh

all=(lines message decode arguments secrets journal jobs hub storm)
read -r -a targets <<<"${TARGETS:-${all[*]}}"
state=${FUZZ_STATE:-.cache/fuzz}
sanitizer=${SANITIZER:-none}
build=${CARGO_TARGET_DIR:-target}/fuzz
[ "$sanitizer" = none ] || build+=-$sanitizer
mkdir -p "$build"
build=$(cd "$build" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
# Of wall time: what an interrupted run loses at most.
slice=300
# Of a committed corpus, so that all of them are below 1.5 MB.
corpus_max=160000

# --- Building and running a target ----------------------------------------------------------

# build TREE COMMAND...: what `cargo fuzz build` does, by flags that every stable Rust takes.
build() {
    local flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
    flags+=" -Cllvm-args=-sanitizer-coverage-pc-table"
    flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
    flags+=" -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
    flags+=" --cfg=fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
    if [ "$sanitizer" != none ]; then
        flags+=" -Zsanitizer=$sanitizer"
        export RUSTC_BOOTSTRAP=1
    fi
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$build "${CARGO:-cargo}" build --locked --release \
        --manifest-path "$1/fuzz/Cargo.toml" --target "$host" "${@:2}"
}

program() { echo "$build/$host/release/$1"; }

# Inputs are no longer than what a story needs.
length_of() {
    case $1 in
    jobs) echo 400 ;;
    hub | journal | storm) echo 2048 ;;
    *) echo 1024 ;;
    esac
}

# fuzz TARGET ARGUMENT...: a run of a target, with bounds on an input's time and memory.
fuzz() {
    local options=(-max_len="$(length_of "$1")" -timeout=30 -rss_limit_mb=1024)
    case $1 in jobs | storm) ;; *) options+=(-dict=fuzz/qmp.dict) ;; esac
    RUST_BACKTRACE=0 "$(program "$1")" "${options[@]}" "${@:2}"
}

# What one run's log says: executions, edges, features.
figures() {
    awk '
        /^stat::number_of_executed_units:/ { runs = $2 }
        / cov: / {
            for (i = 1; i < NF; i++) {
                if ($i == "cov:") edges = $(i + 1)
                if ($i == "ft:") features = $(i + 1)
            }
        }
        END { print runs + 0, edges + 0, features + 0 }
    ' "$1"
}

# --- A long run -------------------------------------------------------------------------------

# A line for each slice in totals/TARGET: executions, processor seconds, edges, features.
run_slice() {
    local target=$1 seconds=$2 log=$state/logs/$1.log status=0 used
    mkdir -p "$state"/{corpus,crashes}/"$target" "$state"/{logs,totals}
    local TIMEFORMAT='%U %S'
    used=$({
        time fuzz "$target" -max_total_time="$seconds" -print_final_stats=1 \
            -artifact_prefix="$state/crashes/$target/" "$state/corpus/$target" \
            "fuzz/corpus/$target" >"$log" 2>&1 </dev/null
    } 2>&1) || status=$?
    read -r runs edges features <<<"$(figures "$log")"
    echo "$runs $used $edges $features" |
        awk '{ print $1, $2 + $3, $4, $5 }' >>"$state/totals/$target"
    [ $status -eq 0 ] || tell_crash "$target" "$log"
}

tell_crash() {
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$2" | tail -n 1)
    {
        echo "$1 has failed:"
        grep -a -A 3 -e 'panicked at' -e 'ERROR: libFuzzer' "$2" | head -n 8 | sed 's/^/    /'
        echo "  its input is $input; to play it again:"
        echo "    STORY=1 $(program "$1") $input"
        echo "  Mend it with a test of its own, then delete the input."
    } >&2
    return 1
}

spent() { awk '{ sum += $2 } END { printf "%d", sum }' "$state/totals/$1" 2>/dev/null || echo 0; }

# Each target gets a slice in turn until all have had their time, so that an early end finds all
# of them as far.
run() {
    local minutes=${MINUTES:-60} jobs=${JOBS:-2} target left running=0 failed=0 again=1
    local -A out=()
    build . --bins
    trap 'trap - INT TERM; kill 0' INT TERM
    while [ $again = 1 ]; do
        again=0
        for target in "${targets[@]}"; do
            left=$((minutes * 60 - $(spent "$target")))
            if [ $left -le 0 ] || [ -n "${out[$target]-}" ]; then continue; fi
            again=1
            if [ $running -ge "$jobs" ]; then
                wait -n || failed=1
                running=$((running - 1))
            fi
            run_slice "$target" $((left < slice ? left : slice)) &
            running=$((running + 1))
        done
        while [ $running -gt 0 ]; do
            wait -n || failed=1
            running=$((running - 1))
        done
        for target in "${targets[@]}"; do
            [ -z "$(ls "$state/crashes/$target" 2>/dev/null)" ] || out[$target]=1
        done
    done
    table
    write_table
    [ $failed -eq 0 ]
}

table() {
    local target
    echo '| target | executions | processor hours | edges | corpus | failures |'
    echo '|---|---:|---:|---:|---:|---:|'
    for target in "${targets[@]}"; do
        [ -e "$state/totals/$target" ] || continue
        awk -v target="$target" -v files="$(find "$state/corpus/$target" -type f | wc -l)" \
            -v crashes="$(find "$state/crashes/$target" -type f | wc -l)" '
            { runs += $1; seconds += $2; edges = $3 > edges ? $3 : edges }
            END {
                number = sprintf("%d", runs)
                while (match(number, /[0-9][0-9][0-9][0-9]+/)) {
                    end = RSTART + RLENGTH - 4
                    number = substr(number, 1, end) "," substr(number, end + 1)
                }
                printf "| %s | %s | %.1f | %d | %d | %d |\n",
                    target, number, seconds / 3600, edges, files, crashes
            }' "$state/totals/$target"
    done
}

# Between the marks in docs/robustness.md.
write_table() {
    local doc=docs/robustness.md new
    grep -q '^<!-- fuzz: begin' $doc || return 0
    new=$(table)
    awk -v new="$new" '
        /^<!-- fuzz: end/ { skips = 0 }
        !skips
        /^<!-- fuzz: begin/ { print new; skips = 1 }
    ' $doc >"$state/robustness.md"
    cp "$state/robustness.md" $doc
}

# --- The committed corpus ---------------------------------------------------------------------

corpus() {
    build . --bins
    local seeds=$state/seeds new=$state/new target
    rm -rf "$seeds" "$new"
    python3 fuzz/seeds.py "$seeds"
    for target in "${targets[@]}"; do
        mkdir -p "$new/$target" "$state/corpus/$target" "fuzz/corpus/$target"
        # Of as few inputs as reach the same.
        fuzz "$target" -set_cover_merge=1 "$new/$target" "$seeds/$target" \
            "$state/corpus/$target" "fuzz/corpus/$target" >"$state/merge.log" 2>&1 ||
            { tail -n 20 "$state/merge.log" && exit 1; }
        rm -r "fuzz/corpus/$target"
        mkdir "fuzz/corpus/$target"
        # The small ones first: a byte of theirs reaches most.
        find "$new/$target" -type f -printf '%s %p\n' | sort -n |
            awk -v max=$corpus_max '(sum += $1) <= max { print $2 }' |
            xargs cp -t "fuzz/corpus/$target"
        printf '%-10s %5s inputs %8s bytes\n' "$target" \
            "$(find "fuzz/corpus/$target" -type f | wc -l)" \
            "$(find "fuzz/corpus/$target" -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')"
    done
}

# --- The quick form ---------------------------------------------------------------------------

# Each target over its committed corpus, and on from there for some seconds.
check_target() {
    local target=$1 work=$build/check/$1 status=0
    rm -rf "$work"
    mkdir -p "$work"/{corpus,crashes}
    # From one seed, so that a failure here is of a change; new ways are for `make fuzz`.
    fuzz "$target" -seed=1 -max_total_time="${SECONDS_EACH:-10}" -print_final_stats=1 \
        -artifact_prefix="$work/crashes/" "$work/corpus" "fuzz/corpus/$target" \
        >"$work/log" 2>&1 </dev/null || status=$?
    read -r runs edges features <<<"$(figures "$work/log")"
    if [ $status -eq 0 ] && [ "$runs" -gt 0 ]; then
        echo "ok - $target: $runs executions, $edges edges, $features features"
    else
        tail -n 20 "$work/log"
        tell_crash "$target" "$work/log" || true
        echo "not ok - $target"
    fi
}

# A fault that needs a mutation to be met, in a copy of the sources: it must be found.
check_planted() {
    local tree=$build/tree work=$build/check/planted status=0 begin
    copy_sources "$tree"
    mkdir "$tree/fuzz"
    cp -Rp fuzz/{src,fuzz_targets,Cargo.toml,Cargo.lock} "$tree/fuzz"
    patch --batch --quiet -p1 -d "$tree" <fuzz/planted.patch
    # By another name, so that the program without the fault stays.
    sed -i 's/^name = "lines"/name = "planted"/' "$tree/fuzz/Cargo.toml"
    # Apart, or cargo could take the library with the fault for the other one.
    local build=$build/planted
    build "$tree" --bin planted
    rm -rf "$work"
    mkdir -p "$work"/{corpus,crashes}
    begin=$SECONDS
    fuzz planted -max_total_time=60 -artifact_prefix="$work/crashes/" "$work/corpus" \
        fuzz/corpus/lines >"$work/log" 2>&1 </dev/null || status=$?
    if [ $status -ne 0 ] && grep -aq 'this is the planted fault' "$work/log"; then
        echo "ok - the planted fault was found after $((SECONDS - begin)) seconds"
    else
        tail -n 20 "$work/log"
        echo "not ok - the planted fault was not found in a minute"
    fi
}

check() {
    local running=0 target
    build . --bins
    for target in "${targets[@]}"; do
        [ $running -lt 2 ] || { wait -n && running=1; }
        check_target "$target" &
        running=$((running + 1))
    done
    wait
    check_planted
}

case ${1-} in
run | corpus | table | check_planted) "$1" ;;
check)
    log=$build/check.log
    check | tee "$log"
    ! grep -q '^not ok' "$log"
    ;;
*)
    sed -n '2,/^set/{/^#/s/^# \?//p}' "$0" >&2
    exit 2
    ;;
esac
