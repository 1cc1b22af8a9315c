#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# compare_preloaded.sh PRELOAD PROGRAM...: PROGRAM prints the same, and returns
# the same, without and with PRELOAD.

set -euo pipefail

preload=$1
shift

without=$(mktemp)
with=$(mktemp)
trap 'rm -f "$without" "$with"' EXIT

"$@" >"$without"
env LD_PRELOAD="$preload" "$@" >"$with"
if ! diff "$without" "$with"; then
  echo "FAILED: without the library (<) $1 observes something else than with it (>)"
  exit 1
fi
lines=$(wc -l <"$without")
echo "$lines lines, no difference"
[[ $lines -gt 0 ]]
