# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Builds Redis and libev with their own backends and with those of examples/backends/.  For scripts
# that have sourced script.sh and debian_source.sh; the functions return with $cannot, and say why,
# where the sources cannot be had.

# Trees that depend on the project through the backends alone, so they serve each tree of it.
backends_cache=${XDG_CACHE_HOME:-$HOME/.cache}/libkevent/backends-$(
  # shellcheck source=/dev/null
  . /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME:-unknown}"
)
redis_epoll=$backends_cache/redis
redis_kevent=$backends_cache/redis-kevent
libev=$backends_cache/libev-kevent

# one_at_a_time COMMAND...: of all that use the cache.
one_at_a_time() {
  mkdir -p "$backends_cache" || return 1
  (
    flock 9
    "$@" 9>&- # not for what it leaves running
  ) 9>"$backends_cache/lock"
}

# For programs that link libkevent.so, which is not in their trees; LD_LIBRARY_PATH says where it is.
library=$PWD/build/backends/library
kevent_cflags=-I$PWD/include
kevent_libs="-L$library -lkevent"

# The library alone: it takes less than what build/ is built of.
build_libkevent() {
  configured "$library" "$library-configure.log" -DKEVENT_BUILD_TESTS=OFF -DKEVENT_BUILD_TOOLS=OFF \
    -DKEVENT_BUILD_EXAMPLES=OFF &&
    quietly "$library-build.log" cmake --build "$library" -j "$(nproc)" --target kevent
}

# up_to_date DIR FILE...: whether it was built with these files as they are now.
up_to_date() {
  local dir=$1
  shift
  [[ -f $dir/built-with ]] && cat "$@" | sha256sum | cmp -s - "$dir/built-with"
}

# mark_built DIR FILE...
mark_built() {
  local dir=$1
  shift
  cat "$@" | sha256sum >"$dir/built-with"
}

make_redis() {
  local log=$1.log
  echo "   building, output in $log"
  quietly "$log" make -C "$1" -j "$(nproc)" MALLOC=libc BUILD_TLS=no USE_SYSTEMD=no OPTIMIZATION=-O2 \
    CFLAGS= LDFLAGS= "KEVENT_CFLAGS=$kevent_cflags" "KEVENT_LIBS=$kevent_libs"
}

# A tree that is built has its name; one that is not is made anew.
build_redis() {
  local parts=(examples/backends/ae_kevent.c examples/backends/apply include/kevent/kevent.h)
  if [[ ! -d $redis_epoll ]]; then
    rm -rf "$redis_epoll.part"
    debian_source redis "$redis_epoll.part" || return
    echo "Building Redis with epoll ..."
    make_redis "$redis_epoll.part" || return 1
    mv "$redis_epoll.part" "$redis_epoll"
  fi
  up_to_date "$redis_kevent" "${parts[@]}" && return
  rm -rf "$redis_kevent"
  cp -a "$redis_epoll" "$redis_kevent" && ./examples/backends/apply redis "$redis_kevent" || return 1
  echo "Building Redis with kevent ..."
  make_redis "$redis_kevent" && mark_built "$redis_kevent" "${parts[@]}"
}

# libev has all backends side by side.
build_libev() {
  local parts=(examples/backends/ev_kevent.c examples/backends/apply include/kevent/kevent.h)
  local plain=$backends_cache/libev log=$libev.log
  [[ -d $plain ]] || debian_source libev "$plain" || return
  up_to_date "$libev" "${parts[@]}" && return
  rm -rf "$libev"
  cp -a "$plain" "$libev" && ./examples/backends/apply libev "$libev" || return 1
  echo "Building libev ..."
  echo "   building, output in $log"
  quietly "$log" make_libev && mark_built "$libev" "${parts[@]}"
}

make_libev() (
  cd "$libev" && ./configure --disable-shared CFLAGS="-g -O2" && make -j "$(nproc)" "CPPFLAGS=$kevent_cflags" libev.la
)

# with_libev SOURCE PROGRAM: a program of C++ that uses libev's loops, and its backends alone.
with_libev() {
  [[ $2 -nt $1 && $2 -nt $libev/built-with ]] ||
    quietly "$2.log" "${CXX:-c++}" -std=c++20 -O2 -g -Wall -Wextra -Wshadow -Werror -I. -Iinclude -isystem "$libev" \
      -o "$2" "$1" "$libev/.libs/libev.a" -L"$library" -lkevent
}
