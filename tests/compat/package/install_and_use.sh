#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# install_and_use.sh BUILD_DIR WORK_DIR CMAKE CC CXX VERSION: installs into a
# fresh prefix; then a project that knows nothing but that prefix is built and
# run, once by find_package(kevent) and once by pkg-config.

set -euo pipefail

build_dir=$1
work_dir=$2
cmake=$3
cc=$4
cxx=$5
version=$6

project=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/project

fail() {
  echo "FAILED: $*"
  exit 1
}

rm -rf "$work_dir"
mkdir -p "$work_dir"
cd "$work_dir"
prefix=$work_dir/prefix
"$cmake" --install "$build_dir" --prefix "$prefix" >install.log || fail "$(cat install.log)"

echo "Installed:"
(cd "$prefix" && find . ! -type d -printf '%P %l\n' | LC_ALL=C sort)
header=$prefix/include/kevent/kevent.h
[[ -f $header ]] || fail "no $header"
source_dir=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build_dir/CMakeCache.txt")
[[ $(cd "$prefix/include" && find . -type f | LC_ALL=C sort) == \
  $(cd "$source_dir/include" && find . -type f | LC_ALL=C sort) ]] || fail "other headers than the public ones"
library=$(find "$prefix" -name libkevent.so)
[[ $(readlink "$library") == libkevent.so.0 ]] || fail "libkevent.so is no link to the SONAME"
[[ $(readlink "$library.0") == "libkevent.so.$version" ]] || fail "libkevent.so.0 is no link"
libdir=$(dirname "$library")
# The prefix lies below the build directory here, so lines with it are none.
if grep -r -I -F "$build_dir" "$prefix" | grep -v -F "$prefix"; then
  fail "the lines above name the build directory"
fi

echo "By find_package:"
generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build_dir/CMakeCache.txt")
configure=("$cmake" -S "$project" -G "$generator" -DCMAKE_PREFIX_PATH="$prefix"
  -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx")
"${configure[@]}" -B by_cmake -DWANTED_VERSION="$version" >cmake.log 2>&1 || fail "$(cat cmake.log)"
"$cmake" --build by_cmake >cmake.log 2>&1 || fail "$(cat cmake.log)"
by_cmake/user_c
by_cmake/user_cc
by_cmake/user_hpp
# The library sees a close by anyone if its names come before the C library's, which it has to be
# linked with the program for.
linked_with_library() {
  readelf -d "$1" | grep -q 'NEEDED.*\[libkevent\.so\.0\]' || fail "$1 is not linked with libkevent"
}
for name in port kqueue; do
  [[ -d $prefix/include/kevent-$name ]] || continue
  "by_cmake/user_$name"
  "by_cmake/only_$name"
  linked_with_library "by_cmake/only_$name"
done
if "${configure[@]}" -B too_new -DWANTED_VERSION=99.0 >cmake.log 2>&1; then
  fail "find_package is content with version $version where 99.0 is asked for"
fi

echo "By pkg-config:"
export PKG_CONFIG_PATH=$libdir/pkgconfig
[[ $(pkg-config --modversion kevent) == "$version" ]] || fail "pkg-config has another version"
read -r -a flags <<<"$(pkg-config --cflags --libs kevent)"
"$cc" "$project/user.c" "${flags[@]}" -o by_pkg_config_c
"$cc" -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -pedantic -Werror \
  "$project/user.c" "${flags[@]}" -o by_pkg_config_c11
"$cxx" -std=c++17 -Wall -Wextra -pedantic -Werror \
  "$project/user.cc" "${flags[@]}" -o by_pkg_config_cc17
"$cxx" -std=c++20 -Wall -Wextra -pedantic -Werror \
  "$project/user_hpp.cc" "$project/user_hpp_other.cc" "${flags[@]}" -o by_pkg_config_cc20
programs=(by_pkg_config_c by_pkg_config_c11 by_pkg_config_cc17 by_pkg_config_cc20)
# A library over queues, and the header by which it is seen to be installed.
use() {
  local name=$1 header=$2
  [[ -f $prefix/include/kevent-$name/$header ]] || return 0
  read -r -a flags <<<"$(pkg-config --cflags --libs "kevent-$name")"
  "$cc" -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -pedantic -Werror \
    "$project/user_$name.c" "${flags[@]}" -o "by_pkg_config_$name"
  "$cxx" -std=c++17 -Wall -Wextra -pedantic -Werror -x c++ "$project/user_$name.c" -x none \
    "${flags[@]}" -o "by_pkg_config_${name}_cc"
  "$cc" -D_FILE_OFFSET_BITS=64 -Wall -Wextra -pedantic -Werror \
    "$project/user_$name.c" "${flags[@]}" -o "by_pkg_config_${name}_64"
  "$cc" -Wl,--as-needed "$project/only_$name.c" "${flags[@]}" "-Wl,-rpath,$libdir" \
    -o "by_pkg_config_only_$name"
  linked_with_library "by_pkg_config_only_$name"
  "./by_pkg_config_only_$name"
  programs+=("by_pkg_config_$name" "by_pkg_config_${name}_cc" "by_pkg_config_${name}_64")
}
use port port.h
use kqueue sys/event.h
for program in "${programs[@]}"; do
  LD_LIBRARY_PATH=$libdir "./$program"
done
