#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# try_installed.sh PROJECT PACKAGES: in a root of Debian that is thrown away, as its root: installs
# the packages of the directory PACKAGES, does what their users do, and removes them again.  The
# directory of the project is there for README and debian/tests/ alone.

set -euo pipefail

project=$1 packages=$2
. "$project/tests/packages/first_program.sh"
export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d)

fail() {
  echo "FAILED: $*"
  exit 1
}

# The names of all files but those of caches and logs, which others write.
files() {
  find / -xdev '(' -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/cache -o \
    -path /var/log -o -path /var/lib/apt -o -path '/var/lib/dpkg/*-old' ')' -prune -o -print |
    LC_ALL=C sort
}

apt-get -qq update || echo "The lists of packages are those of when the root was made."
# What Python depends on, apt never removes as it is of priority "required", and a root by
# mmdebstrap does not have.
apt-get -qq -y install tzdata >"$work/log" 2>&1 || fail "apt-get install tzdata: $(<"$work/log")"
files >"$work/before"

echo "== install"
(cd "$packages" && apt-get -qq -y install ./libkevent*.deb ./python3-kevent_*.deb >"$work/log" 2>&1) || {
  cat "$work/log"
  fail "apt-get install"
}
mapfile -t installed < <(dpkg-query --show --showformat='${Package}\n' 'libkevent*' python3-kevent)
echo "${installed[*]}"
for package in libkevent0 libkevent-port0 libkevent-kqueue0 libkevent-dev libkevent-tools python3-kevent; do
  [[ " ${installed[*]} " == *" $package "* ]] || fail "$package is not installed"
done
dpkg --verify "${installed[@]}" || fail "the files above are not those of the packages"

echo "== use"
run_first_program "$project/README.md" "$work" -lkevent || fail "README's first program"
for page in kevent:7 sigev_kevent:7 kevent_init:3 kevent_timer_create:3 kevent_hpp:3 port:7 port_create:3 kqueue:3 \
  kevrun:1 kevsoak:1; do
  said=$(man "${page%:*}" 2>&1) || fail "man ${page%:*}: $said"
  [[ ${said%%$'\n'*} == *"(${page#*:})"* ]] || fail "man ${page%:*} shows: ${said%%$'\n'*}"
done
said=$(LD_PRELOAD=libkevent.so.0 cat /proc/self/maps 2>&1)
[[ $said == */usr/lib/*/libkevent.so.0* && $said != *"cannot be preloaded"* ]] ||
  fail "LD_PRELOAD=libkevent.so.0 does not find the library"
echo "LD_PRELOAD finds it by its name"
for test in consumer tools python; do
  (AUTOPKGTEST_TMP=$work "$project/debian/tests/$test") >"$work/log" 2>&1 || {
    cat "$work/log"
    fail "debian/tests/$test"
  }
  echo "debian/tests/$test passed"
done

echo "== remove"
# What has come as recommended goes as well, although a package of the root may recommend it: Python
# brings certificates, and CMake's libcurl would keep them.
apt-get -qq -y -o APT::AutoRemove::RecommendsImportant=false purge --autoremove "${installed[@]}" >"$work/log" 2>&1 || {
  cat "$work/log"
  fail "apt-get purge"
}
files >"$work/after"
diff "$work/before" "$work/after" || fail "< is gone, > has stayed"
said=$(LD_PRELOAD=libkevent.so.0 cat /proc/self/maps 2>&1)
[[ $said != */libkevent.so.0* && $said == *"cannot be preloaded"* ]] || fail "the loader still finds it"
echo "nothing has stayed"
