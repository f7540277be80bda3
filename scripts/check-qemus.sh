#!/usr/bin/env bash
# `make check-qemus`: runs the tests of tests/qemu with the QEMUs of several Debian releases, and
# ends with a table. With names of releases as arguments, it tries those alone.
#
# Their packages are fetched by this machine's apt, which checks their signatures as it does for
# its own, and are unpacked beside each other in .cache/qemus, as they are. Nothing is installed,
# and root is not needed. They are kept until this file changes; `rm -r .cache/qemus` makes the
# next run fetch the newest again. target/check-qemus/ has a log for each release.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. scripts/debian-sources.sh

releases=(bullseye bookworm trixie sid)
programs=(qemu-system-x86_64 qemu-storage-daemon qemu-img qemu-io)
# The tests of a release that take longer than this many seconds hang.
limit=600
cache=$PWD/.cache/qemus
logs=${CARGO_TARGET_DIR:-target}/check-qemus

# Is this the QEMU for which a release is in the list?
is_wanted() {
    case $1=$2 in
    bullseye=5.2.* | bookworm=7.2.* | trixie=10.0.*) ;;
    sid=*) [ "$(printf '%s\n' 10.1 "$2" | sort -V | head -n 1)" = 10.1 ] ;;
    *) false ;;
    esac
}

# --- One release, in a process of its own ---------------------------------------------------

# The last line that it prints says why it failed.
fail() {
    echo "$1"
    exit 1
}

# Puts the packages of a release into .cache/qemus/RELEASE/root.
fetch() {
    local release=$1 made=$cache/$1
    [ ! "$made/fetched" -nt scripts/check-qemus.sh ] || return 0
    rm -rf "$made"
    mkdir -p "$made"/apt/{state/lists,cache/archives}/partial "$made/root"

    # The release alone, without its updates, which an old one has no longer.
    sources_for "$release" | awk -v release="$release" '$3 == release' >"$made/apt/sources.list"
    [ -s "$made/apt/sources.list" ] || fail "this machine's apt knows no archive of Debian"
    # As nothing counts as installed, all that QEMU needs is fetched with it.
    touch "$made/apt/status"
    local apt=(
        apt-get --quiet --assume-yes
        -o Dir::State="$made/apt/state" -o Dir::State::status="$made/apt/status"
        -o Dir::Cache="$made/apt/cache" -o Dir::Etc::SourceList="$made/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null
        -o Dir::Etc::PreferencesParts=/dev/null
        -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)"
    )
    "${apt[@]}" --error-on=any update || fail "apt could not read the archive of $release"
    "${apt[@]}" --no-install-recommends --download-only install qemu-system-x86 qemu-utils ||
        fail "apt could not fetch the packages of $release"
    unpack "$made/root" "$made"/apt/cache/archives/*.deb
    rm -r "$made/apt"
    touch "$made/fetched"
}

# unpack ROOT PACKAGE...
unpack() {
    local root=$1 name package
    shift
    # Old packages have files in /lib, new ones in /usr/lib. It is one place, as on a system.
    for name in bin lib lib64 sbin; do
        mkdir -p "$root/usr/$name"
        ln -s "usr/$name" "$root/$name"
    done
    for package in "$@"; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -C "$root" -x --keep-directory-symlink --no-same-owner --no-same-permissions
    done
}

# Writes .cache/qemus/RELEASE/bin, which starts each program by the loader of its own release,
# and .cache/qemus/RELEASE/version.
prepare() {
    local release=$1 made=$cache/$1 root=$cache/$1/root
    local loader libraries start options program foreign version
    loader=$(echo "$root"/usr/lib/*/ld-linux*.so.*)
    libraries=${loader%/*}
    # Without a cache, which would be this machine's. libpulse keeps a part of itself apart.
    start=("$loader" --inhibit-cache --library-path "$libraries:$libraries/pulseaudio")
    mkdir -p "$made/bin"
    rm -f "$made/version"
    for program in "${programs[@]}"; do
        options=()
        [[ $program != qemu-system-* ]] || options=(-L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
        cat >"$made/bin/$program" <<EOF
#!/bin/sh
export QEMU_MODULE_DIR=${libraries@Q}/qemu
exec ${start[@]@Q} ${root@Q}/usr/bin/$program ${options[@]@Q} "\$@"
EOF
        chmod +x "$made/bin/$program"

        "${start[@]}" --list "$root/usr/bin/$program" >"$made/libraries"
        foreign=$(awk -v root="$root/" '/=>/ && index($3, root) != 1' "$made/libraries")
        [ -z "$foreign" ] || fail "$program takes what is not its own: $foreign"
        version=$("$made/bin/$program" --version | sed -n 's/.* version \([0-9.]*\).*/\1/p')
        is_wanted "$release" "$version" || fail "$program is $version, which is not wanted here"
    done
    echo "$version" >"$made/version"
}

