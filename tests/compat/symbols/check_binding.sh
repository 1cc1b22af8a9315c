#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_binding.sh PROGRAM VERSION: the timer calls of PROGRAM are bound to
# VERSION of glibc's, so that running it with the library preloaded shows what
# it is meant to show.

set -euo pipefail

program=$1
version=$2

imports=$(nm -D --undefined-only --with-symbol-versions "$program")
for function in timer_create timer_settime timer_gettime timer_getoverrun timer_delete; do
  if ! grep -q " $function@$version\$" <<<"$imports"; then
    echo "FAILED: $function is not bound to $version"
    exit 1
  fi
done
echo "all five are bound to $version"
