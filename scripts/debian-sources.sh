# Where this machine gets Debian from, for scripts that want another release of it.
# shellcheck shell=bash

# Prints apt's sources for a Debian release, as this machine has them for its own.
sources_for() {
    local release=$1
    targets() {
        # shellcheck disable=SC2016 # these are apt's variables
        apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)' \
            'Identifier: Packages'
    }
    # apt tells them by the lists that it has; an image from a registry often has none.
    [ -n "$(targets)" ] || apt-get update -qq >&2
    # bookworm, bookworm-updates and bookworm-security become the same of the wanted release.
    targets | awk -F '|' -v release="$release" '
        $1 == "Debian" {
            sub(/^[^-]*/, release, $3)
            print "deb", $2, $3, $4
        }' | sort -u
}
