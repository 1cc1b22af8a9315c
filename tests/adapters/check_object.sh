#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_object.sh ADAPTER VERSION_SCRIPT [NAME...]: the adapter exports what its version script names,
# without a version, and needs the C library, none newer than libkevent needs, and libkevent by the
# names of libkevent's own and those NAMEs that libkevent takes the place of.

set -euo pipefail

adapter=$1 version_script=$2
shift 2
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

diff <(sed -n '/global:/,/local:/s/^ *\([a-z0-9_]*\);$/\1/p' "$version_script" | LC_ALL=C sort) \
  <(nm -D --defined-only --format=posix "$adapter" |
    awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | LC_ALL=C sort) ||
  fail "it exports something else than $version_script says"

needed=$(LC_ALL=C readelf --dynamic --wide "$adapter" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort)
[[ $needed == $'libc.so.6\nlibkevent.so.0' ]] || fail "it needs" "$needed"

# Weak ones are the compiler's, and may stay open.
imports=$(nm -D --undefined-only --format=posix "$adapter" | awk '$2 == "U" { print $1 }')
others=$(grep -v -E '@|^kevent_' <<<"$imports" | grep -v -x -F "$(printf '%s\n' "$@")") || true
[[ -z $others ]] || fail "it imports from neither library:" "$others"

newest=$(sed -n 's/.*@GLIBC_//p' <<<"$imports" | sort -V | tail -n 1)
[[ $(printf '%s\n' "$newest" 2.34 | sort -V | tail -n 1) == 2.34 ]] || fail "it needs glibc $newest"

[[ $failures -eq 0 ]]
