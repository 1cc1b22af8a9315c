#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# old_program.sh PROGRAM LIBRARY EXPORTED_SYMBOLS: the program, whose references to libkevent
# have no versions as those of 0.1, runs with the library, which has each name that 0.1 had.

set -euo pipefail

program=$1 library=$2 exported_symbols=$3

fail() {
  echo "FAILED: $*"
  exit 1
}

echo "Names of 0.1 that the library lacks:"
if LC_ALL=C comm -23 "$exported_symbols" <(nm -D --defined-only --format=posix "$library" |
  sed 's/[@ ].*//' | LC_ALL=C sort -u) | grep .; then
  fail "the names above"
fi

imports=$(nm -D --undefined-only --with-symbol-versions "$program")
for name in kevent_init kevent_get_events timer_create close; do
  grep -q " $name\$" <<<"$imports" || fail "the program does not ask for $name without a version"
done
# By the program's own request: nothing is preloaded.
LD_LIBRARY_PATH=$(dirname "$library") "$program"
