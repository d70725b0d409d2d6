#!/usr/bin/env bash
# Builds epiphany-elf-gcc 12.2, binutils 2.40 and newlib 3.3 from Debian 12's source packages.
#
#   tools/epiphany-toolchain.sh [--prefix DIR] [--build DIR] [--jobs N] [--install-packages] [--keep]
#
# Finished stages are kept as stamps in DIR of --build, so a broken build goes on where it stopped;
# a finished toolchain in --prefix is left as it is. About 10 minutes on 2 free cores, 1.7 GB while
# building, 45 MB installed. Afterwards: export EPIPHANY_TOOLCHAIN=PREFIX (or put PREFIX/bin on PATH).
set -euo pipefail

prefix="${EPIPHANY_TOOLCHAIN:-${XDG_DATA_HOME:-$HOME/.local/share}/mohaq/epiphany-toolchain}"
build=""
jobs="$(nproc)"
install_packages=no
keep=no
target=epiphany-elf

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
die() { echo "epiphany-toolchain: $*" >&2; exit 2; }
say() { echo "epiphany-toolchain: $*"; }

while [ $# -gt 0 ]; do
  case "$1" in
    --prefix) [ $# -ge 2 ] || die "--prefix needs a folder"; prefix="$2"; shift 2 ;;
    --build) [ $# -ge 2 ] || die "--build needs a folder"; build="$2"; shift 2 ;;
    --jobs) [ $# -ge 2 ] || die "--jobs needs a number"; jobs="$2"; shift 2 ;;
    --install-packages) install_packages=yes; shift ;;
    --keep) keep=yes; shift ;;
    -h|--help) usage; exit 0 ;;
    *) die "unknown option '$1' (see --help)" ;;
  esac
done
case "$jobs" in ''|*[!0-9]*|0) die "--jobs takes a positive number, got '$jobs'" ;; esac
mkdir -p "$prefix"
prefix="$(cd "$prefix" && pwd)"

if [ -e "$prefix/.complete" ] && "$prefix/bin/$target-gcc" --version >/dev/null 2>&1; then
  say "already in $prefix"
  exit 0
fi

packages=(gcc-12-source binutils-source newlib-source libgmp-dev libmpfr-dev libmpc-dev
          texinfo bison flex gcc g++ make xz-utils)
if [ "$install_packages" = yes ]; then
  [ "$(id -u)" = 0 ] || die "--install-packages needs root; or run: apt-get install ${packages[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

source_of() { # the newest archive that the package installed
  local found
  found="$(find "/usr/src/$1" -maxdepth 1 -name "$2" 2>/dev/null | sort -V | tail -n 1)"
  [ -n "$found" ] || die "no $2 in /usr/src/$1; install: ${packages[*]} (or pass --install-packages)"
  echo "$found"
}
binutils_tar="$(source_of binutils 'binutils-*.tar.xz')"
gcc_tar="$(source_of gcc-12 'gcc-12*.tar.xz')"
newlib_tar="$(source_of newlib 'newlib-*.tar.xz')"
for tool in gcc g++ make bison flex makeinfo xz; do
  command -v "$tool" >/dev/null || die "$tool is missing; install: ${packages[*]}"
done

[ -n "$build" ] || build="$prefix/.build"
mkdir -p "$build"
build="$(cd "$build" && pwd)"
export PATH="$prefix/bin:$PATH"

stage() { # stage NAME FUNCTION: once, in its own folder, with a log
  local name="$1" log="$build/$1.log"
  [ -e "$build/$name.done" ] && return 0
  say "$name (log: $log)"
  mkdir -p "$build/$name"
  # Not in an `if`: bash ignores -e in there.
  set +e
  (set -e; cd "$build/$name"; "$2") >"$log" 2>&1
  local status=$?
  set -e
  if [ "$status" != 0 ]; then
    tail -n 20 "$log" >&2
    die "$name failed; the whole log is $log"
  fi
  touch "$build/$name.done"
}

unpack() { # unpack ARCHIVE NAME
  [ -d "$build/src/$2" ] && return 0
  mkdir -p "$build/src/$2.part"
  tar -xf "$1" -C "$build/src/$2.part" --strip-components=1
  mv "$build/src/$2.part" "$build/src/$2"
}

build_binutils() {
  unpack "$binutils_tar" binutils
  "$build/src/binutils/configure" --target="$target" --prefix="$prefix" --disable-nls \
    --disable-werror --disable-gdb --disable-sim --disable-gprofng
  make -j"$jobs"
  make install
}

build_gcc() {
  unpack "$gcc_tar" gcc
  CFLAGS=-O1 CXXFLAGS=-O1 "$build/src/gcc/configure" --target="$target" --prefix="$prefix" \
    --enable-languages=c --with-newlib --without-headers --disable-bootstrap --disable-nls \
    --disable-libssp --disable-shared --disable-threads --disable-multilib \
    --disable-libquadmath --disable-libgomp --disable-libatomic --disable-lto --disable-plugin \
    --without-isl
  make -j"$jobs" MAKEINFO=true all-gcc
  # Debian strips the manuals, and the rule that compares one of them would stop the installation.
  touch gcc/s-tm-texi
  make MAKEINFO=true install-gcc
}

build_newlib() {
  unpack "$newlib_tar" newlib
  "$build/src/newlib/configure" --target="$target" --prefix="$prefix" --disable-multilib
  make -j"$jobs" MAKEINFO=true
  make MAKEINFO=true install
}

build_libgcc() {
  cd "$build/gcc"
  make -j"$jobs" all-target-libgcc
  make install-target-libgcc
}

stage binutils build_binutils
stage gcc build_gcc
stage newlib build_newlib
stage libgcc build_libgcc

echo 'int main(void) { return 0; }' >"$build/hello.c"
"$prefix/bin/$target-gcc" -O2 "$build/hello.c" -o "$build/hello.elf" || die "the new compiler cannot link a program"
touch "$prefix/.complete"
[ "$keep" = yes ] || rm -rf "$build"
say "done: export EPIPHANY_TOOLCHAIN=$prefix"
