#!/usr/bin/env bash
# Installs what the other targets need, and nothing else: the one set-up behind `make demo` and
# `make check`, for a Debian 12 or 13 that has only git and make.
#
#     scripts/setup.sh build    a C compiler, binutils, pkg-config and Rust
#     scripts/setup.sh demo     build, and a QEMU to show the library with
#     scripts/setup.sh check    demo, and what the tests and linters need
#     scripts/setup.sh sanitizers  build, and a Rust, its source and an LLVM that go together
#     scripts/setup.sh bench    demo, and what the benchmarks compare with
#     scripts/setup.sh roots    what makes the small Debian roots of check-fresh and check-msrv
#
# It looks for what will be used (a command, a header), not for packages, so that tools from
# elsewhere count, such as a Rust from rustup. Only what is missing is asked of apt.
set -euo pipefail
cd "$(dirname "$0")/.."

rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
missing=()

say() { printf 'setup: %s\n' "$@"; }

die() {
    say "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null; }

# need PACKAGE TEST...: what TEST does not find comes with PACKAGE.
need() {
    local package=$1
    shift
    "$@" 2>/dev/null || [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
}

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# The version that a Rust tool tells of itself; empty when it is not there or cannot run.
version_of() { "$1" --version 2>/dev/null | awk '{ print $2 }' || true; }

rust_is_new_enough() {
    at_least "$rust_wanted" "$(version_of cargo)" && at_least "$rust_wanted" "$(version_of rustc)"
}

is_debian() { grep -qx 'ID=debian' /etc/os-release; }

# Of Debian's own Rust, whichever else there is: its source is there to build std from.
debians_rust_is_new_enough() {
    at_least "$rust_wanted" "$(version_of /usr/bin/cargo)" &&
        at_least "$rust_wanted" "$(version_of /usr/bin/rustc)"
}

debians_rust_has_source() {
    test -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library"
}

# The LLVM that Debian's Rust is built with, or will be once it is installed; apt must know of it.
llvm_of_rust() {
    if debians_rust_is_new_enough; then
        /usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'
    else
        local web=-web
        ! apt_has_rust rustc || web=
        apt-cache depends --important --recurse "rustc$web" |
            sed -n 's/.*libllvm\([0-9]*\).*/\1/p' | sort -u | tail -n 1
    fi
}

# tool_of_rusts_llvm NAME: of the same LLVM.
tool_of_rusts_llvm() { debians_rust_is_new_enough && has "$1-$(llvm_of_rust)"; }

clang_has_runtime() {
    debians_rust_is_new_enough &&
        test -e "$("clang-$(llvm_of_rust)" --print-resource-dir)/lib/linux/libclang_rt.tsan-$(
            uname -m
        ).a"
}

libvirt_knows_qemu() {
    compgen -G "/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so" >/dev/null
}

look_for() {
    case $1 in
    build)
        need gcc has cc
        need libc6-dev test -e /usr/include/stdio.h
        need binutils has ld.bfd
        need pkg-config has pkg-config
        need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
        need rustc rust_is_new_enough
        ;;
    demo)
        look_for build
        need qemu-system-x86 has qemu-system-x86_64
        need qemu-utils has qemu-img
        need python3 has python3
        ;;
    check)
        look_for demo
        # Debian 12 has it in qemu-system-common, which qemu-system-x86 brings; 13 in qemu-utils.
        need qemu-utils has qemu-storage-daemon
        need g++ has g++
        need golang-go has go
        need libcmocka-dev pkg-config --exists cmocka
        # The loops of examples/loop-*.c.
        need libglib2.0-dev pkg-config --exists glib-2.0
        need libsystemd-dev pkg-config --exists libsystemd
        need libevent-dev pkg-config --exists libevent
        need libuv1-dev pkg-config --exists libuv
        need shellcheck has shellcheck
        need valgrind has valgrind
        # Elsewhere their stages are skipped.
        ! is_debian || look_for sanitizers
        # The linters must match the Rust. With one from elsewhere they are its owner's to add,
        # and without them their stages are skipped.
        if [ "$(command -v cargo || echo /usr/bin/cargo)" = /usr/bin/cargo ]; then
            need rustfmt has cargo-fmt
            need rust-clippy has cargo-clippy
        fi
        ;;
    # Of Debian's Rust, which may be another than the one that builds everything else, with the LLVM
    # that goes with it. Of LLVM the names end in its number, which `packages` finds out.
    sanitizers)
        look_for build
        need rustc debians_rust_is_new_enough
        need rust-src debians_rust_has_source
        need libcmocka-dev pkg-config --exists cmocka
        need patch has patch
        need clang tool_of_rusts_llvm clang
        need libclang-rt clang_has_runtime
        need llvm tool_of_rusts_llvm llvm-symbolizer
        ;;
    bench)
        look_for demo
        need python3-venv python3 -c "import ensurepip"
        need libjson-c-dev pkg-config --exists json-c
        need libvirt-dev pkg-config --exists libvirt-qemu
        # Its daemon runs for the time of the measurement only, as a user's session.
        need libvirt-daemon test -x /usr/sbin/libvirtd
        need libvirt-daemon-driver-qemu libvirt_knows_qemu
        need libvirt-clients has virsh
        ;;
    roots)
        need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
        need git has git
        need mmdebstrap has mmdebstrap
        ;;
    *)
        die "wanted build, demo, check, sanitizers, bench or roots, but got '$1'"
        ;;
    esac
}

