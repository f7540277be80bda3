# Minimal roots of Debian 12 and 13 to try the project in, for check-fresh.sh and check-msrv.sh.
# They source this file, as root. Nothing of the machine is in such a root but what it takes to
# reach the network from there.
# shellcheck shell=bash

. scripts/debian-sources.sh

cache=$PWD/.cache

if [ "$(id -u)" -ne 0 ]; then
    echo "a root of Debian is made and entered by root: sudo $0" >&2
    exit 1
fi

# Where the roots stand while they are used. On disk, since an installed QEMU and Rust take 2 GB.
work=$(mktemp -d /var/tmp/blockjob-root.XXXXXX)
# No mount outlives run_in; --one-file-system is for the day on which this is not true.
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM

# What apt was told here on how to reach the network, for apt in a root.
apt_settings() {
    apt-config dump | grep -E '^Acquire::(https?|Retries|Check-[A-Za-z-]+)[: ]' |
        grep -v Auto-Detect || true
}

# minimal_root RELEASE DIRECTORY: a system with git, make and CA certificates, and no more.
minimal_root() {
    local release=$1 root=$2 tarball=$cache/debian-$1.tar
    mkdir -p "$cache"
    if [ ! -e "$tarball" ]; then
        echo "== a minimal root of Debian $release"
        apt_settings >"$work/apt.conf"
        # Without sources of Debian's (on another distribution), mmdebstrap has its own.
        sources_for "$release" >"$work/sources.list"
        local sources=("$work/sources.list")
        [ -s "$work/sources.list" ] || sources=()
        mmdebstrap --variant=minbase --include=git,make,ca-certificates --format=tar \
            --aptopt="$work/apt.conf" "$release" "$tarball.part" "${sources[@]}"
        mv "$tarball.part" "$tarball"
    fi
    mkdir -p "$root"
    tar -C "$root" -xf "$tarball"
    connect "$root"
}

# Gives a root this machine's way into the network: names, certificates and cargo's settings.
connect() {
    local root=$1 file
    for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
        [ ! -e $file ] || cp -L --remove-destination $file "$root$file"
    done
    file=${CARGO_HOME:-$HOME/.cargo}/config.toml
    [ ! -e "$file" ] || install -D -m 644 "$file" "$root/root/.cargo/config.toml"
}

# run_in ROOT COMMAND...: runs it there as root, with the project at /project, to read alone. The
# mounts and the processes are in namespaces of their own and end with them.
run_in() {
    local root=$1 environment
    shift
    mapfile -t environment < <(env |
        grep -iE '^(https?_proxy|no_proxy|CARGO_(HTTP|NET|REGISTR)\w*)=')
    mkdir -p "$root/project"
    # shellcheck disable=SC2016 # the inner shell's variables
    unshare --mount --propagation private --pid --fork --kill-child bash -euc '
        root=$1 project=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$project" "$root/project"
        mount -o remount,bind,ro "$root/project"
        exec chroot "$root" "$@"
    ' bash "$root" "$PWD" \
        env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "${environment[@]}" "$@"
}
