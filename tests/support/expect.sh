#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# expect.sh PRELOAD EXPECTED COMMAND...: with LD_PRELOAD as given the command
# prints EXPECTED, and nothing else, and succeeds.

set -euo pipefail

preload=$1 expected=$2
shift 2
found=$(LD_PRELOAD=$preload "$@" 2>&1)
if [[ $found != "$expected" ]]; then
  printf 'expected:\n%s\nfound:\n%s\n' "$expected" "$found" >&2
  exit 1
fi
printf '%s\n' "$found"