apt_has_rust() {
    local candidate
    candidate=$(LC_ALL=C apt-cache policy "$1" | awk '$1 == "Candidate:" { print $2 }')
    at_least "$rust_wanted" "$candidate"
}

# Debian 13's Rust is new enough. Debian 12's is not, but beside it Debian 12 has a current one
# for its browsers, in packages with "web" in their names.
packages() {
    local package web=-web
    ! apt_has_rust rustc || web=
    for package in "${missing[@]}"; do
        case $package in
        rustc)
            apt_has_rust "rustc$web" ||
                die "Rust $rust_wanted or newer is wanted, and apt has none: install it by rustup"
            echo "rustc$web" "cargo$web"
            ;;
        rustfmt) echo "rustfmt$web" ;;
        rust-src) echo "rust$web-src" ;;
        rust-clippy) echo "rust$web-clippy" ;;
        clang) echo "clang-$(llvm_of_rust)" ;;
        libclang-rt) echo "libclang-rt-$(llvm_of_rust)-dev" ;;
        llvm) echo "llvm-$(llvm_of_rust)" ;;
        *) echo "$package" ;;
        esac
    done
}

# Prints what must take the place of an installed package whose version is in no archive any more
# and which the archives' QEMU would push out: nothing is removed, this one is set back.
orphans() {
    local package=qemu-utils installed candidate
    [[ " ${missing[*]} " == *" qemu-"* ]] || return 0
    installed=$(dpkg-query -W -f '${Version}' $package 2>/dev/null) || return 0
    candidate=$(LC_ALL=C apt-cache madison $package | awk -F ' *[|] *' 'NR == 1 { print $2 }')
    apt-cache madison $package | grep -qF "| $installed |" || [ -z "$candidate" ] ||
        echo "$package=$candidate"
}

profile=${1:-build}
look_for "$profile"
if [ ${#missing[@]} -eq 0 ]; then
    say "all that '$profile' needs is here"
    exit
fi

say "'$profile' needs ${missing[*]}"
has apt-get || die "there is no apt-get to install this with: install it by hand and try again"
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
else
    die "to install it I must be root, or sudo must let me; as root, run" \
        "    $PWD/scripts/setup.sh $profile"
fi

# One repository that cannot be reached need not be the one that matters.
"${as_root[@]}" apt-get update -q || say "went on with the package lists as they are"
packages=$(packages | xargs)
orphans=$(orphans)
downgrades=()
if [ -n "$orphans" ]; then
    say "the installed ${orphans%%=*} is of no archive that apt knows, and must be ${orphans##*=}"
    packages+=" $orphans"
    downgrades=(--allow-downgrades)
fi
# Nothing that somebody chose to have is removed for this.
# shellcheck disable=SC2086 # one word a package
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-remove \
    --no-install-recommends "${downgrades[@]}" -o DPkg::Lock::Timeout=120 $packages ||
    die "apt did not install that, for the reason above; if you agree to what it asks, run" \
        "    apt-get install --no-install-recommends ${downgrades[*]} $packages"

missing=()
look_for "$profile"
[ ${#missing[@]} -eq 0 ] ||
    die "still not found: ${missing[*]} (is an older one earlier in PATH=$PATH?)"
say "all that '$profile' needs is here"