if [ "${1-}" = --prepare ]; then
    fetch "$2"
    prepare "$2"
    exit
fi

# --- The runner -----------------------------------------------------------------------------

tests=("${CARGO:-cargo}" test --locked --features header --no-fail-fast --test qemu)

# Tries a release, prints its row of the table, and keeps for the end what is to be said of it.
try_release() {
    local release=$1 log=$logs/$1.log version=- status=0 group row name
    if "$0" --prepare "$release" >"$log" 2>&1; then
        version=$(<"$cache/$release/version")
        BLOCKJOB_QEMU=$cache/$release/bin timeout --kill-after=10 $limit "${tests[@]}" \
            >>"$log" 2>&1 </dev/null &
        running=$!
        wait $running || status=$?
        for name in $(without_ok "" "$log"); do
            notes+=("$release: FAILED $name")
        done
        case $status in
        0 | 101) ;; # 101 is cargo's for tests that failed
        124) notes+=("$release: stopped after $limit seconds") ;;
        *) notes+=("$release: the tests ended with status $status") ;;
        esac
    else
        notes+=("$release: $(tail -n 1 "$log")")
    fi

    row=("$release" "$version")
    for group in "${groups[@]}"; do
        if [ -z "$(without_ok "$group::" "$log")" ]; then row+=(ok); else row+=(FAILED); fi
    done
    # shellcheck disable=SC2059 # made of the names of story files
    printf "$format" "${row[@]}"
    failed=$((failed + $(without_ok "" "$log" | wc -l)))
    [ $status -eq 0 ] || all_well=false
}

# Prints the tests whose names begin so and that did not pass. One that did not run has not.
without_ok() {
    awk -v prefix="$1" '
        FNR == NR { listed[++n] = $1; next }
        $1 == "test" && $NF == "ok" { passed[$2] }
        END {
            for (i = 1; i <= n; i++)
                if (index(listed[i], prefix) == 1 && !(listed[i] in passed)) print listed[i]
        }
    ' "$logs/list" "$2"
}

# timeout leads a process group of its own, which Ctrl-C does not reach.
running=
trap '[ -z "$running" ] || kill $running; exit 130' INT TERM

[ $# -eq 0 ] || releases=("$@")
mkdir -p "$logs"
"${MAKE:-make}" --no-print-directory lib
"${tests[@]}" -- --list --format terse | sed -n 's/: test$//p' >"$logs/list"
mapfile -t groups < <(cut -d : -f 1 "$logs/list" | sort -u)

format='%-10s %-8s' failed=0 all_well=true notes=()
for group in "${groups[@]}"; do
    format+=" %-$((${#group} > 6 ? ${#group} : 6))s"
done
format+='\n'
echo
# shellcheck disable=SC2059 # made of the names of story files
printf "$format" release QEMU "${groups[@]}"
for release in "${releases[@]}"; do
    try_release "$release"
done

echo
[ ${#notes[@]} -eq 0 ] || printf '%s\n' "${notes[@]}" "The logs are in $logs/." ""
echo "$((${#releases[@]} * $(wc -l <"$logs/list") - failed)) passed, $failed failed"
[ $failed -eq 0 ] && $all_well
