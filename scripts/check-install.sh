# The stage `install` of check.sh, which sources this: installs the library twice into a temporary
# directory, as a packager does (DESTDIR) and as a user does (PREFIX), and builds a program with
# what pkg-config says, and that alone.
# shellcheck shell=bash

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints every file and link below a directory, with what a link points to and a file's mode.
listing() {
    (cd "$1" && find . \( -type l -printf '%P -> %l\n' -o -type f -printf '%P %m\n' \) | sort)
}

not() { ! "$@"; }

# same WANTED GOT
same() { diff -u --label wanted --label got <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

installed=$(sort <<END
include/blockjob.h 644
lib/libblockjob.so -> libblockjob.so.0
lib/libblockjob.so.0 -> libblockjob.so.$version
lib/libblockjob.so.$version 755
lib/pkgconfig/blockjob.pc 644
share/man/man7/blockjob-journal.7 644
END
)

# As a packager does, with a directory of the distribution's choice, and under a strict umask.
package=$work/package
(umask 077 && make install DESTDIR="$package" PREFIX=/usr LIBDIR=/usr/lib/triplet)
check "DESTDIR holds the files and nothing else" \
    same "$(sed -e 's|^|usr/|' -e 's|usr/lib/|usr/lib/triplet/|' <<<"$installed")" \
    "$(listing "$package")"
names_build_directory() { grep -rl -e "$work" -e "$PWD" "$package"/usr/{include,lib/*/pkgconfig,share}; }
check "no text that was installed names a directory of the build" not names_build_directory
check "blockjob.pc names the directories of the package" same \
    "/usr /usr/lib/triplet /usr/include $version" \
    "$(export PKG_CONFIG_PATH=$package/usr/lib/triplet/pkgconfig
       for variable in prefix libdir includedir; do
           printf '%s ' "$(pkg-config --variable=$variable blockjob)"
       done
       pkg-config --modversion blockjob)"

renders() {
    groff -man -ww -Tutf8 man/blockjob-journal.7 2>&1 >/dev/null | (! grep .)
}
# A minimal system has no groff, and no page is worth one.
if type groff; then
    check "the manual page renders without a warning" renders
else
    echo "left out: there is no groff to render the manual page with"
fi

# As a user does.
prefix=$work/prefix
make install PREFIX="$prefix"
check "PREFIX holds the files and nothing else" same "$installed" "$(listing "$prefix")"
check "the soname is the link's name" \
    same libblockjob.so.0 \
    "$(readelf -dW "$prefix/lib/libblockjob.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"

cat >"$work/program.c" <<'END'
#include <blockjob.h>
#include <stdio.h>

int main(void)
{
    blockjob_listener *listener;

    if (blockjob_listener_new(&listener) != 0) {
        fprintf(stderr, "%s\n", blockjob_last_error());
        return 1;
    }
    blockjob_listener_free(listener);
    puts(blockjob_version());
    return 0;
}
END
build() {
    local flags
    flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs blockjob)
    # shellcheck disable=SC2086 # these are several words
    ${CC:-cc} -o "$work/program" "$work/program.c" $flags
}
check "a program builds with pkg-config's flags alone" build
check "that program runs, with the version that was installed" \
    same "$version" "$(LD_LIBRARY_PATH=$prefix/lib "$work/program")"

make uninstall PREFIX="$prefix"
check "uninstall leaves no file" same "" "$(listing "$prefix")"
